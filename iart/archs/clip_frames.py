"""A clip read frame by frame, wherever it lies, and the flows between its frames."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from iart.archs.flow import comes_with_clip, neighbor_flows, pad_to, pair_flows
from iart.archs.stores import Store, StoreFactory

Clip = Tensor | Sequence[Tensor]
"""(n, t, 3, h, w), or t frames (n, 3, h, w) that are read when needed: any object with ``len()`` and ``[index]``."""

Flows = tuple[Tensor, ...]
"""Flows that are known before: (backward, forward), (n, t-1, 2, h, w) each, as :func:`clip_flows` orders them; some
sets, as
MPI-Sintel, have the first only."""

# Pairs of frames, and their pixels, that SPyNet sees in one call: so many take less memory than one frame in a
# backbone.
_PAIRS_AT_ONCE = 8
_PIXELS_AT_ONCE = 2**18


class ClipFrames:
    """The frames of a clip, one at a time, on the device and of a size that the network takes.

    Args:
        clip: on any device.
        device: where frames go when they are read.
        smallest: frames with a smaller side are padded at the bottom and right.

    Raises:
        ValueError: not (n, t, 3, h, w), or not t frames (n, 3, h, w); also when a frame is read that is not as the
            first one.
    """

    def __init__(self, clip: Clip, device: torch.device, smallest: int) -> None:
        wanted = '(n, t, 3, h, w), or frames (n, 3, h, w), with at least one frame and pixel'
        if isinstance(clip, Tensor) and clip.ndim != 5:
            raise ValueError(f'got lq of shape {tuple(clip.shape)}, expected {wanted}')
        self._frames = clip.unbind(1) if isinstance(clip, Tensor) else clip
        self._shape = self._frames[0].shape if len(self._frames) else torch.Size()
        if len(self._shape) != 4 or self._shape[1] != 3 or 0 in self._shape:
            raise ValueError(f'got lq of {len(self._frames)} frames of shape {tuple(self._shape)}, expected {wanted}')
        self._device, self._smallest, self._clip = device, smallest, clip

    @property
    def flows(self) -> Flows | None:
        """Flows that come with the clip (its attribute ``flows``), of the padded size; read when asked for."""
        flows = getattr(self._clip, 'flows', None)
        return None if flows is None else tuple(pad_to(flow.to(self._device), self._smallest) for flow in flows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames as they were given."""
        return self._shape[2], self._shape[3]

    @property
    def padded_size(self) -> tuple[int, int, int]:
        """(n, height, width) of the frames as they are read."""
        n, _, h, w = self._shape
        return n, max(h, self._smallest), max(w, self._smallest)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        """(n, 3, h, w)"""
        frame = self._frames[index]
        if frame.shape != self._shape:
            raise ValueError(
                f'got frame {index} of shape {tuple(frame.shape)}, expected {tuple(self._shape)} as the first one'
            )
        return pad_to(frame.to(self._device).unsqueeze(1), self._smallest).squeeze(1)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def is_mirrored(self) -> bool:
        """Whether the second half is the first half reversed in time, to the bit; stops at the first frame that
        differs.
        """
        t = len(self)
        return t % 2 == 0 and all(
            torch.equal(self._frames[i], self._frames[t - 1 - i]) for i in range(t // 2 - 1, -1, -1)
        )


class _Reversed:
    """A store read from its end: the flows of a mirrored clip in the other direction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> Tensor:
        return self._store[len(self._store) - 1 - index]


def clip_flows(
    spynet: nn.Module, clip: ClipFrames, store: StoreFactory, given: Flows | None = None
) -> tuple[Store | _Reversed | Sequence[Tensor], ...]:
    """Flows to the next and to the previous frame, in float32 under any autocast.

    Without gradients they are computed in batches whose size depends on the frame's size alone, so that they have the
    same bits wherever they are kept.

    Args:
        spynet: the flow network.
        clip: the frames.
        store: makes the place where flows wait.
        given: take these flows; the flow network is not asked. Without, flows that come with the clip are taken where
            the options say so (``flow: {type: gt}``).

    Returns:
        backward: t-1 flows (n, 2, h, w) in pixels; entry i leads from frame i to i+1;
        forward: the same; entry i leads from frame i+1 to i.

    Raises:
        ValueError: the given flows are not of the clip's size.
    """
    pairs = len(clip) - 1
    if (known := given_flows(spynet, clip, given)) is not None:
        return known
    if not pairs:
        return (), ()
    if torch.is_grad_enabled():
        backward, forward = neighbor_flows(spynet, torch.stack(list(clip), dim=1))
        return backward.unbind(1), forward.unbind(1)
    kept, kept_forward = store(pairs), None if clip.is_mirrored() else store(pairs)
    n, _, h, w = clip[0].shape
    step = max(1, min(_PAIRS_AT_ONCE, _PIXELS_AT_ONCE // (h * w)) // n)
    for start in range(0, pairs, step):
        run = torch.stack([clip[i] for i in range(start, min(start + step, pairs) + 1)], dim=1)
        _put(kept, start, pair_flows(spynet, run[:, :-1], run[:, 1:]))
        if kept_forward is not None:
            _put(kept_forward, start, pair_flows(spynet, run[:, 1:], run[:, :-1]))
    return kept, _Reversed(kept) if kept_forward is None else kept_forward


def given_flows(
    spynet: nn.Module, clip: ClipFrames, given: Flows | None
) -> tuple[Sequence[Tensor], Sequence[Tensor]] | None:
    """Return the flows that need no estimate, as :func:`clip_flows` does; None where there are none.

    Raises:
        ValueError: they are not of the clip's size.
    """
    if given is None and comes_with_clip(spynet):
        given = clip.flows
    if given is None:
        return None
    if len(given) != 2:
        raise ValueError('flows: got those to the next frame only, expected those to the frame before as well')
    n, h, w = clip.padded_size
    for flow in given:
        if flow.shape != (n, len(clip) - 1, 2, h, w):
            raise ValueError(f'flows: got shape {tuple(flow.shape)}, expected {(n, len(clip) - 1, 2, h, w)}')
    return given[0].float().unbind(1), given[1].float().unbind(1)


def _put(store: Store, start: int, flows: Tensor) -> None:
    for offset, flow in enumerate(flows.unbind(1)):
        store[start + offset] = flow

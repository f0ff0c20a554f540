"""A clip that is read frame by frame, from any device or file, and the flows between its frames."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from iart.archs.flow import comes_with_clip, neighbor_flows, pad_to, pair_flows
from iart.archs.stores import Store, StoreFactory

Clip = Tensor | Sequence[Tensor]
"""(n, t, 3, h, w), or t frames (n, 3, h, w) read on demand: any object with ``len()`` and ``[index]``."""

Flows = tuple[Tensor, ...]
"""Given flows (backward, forward), (n, t-1, 2, h, w) each in pixels, in the order of :func:`clip_flows`; some data
sets, such as MPI-Sintel, have the first only."""

# Frame pairs, and pixels of them, in one call of SPyNet: this many take less memory than one frame in a backbone.
_PAIRS_AT_ONCE = 8
_PIXELS_AT_ONCE = 2**18


class ClipFrames:
    """The frames of a clip, one at a time, on the device and padded to the smallest size that the network accepts.

    Args:
        clip: the clip, on any device.
        device: the device that frames are moved to when they are read.
        smallest: smallest side in pixels; smaller frames are padded at the bottom and right.

    Raises:
        ValueError: the clip is neither (n, t, 3, h, w) nor t frames (n, 3, h, w), or a frame that is read differs in
            shape from the first.
    """

    def __init__(self, clip: Clip, device: torch.device, smallest: int) -> None:
        expected = '(n, t, 3, h, w), or frames (n, 3, h, w), with at least one frame and pixel'
        if isinstance(clip, Tensor) and clip.ndim != 5:
            raise ValueError(f'got lq of shape {tuple(clip.shape)}, expected {expected}')
        self._frames = clip.unbind(1) if isinstance(clip, Tensor) else clip
        self._shape = self._frames[0].shape if len(self._frames) else torch.Size()
        if len(self._shape) != 4 or self._shape[1] != 3 or 0 in self._shape:
            raise ValueError(f'got lq of {len(self._frames)} frames of shape {tuple(self._shape)}, expected {expected}')
        self._device, self._smallest, self._clip = device, smallest, clip

    @property
    def flows(self) -> Flows | None:
        """Flows that come with the clip (its attribute ``flows``), padded like the frames; None if there are none."""
        flows = getattr(self._clip, 'flows', None)
        return None if flows is None else tuple(pad_to(flow.to(self._device), self._smallest) for flow in flows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames before padding."""
        return self._shape[2], self._shape[3]

    @property
    def padded_size(self) -> tuple[int, int, int]:
        """(n, height, width) of the frames after padding."""
        n, _, h, w = self._shape
        return n, max(h, self._smallest), max(w, self._smallest)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        """Return frame ``index``, (n, 3, h, w), padded."""
        frame = self._frames[index]
        if frame.shape != self._shape:
            raise ValueError(
                f'got frame {index} of shape {tuple(frame.shape)}, expected {tuple(self._shape)} as before'
            )
        return pad_to(frame.to(self._device).unsqueeze(1), self._smallest).squeeze(1)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def is_mirrored(self) -> bool:
        """Return whether the second half is bit-exactly the first half reversed in time."""
        t = len(self)
        return t % 2 == 0 and all(
            torch.equal(self._frames[i], self._frames[t - 1 - i]) for i in range(t // 2 - 1, -1, -1)
        )


class _Reversed:
    """A store read from its end: the flows of a mirrored clip in the opposite direction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> Tensor:
        return self._store[len(self._store) - 1 - index]


def clip_flows(
    spynet: nn.Module, clip: ClipFrames, store: StoreFactory, given: Flows | None = None
) -> tuple[Store | _Reversed | Sequence[Tensor], ...]:
    """Return the flows to the next and to the previous frame, in float32 under any autocast.

    Without gradients they are computed in batches whose size depends on the frame's size only, so that results are
    bit-exact for every store.

    Args:
        spynet: the flow network, called with (b, 3, h, w) frames (from, to).
        clip: the frames.
        store: factory of the stores that keep the flows.
        given: flows to use instead of the flow network's. Without them, flows that come with the clip are used if the
            options demand it (``flow: {type: gt}``).

    Returns:
        backward: t-1 flows (n, 2, h, w) in pixels; entry i leads from frame i to i+1;
        forward: the same; entry i leads from frame i+1 to i.

    Raises:
        ValueError: the given flows do not have the clip's size.
    """
    pairs = len(clip) - 1
    if (flows := given_flows(spynet, clip, given)) is not None:
        return flows
    if not pairs:
        return (), ()
    if torch.is_grad_enabled():
        backward, forward = neighbor_flows(spynet, torch.stack(list(clip), dim=1))
        return backward.unbind(1), forward.unbind(1)
    backward_flows, forward_flows = store(pairs), None if clip.is_mirrored() else store(pairs)
    n, _, h, w = clip[0].shape
    step = max(1, min(_PAIRS_AT_ONCE, _PIXELS_AT_ONCE // (h * w)) // n)
    for start in range(0, pairs, step):
        run = torch.stack([clip[i] for i in range(start, min(start + step, pairs) + 1)], dim=1)
        _put(backward_flows, start, pair_flows(spynet, run[:, :-1], run[:, 1:]))
        if forward_flows is not None:
            _put(forward_flows, start, pair_flows(spynet, run[:, 1:], run[:, :-1]))
    return backward_flows, _Reversed(backward_flows) if forward_flows is None else forward_flows


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
        raise ValueError('flows: got flows to the next frame only, expected flows to the previous frame as well')
    n, h, w = clip.padded_size
    for flow in given:
        if flow.shape != (n, len(clip) - 1, 2, h, w):
            raise ValueError(f'flows: got shape {tuple(flow.shape)}, expected {(n, len(clip) - 1, 2, h, w)}')
    return given[0].float().unbind(1), given[1].float().unbind(1)


def _put(store: Store, start: int, flows: Tensor) -> None:
    for offset, flow in enumerate(flows.unbind(1)):
        store[start + offset] = flow

"""Rendered clips on disk, each made if it is missing, and their exact flows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iart import log
from iart.data.pairs import ClipInfo
from iart.data.scenes import Layer, Motion, Scene
from iart.data.store import Box, Size, check_size
from iart.data.textures import photograph, stills_in, texture
from iart.errors import DataError
from iart.files import folder_written_atomically, named_errors
from iart.image import Frame

_VERSION = 1  # of the renderer: other versions render other clips
_MOST_FOREGROUNDS = 3


@dataclass(frozen=True)
class SceneOptions:
    """The content of the clips of a set.

    Args:
        clips: number of clips.
        frames: frames of each clip.
        size: (h, w) of the ground truth.
        scale: GT size divided by LR size.
        seed: seed of all random choices; clip k of a seed is the same for any ``clips``.
        stills: folder of photographs; without it, all pictures are drawn textures.
        photographs: share of photographs among the pictures, 0 to 1; no effect without ``stills``.
        motion: largest speeds.
    """

    clips: int
    frames: int
    size: Size
    scale: int
    seed: int
    stills: str | None
    photographs: float
    motion: Motion


class SyntheticStore:
    """A :class:`iart.data.store.FrameStore` of rendered clips::

        <folder>/<digest of the options>/0007/{gt.npy, flows.npy, hidden.npy}

    Args:
        folder: folder for rendered clips.
        options: content of the clips.

    Raises:
        DataError: photographs cannot be read, or the folder cannot be written.
    """

    def __init__(self, folder: str, options: SceneOptions) -> None:
        self.options = options
        self._stills = stills_in(options.stills) if options.stills else []
        listing = [(path.name, path.stat().st_size) for path in self._stills]
        # Without the number of clips: a larger set continues a smaller one.
        facts = (_VERSION, replace(options, clips=0, stills=None), listing)
        self.root = Path(folder) / hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        self._open: dict[Path, NDArray[Any]] = {}
        self._frames = tuple(f'{i:08d}' for i in range(options.frames))
        missing = [number for number in range(options.clips) if not self._clip(number).is_dir()]
        for number in log.track(missing, f'rendering clips into {self.root}', len(missing), 'clip'):
            self._render(number)

    def clips(self) -> tuple[str, ...]:
        return tuple(f'{number:04d}' for number in range(self.options.clips))

    def frames(self, clip: str) -> tuple[str, ...]:
        return self._frames if clip in self.clips() else ()

    def where(self, clip: str, frame: str) -> str:
        return f'{self.root / clip} frame {frame}'

    def size(self, clip: str, frame: str) -> Size:
        return self.options.size

    def read(self, clip: str, frame: str) -> Frame:
        return np.array(self.array(clip, 'gt')[int(frame)])

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        return box.cut(check_size(self.array(clip, 'gt')[int(frame)], size, self.where(clip, frame)))

    def array(self, clip: str, name: str) -> NDArray[Any]:
        """Return one of the arrays of a clip, mapped from its file.

        Args:
            clip: name of the clip.
            name: ``gt`` (t, h, w, 3) uint8, ``flows`` (2, t − 1, 2, h, w) float32 LR pixels, [0, i] leading from
                frame i to i + 1 and [1, i] back, or ``hidden`` (2, t − 1, h, w) bool: the flow's target is covered or
                outside.
        """
        path = self.root / clip / f'{name}.npy'
        if path not in self._open:
            try:
                self._open[path] = np.load(path, mmap_mode='r', allow_pickle=False)
            except (OSError, ValueError) as error:
                raise DataError(
                    f'{path} cannot be read ({error}); remove its folder, and the clip will be rendered again'
                ) from error
        return self._open[path]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_open': {}}

    def scene(self, number: int) -> Scene:
        """Return the scene of a clip: a pure function of the options and the clip's number."""
        options = self.options
        rng = np.random.default_rng([options.seed, number])
        foregrounds = int(rng.integers(_MOST_FOREGROUNDS + 1))
        layers = []
        for layer in range(1 + foregrounds):
            if self._stills and rng.random() < options.photographs:
                picture = photograph(rng, self._stills[int(rng.integers(len(self._stills)))])
            else:
                picture = texture(rng)
            layers.append(Layer(rng, picture, options.frames, options.size, options.motion, foreground=layer > 0))
        return Scene(layers, options.size, options.scale)

    def _clip(self, number: int) -> Path:
        return self.root / f'{number:04d}'

    def _render(self, number: int) -> None:
        """Render a clip, complete or absent; two processes may render the same one."""
        scene, count = self.scene(number), self.options.frames
        pairs = [[scene.flow(i, i + 1) for i in range(count - 1)], [scene.flow(i + 1, i) for i in range(count - 1)]]
        arrays: dict[str, NDArray[Any]] = {
            'gt': np.stack([scene.render(frame) for frame in range(count)]),
            'flows': np.stack([[flow for flow, _ in direction] for direction in pairs]),
            'hidden': np.stack([[hidden for _, hidden in direction] for direction in pairs]),
        }
        target = self._clip(number)
        with named_errors(target), folder_written_atomically(target) as folder:
            for name, array in arrays.items():
                np.save(folder / f'{name}.npy', array)


class SyntheticFlows:
    """The exact flows of rendered clips, read as :class:`iart.data.flow_cache.FlowCache` reads computed ones."""

    def __init__(self, store: SyntheticStore) -> None:
        self.store = store

    def read(self, clip: ClipInfo, chosen: Sequence[int], box: Box) -> NDArray[np.float32]:
        """Return the (2, t − 1, 2, height, width) flows in LR pixels of t successive frames in either order."""
        flows = self.store.array(clip.name, 'flows')
        first = [min(pair) for pair in pairwise(chosen)]
        part = np.array(flows[:, first, :, box.top : box.bottom, box.left : box.right])
        return part if len(chosen) < 2 or chosen[1] > chosen[0] else part[::-1]

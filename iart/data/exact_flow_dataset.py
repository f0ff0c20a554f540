"""Data sets whose flow is known exactly: rendered clips, and MPI-Sintel. Networks with ``flow: {type: gt}`` use it.

In addition to those of their base classes, training items have ``gt_flows``, (2, t − 1, 2, h, w) float32 in LR pixels:
[0, k] leads from frame k to k + 1, [1, k] back (Sintel: (1, t − 1, 2, h, w), without the way back), cropped and turned
with the frames. Test sets give the same for a whole clip by ``read_flows``.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from iart.data.degraded import DegradedStore, TrimmedStore
from iart.data.flow_cache import FlowCacheOptions
from iart.data.flow_files import FloFiles
from iart.data.frames import FrameStore, IoBackend, open_store
from iart.data.recurrent_dataset import RecurrentDataset
from iart.data.scenes import Motion
from iart.data.store import Box
from iart.data.synthetic_store import SceneOptions, SyntheticFlows, SyntheticStore
from iart.data.video_test_dataset import ClipTestDataset
from iart.errors import DataError, OptionsError
from iart.registry import DATASET_REGISTRY, SUFFIX

# Which three of Sintel's 23 training sequences the paper tested on is not known; these are our choice.
SINTEL_TEST = ('alley_2', 'bamboo_1', 'temple_2')
_FOLDER = 'datasets/synthetic'


@DATASET_REGISTRY.register(suffix=SUFFIX)
class SyntheticFlowDataset(RecurrentDataset):
    """Clips rendered on demand: pictures under a smooth camera, foregrounds moving over them, flow known exactly.

    Nothing is downloaded. Clips are rendered once into ``folder`` and depend on nothing but the arguments; GT is
    antialiased, LR is BI of it.

    Args:
        num_frame: frames of a window, at most ``frames``.
        gt_size: side of the square cut from GT, in pixels; a multiple of ``scale``.
        clips_rendered: number of clips.
        frames: frames of a clip.
        height, width: size of the ground truth, multiples of ``scale``.
        scene_seed: seed of the clips; training and test sets should have different ones.
        stills: folder of photographs to move; without it, all pictures are drawn textures.
        photographs: share of photographs among the pictures, 0 to 1.
        speed: largest motion, in GT pixels per frame.
        folder: folder for rendered clips.
        random_reverse, use_hflip, use_rot, flow_cache, scale, seed: see :class:`RecurrentDataset`.
    """

    def __init__(
        self,
        *,
        num_frame: int,
        gt_size: int,
        clips_rendered: int = 100,
        frames: int = 7,
        height: int = 256,
        width: int = 256,
        scene_seed: int = 0,
        stills: str | None = None,
        photographs: float = 0.5,
        speed: float = 6.0,
        folder: str = _FOLDER,
        random_reverse: bool = False,
        use_hflip: bool = False,
        use_rot: bool = False,
        flow_cache: FlowCacheOptions | None = None,
        scale: int = 4,
        seed: int = 0,
    ) -> None:
        options = _scene_options(clips_rendered, frames, (height, width), scale, scene_seed, stills, photographs, speed)
        self._store = SyntheticStore(folder, options)
        super().__init__(
            dataroot_gt=folder,
            degradation='BI',
            num_frame=num_frame,
            gt_size=gt_size,
            random_reverse=random_reverse,
            use_hflip=use_hflip,
            use_rot=use_rot,
            flow_cache=flow_cache,
            scale=scale,
            seed=seed,
        )
        self.exact_flows = SyntheticFlows(self._store)

    def _open_gt(self, root: str, io_backend: IoBackend | None, cache: bool) -> FrameStore:
        return self._store


@DATASET_REGISTRY.register(suffix=SUFFIX)
class SintelDataset(RecurrentDataset):
    """MPI-Sintel, clean pass, in the layout of the official archive::

    root/training/clean/alley_1/frame_0001.png         root/training/flow/alley_1/frame_0001.flo

    LR is BI of GT, made as it is read; LR flow is the mean of 4×4 GT blocks, divided by 4. Three of the 23 sequences
    are reserved for testing: alley_2, bamboo_1, temple_2 (our choice: the paper does not name its three).

    Args:
        root: folder of the archive, which contains ``training``, or that folder itself.
        num_frame, gt_size, use_hflip, use_rot, flow_cache, cache_data, scale, seed: see :class:`RecurrentDataset`.
            There is flow to the next frame only, so windows are never reversed.
        clips: use these sequences; default all but the test ones.
    """

    def __init__(
        self,
        *,
        root: str,
        num_frame: int,
        gt_size: int,
        clips: list[str] | None = None,
        use_hflip: bool = False,
        use_rot: bool = False,
        flow_cache: FlowCacheOptions | None = None,
        cache_data: bool = False,
        scale: int = 4,
        seed: int = 0,
    ) -> None:
        frames, flow = _sintel_folders(root)
        everything = open_store(frames).clips()
        super().__init__(
            dataroot_gt=str(frames),
            degradation='BI',
            num_frame=num_frame,
            gt_size=gt_size,
            clips=clips or [name for name in everything if name not in SINTEL_TEST],
            use_hflip=use_hflip,
            use_rot=use_rot,
            flow_cache=flow_cache,
            cache_data=cache_data,
            scale=scale,
            seed=seed,
        )
        files = FloFiles(flow, scale)
        files.check(self.clips)
        self.exact_flows = files


class ExactFlowTestDataset(ClipTestDataset):
    """Whole clips of a store of ground truth, their LR frames made by BI, with exact flows."""

    exact_flows: SyntheticFlows | FloFiles

    def __init__(self, *, store: FrameStore, clips: list[str] | None, scale: int) -> None:
        self._gt = TrimmedStore(store, scale)
        super().__init__(dataroot_lq='', dataroot_gt='', clips=clips, scale=scale)

    def _open(self, root: str, io_backend: IoBackend | None, cache: bool, side: Literal['lq', 'gt']) -> FrameStore:
        return self._gt if side == 'gt' else DegradedStore(self._gt, 'BI', self._gt.scale)

    def read_flows(self, clip: int) -> NDArray[np.float32]:
        """Return the exact flows of a clip in LR pixels, in the layout of training items."""
        info = self.clips[clip]
        return self.exact_flows.read(info, range(len(info.frames)), Box(0, 0, *info.size))


@DATASET_REGISTRY.register(suffix=SUFFIX)
class SyntheticFlowTestDataset(ExactFlowTestDataset):
    """Rendered clips for scoring; arguments as for :class:`SyntheticFlowDataset`."""

    def __init__(
        self,
        *,
        clips_rendered: int = 8,
        frames: int = 7,
        height: int = 256,
        width: int = 256,
        scene_seed: int = 1,
        stills: str | None = None,
        photographs: float = 0.5,
        speed: float = 6.0,
        folder: str = _FOLDER,
        clips: list[str] | None = None,
        scale: int = 4,
    ) -> None:
        options = _scene_options(clips_rendered, frames, (height, width), scale, scene_seed, stills, photographs, speed)
        self.store = SyntheticStore(folder, options)
        super().__init__(store=self.store, clips=clips, scale=scale)
        self.exact_flows = SyntheticFlows(self.store)


@DATASET_REGISTRY.register(suffix=SUFFIX)
class SintelTestDataset(ExactFlowTestDataset):
    """The test sequences of MPI-Sintel's clean pass; arguments as for :class:`SintelDataset`."""

    def __init__(self, *, root: str, clips: list[str] | None = None, scale: int = 4) -> None:
        frames, flow = _sintel_folders(root)
        super().__init__(store=open_store(frames), clips=clips or list(SINTEL_TEST), scale=scale)
        self.exact_flows = FloFiles(flow, scale)
        self.exact_flows.check(self.clips)


def _scene_options(
    clips: int,
    frames: int,
    size: tuple[int, int],
    scale: int,
    seed: int,
    stills: str | None,
    photographs: float,
    speed: float,
) -> SceneOptions:
    limits: dict[str, tuple[Any, bool, str]] = {
        'clips_rendered': (clips, clips >= 1, '1 or more'),
        'frames': (frames, frames >= 2, '2 or more'),
        'height and width': (
            size,
            not size[0] % scale and not size[1] % scale and min(size) >= 64,
            f'64 or more, multiples of {scale}',
        ),
        'photographs': (photographs, 0 <= photographs <= 1, 'a share from 0 to 1'),
        'speed': (speed, speed >= 0, '0 or more'),
    }
    for name, (value, fits, expected) in limits.items():
        if not fits:
            raise OptionsError(f'{name}: got {value}, expected {expected}')
    return SceneOptions(clips, frames, size, scale, seed, stills, photographs, Motion(speed=speed))


def _sintel_folders(root: str) -> tuple[Path, Path]:
    base = Path(root) / 'training' if (Path(root) / 'training').is_dir() else Path(root)
    for name in ('clean', 'flow'):
        if not (base / name).is_dir():
            raise DataError(
                f'{base / name}: no such folder, expected MPI-Sintel unpacked (training/clean, training/flow)'
            )
    return base / 'clean', base / 'flow'

"""A node for ComfyUI that upscales a batch of images as the frames of one clip.

ComfyUI finds it by a file ``custom_nodes/iart/__init__.py`` that holds one line::

    from iart.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from iart import device as devices
from iart.errors import DataError
from iart.inference.options import PlanOptions
from iart.pretrained import load_manifest
from iart.upscaling.live import restored
from iart.upscaling.networks import Loaded, load
from iart.upscaling.upscale_options import DEFAULT_WEIGHTS, SEGMENT


class UpscaleVideo:
    """Upscale frames with a network of iart; attributes and :meth:`INPUT_TYPES` are what ComfyUI reads."""

    CATEGORY = 'image/upscaling'
    FUNCTION = 'upscale'
    RETURN_TYPES = ('IMAGE',)
    DESCRIPTION = 'Upscale the frames of a video with a recurrent network (iart).'

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 (ComfyUI's name)
        """Return the inputs by name, with their kinds and defaults."""
        names = sorted(name for name in load_manifest().weights if not name.startswith('spynet'))
        return {
            'required': {
                'images': ('IMAGE', {'tooltip': 'the frames of one video, in order'}),
                'weights': (names, {'default': DEFAULT_WEIGHTS}),
                'precision': (['fp32', 'fp16', 'bf16'], {'default': 'fp32'}),
                'scene_cuts': ('BOOLEAN', {'default': True, 'tooltip': 'restart propagation at cuts'}),
                'segment': ('INT', {'default': SEGMENT, 'min': 1, 'max': 10_000, 'tooltip': 'frames at a time'}),
            },
            'optional': {'weight_file': ('STRING', {'default': '', 'tooltip': 'a file or folder in place of weights'})},
        }

    def upscale(
        self,
        images: Tensor,
        weights: str = DEFAULT_WEIGHTS,
        precision: str = 'fp32',
        scene_cuts: bool = True,
        segment: int = SEGMENT,
        weight_file: str = '',
    ) -> tuple[Tensor]:
        """Restore a batch of images as one clip.

        Args:
            images: (B, H, W, C) float in [0, 1], RGB; a fourth channel is left out.
            weights: a name of the manifest.
            precision: ``fp32``, ``fp16`` or ``bf16``.
            scene_cuts: whether propagation restarts at cuts.
            segment: number of frames restored at a time.
            weight_file: a weight file or a folder of ``iart convert --hub``, in place of ``weights``.

        Returns:
            (B, s·H, s·W, 3) float32 in [0, 1], on the CPU.

        Raises:
            DataError: the images have another shape. UserError: weights cannot be used.
        """
        if images.ndim != 4 or images.shape[-1] not in (3, 4) or 0 in images.shape:
            raise DataError(f'images: got shape {tuple(images.shape)}, expected (B, H, W, 3)')
        device = devices.choose()
        outputs = restored(
            _network(weight_file or weights, device).network,
            device,
            images[..., :3].unbind(0),
            lambda image: image.permute(2, 0, 1).float().cpu(),
            precision=precision,
            plan=PlanOptions(),
            scene_cuts=scene_cuts,
            segment=segment,
        )
        progress, frames = _progress(len(images)), []
        for _, sr in outputs:
            frames.append(sr.permute(1, 2, 0))
            progress.update(1)
        return (torch.stack(frames),)


@lru_cache(maxsize=1)
def _network(weights: str, device: torch.device) -> Loaded:
    return load(weights, device)


class _NoProgress:
    def update(self, count: int) -> None:
        """Show nothing, outside of ComfyUI."""


def _progress(total: int) -> Any:
    """Return ComfyUI's progress bar, or one that shows nothing."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:
        return _NoProgress()
    return ProgressBar(total)


NODE_CLASS_MAPPINGS: Mapping[str, type] = {'IartUpscaleVideo': UpscaleVideo}
NODE_DISPLAY_NAME_MAPPINGS: Mapping[str, str] = {'IartUpscaleVideo': 'Upscale video (iart)'}

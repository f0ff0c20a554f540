"""Sampling of images at the positions of a flow, in pixels: channel 0 is x (right), channel 1 is y (down)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from iart import device as devices


def pixel_grid(h: int, w: int, device: torch.device) -> Tensor:
    """Return the absolute pixel coordinates (x, y) of an h×w image, (2, h, w) float32."""
    y, x = torch.meshgrid(
        torch.arange(h, device=device, dtype=torch.float32),
        torch.arange(w, device=device, dtype=torch.float32),
        indexing='ij',
    )
    return torch.stack((x, y))


def flow_warp(x: Tensor, flow: Tensor, *, mode: str = 'bilinear', padding: str = 'zeros') -> Tensor:
    """Warp an image: ``out(p) = x(p + flow(p))``.

    Args:
        x: (n, c, h, w) images.
        flow: (n, 2, h, w) flow in pixels of ``x``; used in float32 under any autocast, because bfloat16 represents
            integers exactly up to 256 only.
        mode: ``bilinear``, ``nearest`` or ``bicubic``.
        padding: ``zeros``, ``border`` or ``reflection`` for positions outside the image.

    Returns:
        (n, c, h, w) in the dtype of ``x``.

    Raises:
        ValueError: sizes of ``x`` and ``flow`` differ.
    """
    if x.shape[-2:] != flow.shape[-2:]:
        raise ValueError(
            f'flow_warp: x is {tuple(x.shape)}, flow is {tuple(flow.shape)}, expected the same height and width'
        )
    h, w = x.shape[-2:]
    with torch.autocast(x.device.type, enabled=False):
        place = pixel_grid(h, w, x.device) + flow.float()
        if mode == 'bilinear' and padding != 'reflection' and devices.gathers_samples(x.device):
            warped = gather_warp(x.float(), place, padding)
        else:
            # In BasicSR's order: divided, not multiplied by the reciprocal, so that networks of both are bit-exact.
            # By Python numbers: a tensor of the two would be copied to the device, which would have to wait for it.
            grid = torch.stack((2 * place[:, 0] / max(w - 1, 1) - 1, 2 * place[:, 1] / max(h - 1, 1) - 1), dim=-1)
            warped = F.grid_sample(x.float(), grid, mode=mode, padding_mode=padding, align_corners=True)
    return warped.to(x.dtype)


def gather_warp(x: Tensor, place: Tensor, padding: str = 'zeros') -> Tensor:
    """Sample bilinearly by gathering four pixels; unlike grid_sample's, its backward pass has a deterministic form.

    Args:
        x: (n, c, h, w) float32 images.
        place: (n, 2, h', w') absolute sampling points (x, y) in pixels.
        padding: ``zeros`` or ``border``.

    Returns:
        The samples, (n, c, h', w').
    """
    n, c, h, w = x.shape
    column, row = place.unbind(1)
    if padding == 'border':
        column, row = column.clamp(0, w - 1), row.clamp(0, h - 1)
    pixels = x.permute(0, 2, 3, 1).reshape(-1, c)
    first = torch.arange(n, device=x.device).view(n, 1, 1) * (h * w)
    left, top = column.floor(), row.floor()
    out = torch.zeros((), dtype=x.dtype, device=x.device)
    for y, in_y in ((top, 1 - (row - top)), (top + 1, row - top)):
        for column_of, in_x in ((left, 1 - (column - left)), (left + 1, column - left)):
            inside = (column_of >= 0) & (column_of <= w - 1) & (y >= 0) & (y <= h - 1)
            index = first + y.clamp(0, h - 1).long() * w + column_of.clamp(0, w - 1).long()
            tap = pixels.index_select(0, index.view(-1)).view(*index.shape, c)
            out = out + tap * (in_x * in_y * inside).unsqueeze(-1)
    return out.permute(0, 3, 1, 2)

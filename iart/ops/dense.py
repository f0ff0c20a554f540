"""Linear layers over rows of features, computed by the fastest available kernel."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FEWEST_IMAGES = 16  # torch gives a 1×1 conv of fewer images to the slower kernel when it has one thread
_MOST_ROWS, _FEWEST_ROWS = 512, 32  # of an image


def dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute ``F.linear``, (..., inputs) → (..., outputs), as a 1×1 convolution where that is faster.

    On a CPU in float32 torch gives linear layers to MKL and convolutions to oneDNN. MKL uses half the width of the
    vector units of processors that are not Intel's, so there a 1×1 convolution of images whose pixels are the rows is
    twice as fast as a linear layer, forward and backward. The result is the same up to rounding.

    Args:
        x: (..., inputs); the leading dimensions should be contiguous.
        weight: (outputs, inputs).
        bias: (outputs,) or None.
    """
    if torch.compiler.is_compiling() or not _convolves(x, weight) or not (images := _images(x.shape[:-1].numel())):
        return F.linear(x, weight, bias)
    rows = x.shape[:-1].numel()
    pixels = x.reshape(images, rows // images, 1, x.shape[-1]).permute(0, 3, 1, 2)
    out = F.conv2d(pixels, weight.unsqueeze(-1).unsqueeze(-1), bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], weight.shape[0])


class Dense(nn.Linear):
    """An ``nn.Linear`` computed by :func:`dense`."""

    def forward(self, x: Tensor) -> Tensor:
        return dense(x, self.weight, self.bias)


def _convolves(x: Tensor, weight: Tensor) -> bool:
    """Return whether torch uses oneDNN for a convolution of these tensors and another kernel for a linear layer."""
    float32 = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled('cpu')
    return (
        x.device.type == 'cpu'
        and float32
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


@functools.lru_cache(maxsize=64)
def _images(rows: int) -> int:
    """Return the number of equal images to divide the rows into; 0 if there is no good division."""
    for size in range(min(_MOST_ROWS, rows // _FEWEST_IMAGES), _FEWEST_ROWS - 1, -1):
        if rows % size == 0:
            return rows // size
    return 0

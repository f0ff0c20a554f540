"""Which kernels a device has, and which of our own computations are the fastest on it."""

import platform

import torch


def compute_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that matrix products with weights of ``dtype`` are computed in: autocast's, where it is on."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if dtype == torch.float32 and torch.is_autocast_enabled(kind) else dtype


def head_multiple(device: torch.device, dtype: torch.dtype) -> int:
    """Return the number that the channels of an attention head must be a multiple of for the device's fused kernel.

    CUDA's memory-efficient kernel loads 16 bytes at a time. For other heads torch falls back to plain products in
    float32 of all probabilities, which takes 4 times as long and several times the memory.
    """
    return 16 // dtype.itemsize if device.type == 'cuda' else 1


def windows_of_attention_backward(device: torch.device) -> int:
    """Return how many windows at a time the backward pass of attention computes again; 0 where the fused kernel's
    own is used.

    A CPU's fused kernel has no gradient for the bias; few windows, so that their probabilities stay in the cache.
    CUDA's sums in an order that changes from run to run, so it is not used in deterministic mode.
    """
    if device.type == 'cpu':
        return 4
    return 64 if device.type == 'cuda' and torch.are_deterministic_algorithms_enabled() else 0


def gathers_samples(device: torch.device) -> bool:
    """Return whether images are sampled by gathering pixels.

    True on CUDA in deterministic mode: grid_sample's backward pass adds in an order that changes from run to run.
    """
    return device.type == 'cuda' and torch.are_deterministic_algorithms_enabled()


def fuses_optimizer(device: torch.device) -> bool:
    """Return whether the optimizer should update all weights in a few launches."""
    return device.type == 'cuda'


def saves_launches(device: torch.device) -> bool:
    """Return whether one call on twice the data is faster than two: on GPUs, where small kernels cost their launch."""
    return device.type != 'cpu'


def computes_bf16(device: torch.device) -> bool:
    """Return whether the GPU's hardware computes bfloat16, rather than emulating it."""
    return device.type != 'cuda' or torch.cuda.get_device_capability(device) >= (8, 0)


def native_precision(device: torch.device, precision: str) -> str:
    """Return the precision to compute in where the options name ``precision``: another one for fp16 on a processor
    without instructions for it, which takes many times as long as fp32.

    Args:
        device: the device to compute on.
        precision: ``fp32``, ``fp16`` or ``bf16``.

    Returns:
        ``bf16`` where the processor has instructions for it, else ``fp32``.
    """
    if device.type != 'cpu' or precision != 'fp16' or _onednn_has('fp16'):
        return precision
    # oneDNN accepts bf16 on any x86 processor with AVX-512, and emulates it on older ones.
    is_x86 = platform.machine() in ('x86_64', 'AMD64')
    has_bf16 = torch.cpu._is_avx512_bf16_supported() if is_x86 else _onednn_has('bf16')
    return 'bf16' if has_bf16 else 'fp32'


def _onednn_has(precision: str) -> bool:
    """Return whether oneDNN computes in this precision; False in builds of torch without it."""
    return torch.backends.mkldnn.is_available() and bool(
        getattr(torch.ops.mkldnn, f'_is_mkldnn_{precision}_supported')()
    )


def generates_cpp(device: torch.device) -> bool:
    """Return whether ``torch.compile`` generates C++ for the device, which a compiler on this machine builds."""
    return device.type == 'cpu'

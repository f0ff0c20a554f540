"""Activation checkpointing: what a training step recomputes in its backward pass, for less memory and more time."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from iart import device as devices

Policy = Literal['none', 'mlp', 'blocks', 'backbones']
"""What is recomputed: nothing; the MLP of each block; the blocks, two at a time; each backbone as a whole.

The last two recompute alignments and reconstruction as well, which takes little time.
"""

UseCheckpoint = bool | Literal['auto', 'none', 'mlp', 'blocks', 'backbones']

_SHARE = 0.7  # of the free memory; the rest is for the loss, the gradients of weights and the optimizer


def recomputes_rest(policy: Policy) -> bool:
    """Return whether alignments and reconstruction are recomputed."""
    return policy in ('blocks', 'backbones')


def recompute(enabled: bool, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Return ``function(*args, **kwargs)``; if enabled and gradients are recorded, the backward pass recomputes it."""
    if enabled and torch.is_grad_enabled():
        return checkpoint(function, *args, use_reentrant=False, **kwargs)
    return function(*args, **kwargs)


def kept_values(policy: Policy, *, calls: int, blocks: int, mlp_ratio: float, half: bool = False) -> float:
    """Estimate the values per token and channel that a training step holds at its peak, by counting what layers keep.

    Args:
        policy: what is recomputed.
        calls: calls of a backbone: frames times passes.
        blocks: Swin blocks of a backbone.
        mlp_ratio: hidden width of their MLPs in units of the channels.
        half: whether the step is computed in fp16 or bf16.
    """
    # Attention: input, normed, q, k, v, two of its output, sum. MLP: normed and twice the hidden layer. In half
    # precision the residual stream stays float32, and heads are padded (20 channels to 24).
    attention, mlp = (5.9, 0.5 + mlp_ratio) if half else (8.0, 1 + 2 * mlp_ratio)
    # The alignments of a call, and its share (a quarter) of a reconstruction.
    block, rest = attention + mlp, 5.5 if half else 11.0
    return {
        'none': calls * (blocks * block + rest),
        'mlp': calls * (blocks * attention + rest) + mlp,
        'blocks': calls * blocks * 2 / 3 + 2 * block,  # every second input, and each group's input and output
        'backbones': calls + blocks * block,  # a call keeps its input
    }[policy]


def choose_policy(
    use_checkpoint: UseCheckpoint,
    device: torch.device,
    *,
    tokens: int,
    channels: int,
    calls: int,
    blocks: int,
    mlp_ratio: float,
) -> Policy:
    """Return the policy that the options name, or for ``auto`` the fastest that fits into the free memory.

    Args:
        use_checkpoint: the option; true means ``blocks``, false ``none``.
        device: the device of the step.
        tokens: pixels of the three frames in a backbone, of all clips.
        channels: width of a token.
        calls, blocks, mlp_ratio: see :func:`kept_values`.
    """
    if isinstance(use_checkpoint, bool):
        return 'blocks' if use_checkpoint else 'none'
    if use_checkpoint != 'auto':
        return use_checkpoint
    half = devices.compute_dtype(device, torch.float32) != torch.float32
    needs: dict[Policy, float] = {
        policy: 4 * tokens * channels * kept_values(policy, calls=calls, blocks=blocks, mlp_ratio=mlp_ratio, half=half)
        for policy in get_args(Policy)
    }
    free = _SHARE * devices.free_memory(device)
    quicker: tuple[Policy, ...] = ('none', 'mlp')
    slower: tuple[Policy, ...] = ('blocks', 'backbones')  # equally fast
    return next((policy for policy in quicker if needs[policy] <= free), min(slower, key=lambda policy: needs[policy]))


def next_policy(policy: Policy) -> Policy | None:
    """Return the next policy, which takes less memory and more time; None after the last."""
    order: tuple[Policy, ...] = get_args(Policy)
    return order[order.index(policy) + 1] if policy != order[-1] else None

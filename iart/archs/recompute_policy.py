"""What a training step computes again in its backward pass instead of keeping it: less memory, more time."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from iart import device as devices

Policy = Literal['none', 'mlp', 'blocks', 'backbones']
"""What is computed again: nothing; the MLP of each block; the blocks, two by two; each backbone as a whole.

The last two also compute alignments and reconstruction again, which costs little time.
"""

UseCheckpoint = bool | Literal['auto', 'none', 'mlp', 'blocks', 'backbones']

_SHARE = 0.7  # of the free memory; the rest is for the loss, the gradients of weights and the optimizer


def recomputes_rest(policy: Policy) -> bool:
    """Whether alignments and reconstruction are computed again."""
    return policy in ('blocks', 'backbones')


def recompute(wanted: bool, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """``function(*args, **kwargs)``; if ``wanted`` and there are gradients, nothing in it is kept for the backward
    pass.
    """
    if wanted and torch.is_grad_enabled():
        return checkpoint(function, *args, use_reentrant=False, **kwargs)
    return function(*args, **kwargs)


def kept_values(policy: Policy, *, calls: int, blocks: int, mlp_ratio: float, half: bool = False) -> float:
    """Numbers per token and channel that are alive at the peak of a training step; from counting what layers keep.

    Args:
        policy: what is computed again.
        calls: of a backbone: frames times passes.
        blocks: of a backbone.
        mlp_ratio: of the blocks.
        half: whether the step is computed in fp16 or bf16.
    """
    # Attention: input, normed, q, k, v, two of its output, sum. MLP: normed and twice the hidden layer. In half
    # precision the residual stream stays float32, and heads are padded (20 channels to 24).
    attention, mlp = (5.9, 0.5 + mlp_ratio) if half else (8.0, 1 + 2 * mlp_ratio)
    # Alignments of a call, and the quarter of a reconstruction that falls to it.
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
    """The policy that the options name, or for ``auto`` the fastest one that fits into the memory that is free now.

    Args:
        use_checkpoint: from the options; true means ``blocks``, false ``none``.
        device: where the step is computed.
        tokens: pixels of the three frames that a backbone sees, of all clips.
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
    """Return the policy that takes less memory than this one, and more time; None where there is none."""
    order: tuple[Policy, ...] = get_args(Policy)
    return order[order.index(policy) + 1] if policy != order[-1] else None

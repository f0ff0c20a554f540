"""FLOPs and bytes of a network, counted in seconds on tensors that have a shape but no data."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count
from torch.utils.module_tracker import ModuleTracker

from iart import device as devices

_CPU = torch.device('cpu')
HALF = ' half'  # ends the name of an operator whose result is in half precision
_ALLOCATE = ('empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided')  # no kernel, no data


@dataclass(frozen=True)
class Work:
    """Work of the operators of one kind in one module: FLOPs, bytes read and written, and calls.

    A multiplication with an addition is two operations. Every operator is assumed to read its inputs from memory and to
    write its output to memory, as without fusion.
    """

    flops: int = 0
    bytes: int = 0
    calls: int = 0

    def __add__(self, other: 'Work') -> 'Work':
        return Work(self.flops + other.flops, self.bytes + other.bytes, self.calls + other.calls)

    def __sub__(self, other: 'Work') -> 'Work':
        return Work(self.flops - other.flops, self.bytes - other.bytes, self.calls - other.calls)


Counts = dict[tuple[str, str], Work]
"""(dotted name of the innermost module, name of the operator) -> work; the name is empty outside of modules.
Operators with results in half precision have names of their own: ``aten.mm half``."""


During = Callable[['Counting'], AbstractContextManager[None]]


def count_frame(
    network: nn.Module, side: tuple[int, int], precision: str = 'fp32', during: During | None = None
) -> Counts:
    """Count the work of one more frame of a long clip.

    Args:
        network: network on the CPU, (1, t, 3, h, w) → (1, t, 3, s·h, s·w).
        side: height and width of an LR frame.
        precision: ``fp32``, or ``bf16`` for autocast.
        during: see :func:`count`.
    """
    # Odd numbers of frames, since comparing the halves of a clip would need data. The first two frames have less to
    # align, so they are not counted.
    few, more = (
        count(lambda t=t: network(torch.rand(1, t, 3, *side)), precision, during)  # type: ignore[misc]
        for t in (3, 5)
    )
    return {key: _half_of(more[key], few.get(key, Work())) for key in more}


def count(run: Callable[[], object], precision: str = 'fp32', during: During | None = None) -> Counts:
    """Count the work of ``run()`` by modules, without gradients; new tensors get no data and nothing is computed.

    Args:
        run: what is counted.
        precision: ``fp32``, or ``bf16`` for autocast.
        during: gives a context for the count; None: none.
    """
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        torch.no_grad(),
        devices.autocast(_CPU, precision),
        ModuleTracker() as modules,
        Counting(modules) as counted,
        during(counted) if during is not None else nullcontext(),
    ):
        run()
    return counted.counts


@contextmanager
def counting() -> Iterator['Counting']:
    """Count the work of what runs in this context, backward passes included; new tensors get no data and nothing is
    computed.

    Not by modules: torch's tracker keeps alive what a backward pass frees, which would falsify memory measured with it.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), Counting() as counts:
        yield counts


def total(counts: Counts) -> Work:
    """Return the sum of all work."""
    return sum(counts.values(), Work())


def difference(more: Counts, few: Counts) -> Counts:
    """Return the work in ``more`` that is not in ``few``."""
    return {key: rest for key, work in more.items() if (rest := work - few.get(key, Work())) != Work()}


def _half_of(more: Work, few: Work) -> Work:
    return Work((more.flops - few.flops) // 2, (more.bytes - few.bytes) // 2, (more.calls - few.calls) // 2)


def _cpu_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Return the FLOPs of the CPU's fused kernel, which torch's table of formulas lacks."""
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


class Counting(TorchDispatchMode):
    """Counts the work of operators inside this context.

    Args:
        modules: attributes the work to modules; None: all of it to no module.
    """

    def __init__(self, modules: ModuleTracker | None = None) -> None:
        super().__init__()
        self.modules = modules
        self.counts: Counts = {}

    @property
    def flops(self) -> int:
        """FLOPs so far."""
        return total(self.counts).flops

    @property
    def module(self) -> str:
        """Dotted name of the innermost module that is running; empty outside of modules."""
        parents = self.modules.parents - {'Global'} if self.modules else ()
        return max(parents, key=lambda name: name.count('.'), default='')

    @staticmethod
    def name(operator: str, result: Any) -> str:
        """Return the name that an operator with this result is counted by."""
        half = isinstance(result, Tensor) and result.dtype in (torch.float16, torch.bfloat16)
        return operator + HALF * half

    def add(self, key: tuple[str, str], work: Work) -> None:
        """Count the work of something that was not executed."""
        self.counts[key] = self.counts.get(key, Work()) + work

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = func._overloadpacket
        view = packet is torch.ops.aten._unsafe_view or any(
            r.alias_info and not r.alias_info.is_write for r in func._schema.returns
        )
        if view or func.namespace == 'prim' or str(packet).removeprefix('aten.') in _ALLOCATE:
            return result  # a view, a query or an allocation: no data moves
        if packet is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
            flops = _cpu_attention(*args)
        else:
            flops = int(flop_registry[packet](*args, **kwargs, out_val=result)) if packet in flop_registry else 0
        moved = sum(_bytes(leaf) for leaf in tree_leaves((args, kwargs, result)))
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        self.add((self.module, self.name(str(packet), first)), Work(flops, moved, 1))
        return result


def _bytes(leaf: Any) -> int:
    return min(leaf.numel() * leaf.element_size(), leaf.untyped_storage().nbytes()) if isinstance(leaf, Tensor) else 0

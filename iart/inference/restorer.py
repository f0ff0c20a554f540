"""Restoration of clips of any length, frame by frame, by a memory plan."""

import errno
import gc
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from iart import device as devices
from iart import log
from iart.archs.clip_frames import Clip
from iart.errors import UserError
from iart.inference import plan as planning
from iart.inference.costs import Costs, measure
from iart.inference.execution import run
from iart.inference.options import PlanOptions
from iart.inference.plan import Plan, Size


class Restore(Protocol):
    """A restorer of clips, frame by frame: a network with a memory plan, or bicubic interpolation."""

    @property
    def used(self) -> Sequence[Plan]:
        """Memory plans of the last (or current) clip, in order; empty for a restorer without plans."""
        ...

    def __call__(self, lq: Clip, /) -> Iterator[Tensor]:
        """Yield t times (n, 3, s·h, s·w), in order, not necessarily clamped.

        Args:
            lq: (n, t, 3, h, w), or t frames (n, 3, h, w) that are read on demand.
        """
        ...


def plan_restorer(
    network: nn.Module, device: torch.device, precision: str = 'fp32', options: PlanOptions | None = None
) -> 'PlannedRestorer':
    """Return a restorer of clips of any length: see :class:`PlannedRestorer`."""
    return PlannedRestorer(network, device, precision=precision, options=options or PlanOptions())


class PlannedRestorer:
    """A restorer of clips by a memory plan, which is chosen and logged before each clip.

    Calling it with a clip (``(n, t, 3, h, w)``, or frames ``(n, 3, h, w)`` that are read on demand: any object with
    ``len()`` and ``[index]``; on any device, RGB in [0, 1]) yields t times (n, 3, s·h, s·w) float32, not clamped, on
    the device or in host memory. If memory or disk runs out, it continues with the next smaller plan; frames are
    yielded once. The network is in evaluation mode while it runs and in its previous mode afterward.

    Args:
        network: a network on ``device`` that maps (n, t, 3, h, w) to (n, t, 3, s·h, s·w). Only one with ``frames(lq,
            store)`` can keep features elsewhere.
        device: the device to compute on.
        precision: ``fp32``, ``fp16`` or ``bf16`` (autocast).
        options: settings of the plan.

    Raises:
        UserError: the network does not support the options, or the smallest plan runs out of memory.
    """

    def __init__(self, network: nn.Module, device: torch.device, *, precision: str, options: PlanOptions) -> None:
        self.network, self.device, self.precision, self.options = network, device, precision, options
        self.used: list[Plan] = []
        """Plans of the last (or current) clip, in order: more than one if memory ran out."""
        self._costs: Costs | None = None
        self._failed: list[Plan] = []
        devices.warn_of_slow_precision(device, precision)

    @property
    def costs(self) -> Costs:
        """Memory that the network takes, measured once."""
        if self._costs is None:
            self._costs = measure(self.network, self.device, self.precision)
        return self._costs

    def plan(self, size: Size) -> Plan:
        """Return the plan for a clip of this size with the memory that is free now."""
        return self._plan(size)[0]

    def _plan(self, size: Size) -> tuple[Plan, list[Plan]]:
        every = planning.plans(size, self.costs, self.options, shared=devices.takes_host_memory(self.device))
        free = planning.budget(self.device, self.options.spill_to)
        every = [
            plan for plan in every if plan not in self._failed
        ] or every  # what ran out once is not tried again for the next clip
        kind = self.options.kind
        chosen = planning.choose(every, free, kind if any(plan.kind == kind for plan in every) else 'auto')
        if not chosen.fits(free):
            room = '' if free.shared else f'{planning.spell(free.device)} on the device, '
            log.once(
                f'free are {room}{planning.spell(free.host)} of memory and {planning.spell(free.disk)} of disk: '
                'trying anyway'
            )
        return chosen, every

    def __call__(self, lq: Clip) -> Iterator[Tensor]:
        frames = lq.unbind(1) if isinstance(lq, Tensor) else lq
        n, _, h, w = frames[0].shape
        plan, every = self._plan(Size(len(frames), h, w, n))
        log.once(plan.describe())
        self.used = [plan]
        delivered = 0
        with evaluating(self.network):
            while True:
                attempt = run(
                    self.network,
                    frames,
                    plan,
                    self.device,
                    scale=self.costs.scale,
                    skip=delivered,
                    spill_to=self.options.spill_to,
                )
                with closing(attempt):
                    frame, failure = self._next(attempt)
                    while frame is not None:
                        delivered += 1
                        yield frame
                        frame = None  # freed before the next one is computed
                        frame, failure = self._next(attempt)
                if failure is None:
                    return
                plan = self._fall_back(every, plan, failure)
                self.used.append(plan)

    def _next(self, attempt: Iterator[Tensor]) -> tuple[Tensor | None, 'Failure | None']:
        """Return the next frame in float32, or the failure.

        On return the error no longer exists, and neither do the tensors that its traceback holds.
        """
        try:
            # Entered for every frame: a generator must not leave its caller in another grad or autocast mode.
            with torch.inference_mode(), devices.autocast(self.device, self.precision):
                frame = next(attempt, None)
            return None if frame is None else frame.float(), None
        except (RuntimeError, MemoryError) as error:
            if not devices.lacks_memory(error, self.device):
                raise
            return None, Failure('memory', _first_line(error))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            return None, Failure('disk', _first_line(error))

    def _fall_back(self, every: list[Plan], plan: Plan, failure: 'Failure') -> Plan:
        gc.collect()  # generators and errors may refer to each other and to tensors
        devices.release_reserve(self.device)
        following = planning.smaller(every, plan, disk_is_full=failure.of == 'disk')
        if following is None:
            raise UserError(
                f'{plan.describe()}: out of {failure.of} ({failure.text}), and there is no smaller plan; '
                f'use a smaller --tile, or more {failure.of}'
            )
        self._failed.append(plan)
        log.logger.warning(
            f'out of {failure.of} ({failure.text}); continuing with the next smaller {following.describe()}'
        )
        return following


class Failure(NamedTuple):
    """What ran out (``memory`` or ``disk``), and the text of the error."""

    of: str
    text: str


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode for the block, and in its previous mode afterward."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)

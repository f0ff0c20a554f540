"""Checks of training steps for a loss or gradients that are NaN or infinite."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from iart import distributed, log
from iart.data.batch import Batch
from iart.errors import TrainingError
from iart.training.progress import Progress


class Guard:
    """Decides whether a step may change the weights, the same on all ranks; counts skipped steps and names their clips.

    Args:
        limit: number of skipped steps in the whole run at which the run ends.
        progress: their counter, which a resumed run continues.
    """

    def __init__(self, limit: int, progress: Progress) -> None:
        self.limit, self.progress = limit, progress

    def admits(self, loss: Tensor, gradient: Tensor, loss_scale: float, batches: list[Batch]) -> bool:
        """Check loss and gradients; to be called on every rank between the backward pass and the optimizer.

        Args:
            loss: loss of this rank's batches, without loss scale.
            gradient: norm of the gradient, which all ranks share.
            loss_scale: of fp16. Above 1, infinite gradients are its business: the scaler leaves out the step and halves
                the scale.
            batches: batches of this rank, for the message.

        Raises:
            TrainingError: this is the last step that the limit allows.
        """
        loss_is_fine = bool(loss.isfinite())
        fine = loss_is_fine and (bool(gradient.isfinite()) or loss_scale > 1)
        if not distributed.any_rank(not fine):
            return True
        self.progress.skipped += 1
        self._name(loss_is_fine, loss, batches)
        if self.progress.skipped >= self.limit:
            raise TrainingError(
                f'iteration {self.progress.step + 1:,}: {self.progress.skipped} steps were skipped because of NaN '
                'or infinite losses or '
                'gradients, as many as train.skip_limit allows; nothing of them is in the weights or in any file. '
                'A lower learning rate '
                'or train.grad_clip may help; --auto_resume resumes from the last training state'
            )
        return False

    def _name(self, loss_is_fine: bool, loss: Tensor, batches: list[Batch]) -> None:
        """Log the clips of the ranks whose loss is not finite; of all ranks if only the shared gradient is not."""
        what = 'gradient is not finite' if loss_is_fine else f'loss is {loss.item()}'
        reports = distributed.gather((loss_is_fine, f'the {what}, from {"; ".join(_clips(batches))}'))
        at_fault = [i for i, (fine, _) in enumerate(reports) if not fine] or range(len(reports))
        shown = '; '.join(f'rank {i}: {reports[i][1]}' if distributed.active() else reports[i][1] for i in at_fault)
        count = f'{self.progress.skipped} so far, the run ends at {self.limit}'
        log.logger.warning(f'iteration {self.progress.step + 1:,} skipped ({count}): {shown}')


def _clips(batches: list[Batch]) -> Iterator[str]:
    for batch in batches:
        for clip, frames in zip(batch['clip'], batch['frames'], strict=True):
            yield f'clip {clip}, frames {" ".join(frames)}'


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether no tensor holds a NaN or an infinity; tensors may be on different devices."""
    return all(bool(flag) for flag in finite_by_device(tensors))


def finite_by_device(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return one boolean scalar for each device that holds tensors: whether all of them there are finite.

    One for each, because Adam keeps its step counts on the CPU when everything else is on a GPU.
    """
    flags: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point():
            flags.setdefault(tensor.device, []).append(tensor.isfinite().all())
    return [torch.stack(on_device).all() for on_device in flags.values()]

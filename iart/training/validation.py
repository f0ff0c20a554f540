"""Scoring during training: any number of sets, clips divided among ranks, and the best weights so far."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from iart import distributed, log
from iart.archs.clip_frames import Clip
from iart.archs.probe import show_clips_like
from iart.data.loaders import build_dataset
from iart.image import to_uint8
from iart.inference.plan import Plan
from iart.inference.restorer import PlannedRestorer, plan_restorer
from iart.options import Options
from iart.scoring.evaluator import score_set
from iart.scoring.measures import build_metrics, try_metrics
from iart.scoring.settings import Saving, Settings
from iart.training.progress import Best
from iart.training.recorder import Recorder


class Validator:
    """Scores every ``datasets.val*`` of the options.

    Clips are restored by a memory plan, as in ``iart test``: a validation that runs out of memory must not end a run of
        weeks. While
    an exact plan fits, one is taken, so that the figures of all steps are comparable; if none does, this is logged.

    Args:
        options: data sets, metrics, and which of them chooses the best weights.
        device: where to compute.
        folder: the experiment's folder; frames are saved in its ``visualization/`` if ``val.save_img`` is true.

    Raises:
        DataError: the data of a set do not fit together.
    """

    def __init__(self, options: Options, device: torch.device, folder: Path) -> None:
        self.options, self.val, self.device, self.folder = options, options.val, device, folder
        sections = {key: section for key, section in options.datasets.items() if key.startswith('val')}
        self.sets = {
            section.name or key: build_dataset(section.section, key=f'datasets.{key}', scale=options.scale)
            for key, section in sections.items()
        }
        self.metrics = build_metrics(self.val.metrics)
        try_metrics(self.metrics, self.sets.values(), options.scale)
        self._restorer: PlannedRestorer | None = None

    def try_network(self, network: nn.Module) -> None:
        """Show the network small clips of the sizes of every set, so that it does not fail at the first validation.

        Raises:
            OptionsError: it refuses one of them.
        """
        for name, dataset in self.sets.items():
            clips = ((clip.size, len(clip.frames)) for clip in dataset.clips)
            place = f'a clip of {name}'
            show_clips_like(network, clips, scale=self.options.scale, device=self.device, place=place)

    def run(self, network: nn.Module, step: int, recorder: Recorder) -> dict[str, float]:
        """Score ``network``; every rank gets the same figures by name, ``<set>/<metric>``. Empty without sets."""
        precision = self.options.train.precision if self.options.train else 'fp32'
        if self._restorer is None or self._restorer.network is not network:  # what a network costs is measured once
            self._restorer = plan_restorer(network, self.device, precision)
        settings = Settings.of(self.options, precision)
        suffix = self.val.suffix or str(step)
        saving = Saving(self.folder / 'visualization', suffix=suffix) if self.val.save_img else None
        figures: dict[str, float] = {}
        for name, dataset in self.sets.items():
            samples = _Sampler(self._restorer, self.val.max_images if distributed.is_main() else 0)
            scores = score_set(samples, dataset, self.metrics, settings, device=self.device, saving=saving, title=name)
            for how in scores.approximations:
                log.once(
                    f'{name}: validated by {how}, which is not exact: figures may differ a little from those of '
                    'whole clips'
                )
            figures |= {f'{name}/{metric}': value for metric, value in scores.totals().items()}
            for number, frame in enumerate(samples.taken):
                recorder.image(step, f'{name}/{number}', frame)
        return figures

    def better(self, figures: Mapping[str, float], step: int, best: Best | None) -> Best | None:
        """The best so far, after these figures: the metric of ``val.best_metric`` on the first set that has it."""
        metric = self.val.best_metric or next(iter(self.val.metrics), None)
        name = next((name for name in figures if metric is not None and name.endswith(f'/{metric}')), None)
        if metric is None or name is None:
            return best
        value = figures[name]
        if best is not None and best['metric'] == name:
            ahead = value - best['value'] if self.val.higher_is_better(metric) else best['value'] - value
            if not ahead > 0:
                return best
        return {'metric': name, 'value': value, 'step': step}


class _Sampler:
    """Passes frames on and keeps the first few, for TensorBoard."""

    def __init__(self, restore: PlannedRestorer, most: int) -> None:
        self.restore, self.most = restore, most
        self.taken: list[np.ndarray] = []

    @property
    def used(self) -> Sequence[Plan]:
        """Memory plans of the last clip."""
        return self.restore.used

    def __call__(self, lq: Clip) -> Iterator[Tensor]:
        for frame in self.restore(lq):
            if len(self.taken) < self.most:
                self.taken.append(to_uint8(frame[0]))
            yield frame

"""``iart demo``: its arguments, where it writes, and what it leaves alone. The whole of it takes minutes: .ci/run."""

from pathlib import Path

import pytest
import torch

from iart import cli
from iart.demo import walkthrough
from iart.options import load


def test_arguments() -> None:
    arguments = cli._parser().parse_args(['demo', '--output', 'x', '--iterations', '0'])
    assert (arguments.output, arguments.iterations, arguments.device) == (Path('x'), 0, 'auto')
    assert cli._parser().parse_args(['demo']).iterations is None
    with pytest.raises(SystemExit):
        cli._parser().parse_args(['demo', '--iterations', '-1'])


@pytest.mark.parametrize(('seconds', 'iterations'), [(0.01, 100), (1.5, 30), (60.0, 4)])
def test_the_training_is_as_long_as_the_machine_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, iterations: int
) -> None:
    monkeypatch.setattr(walkthrough.DryRun, 'seconds', lambda self, load, steps: seconds)
    options = load(walkthrough._TRAINING, walkthrough._overrides(tmp_path, tmp_path, 100))
    assert walkthrough._affordable(options, torch.device('cpu')) == iterations


def test_everything_is_written_below_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / 'a: folder'
    options = load(walkthrough._TRAINING, walkthrough._overrides(out / 'frames', out, 7))
    assert options.train is not None
    assert options.train.total_iter == 7
    places = [options.path.experiments_root, options.path.results_root]
    for data in options.datasets.values():
        places += [data.arguments['dataroot_gt'], data.arguments['dataroot_lq']]
    assert all(Path(place).is_relative_to(out) for place in places)
    scoring = walkthrough._scoring('x', options.network_g, out / 'frames', out)
    assert Path(scoring.path.results_root).is_relative_to(out)


def test_the_film_part_has_no_gap() -> None:
    from iart.demo.bundled_clip import PARTS

    parts = [part for part in PARTS['train'] if f'{part[0]:03d}' in walkthrough._SHOWN]
    assert [first for first, _ in parts[1:]] == [last + 1 for _, last in parts[:-1]]

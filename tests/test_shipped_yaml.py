"""Every YAML file under options/ loads, without the data and weights that it names."""

from pathlib import Path

import pytest

from iart.options import dump, load

OPTIONS = Path(__file__).resolve().parents[1] / 'options'
# A study file names rows and seeds; the options that its rows share begin with an underscore (tests/test_study.py).
FILES = sorted(p for p in OPTIONS.rglob('*.yml') if p.parent.name != 'study' or p.stem.startswith('_'))


def name_of(path: Path) -> str:
    return path.relative_to(OPTIONS).as_posix()


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_loads(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # relative data and weight paths lead nowhere from here
    options = load(path)
    assert not options.notes
    (tmp_path / 'resolved.yml').write_text(dump(options), encoding='utf-8')
    assert load(tmp_path / 'resolved.yml') == options


@pytest.mark.parametrize('path', [p for p in FILES if not p.stem.startswith('_')], ids=name_of)
def test_name_is_that_of_the_file(path: Path) -> None:
    assert load(path).name == path.stem


@pytest.mark.parametrize(
    'path', [p for p in FILES if p.parent.name == 'test' and not p.stem.startswith('_')], ids=name_of
)
def test_scoring_follows_the_protocol(path: Path) -> None:
    """Channel, border and scored frames as the protocol of the test set has them, and no training."""
    options = load(path)
    (dataset,) = options.datasets.values()
    assert options.train is None
    assert dataset.protocol is not None
    assert options.path.pretrain_network_g is not None
    if dataset.protocol == 'VideoLQ':  # real footage, without ground truth
        assert options.val.metrics == {'niqe': {'type': 'calculate_niqe', 'crop_border': 0, 'better': 'lower'}}
        assert dataset.arguments['scored_frames'] == (0, 50, 99)
        return
    assert options.val.metrics.keys() == {'psnr', 'ssim'}
    for metric in options.val.metrics.values():
        assert metric['crop_border'] == 0
        assert metric['test_y_channel'] is not dataset.protocol.startswith('REDS4')
    assert options.val.center_frame_only is dataset.protocol.startswith('Vimeo')
    assert dataset.arguments['dataroot_lq'].endswith('BDx4') or (
        'BD' in dataset.arguments['dataroot_lq']
    ) == dataset.protocol.endswith('-BD')


def test_every_published_protocol_is_there() -> None:
    names = {path.stem for path in FILES}
    assert {'IART_REDS_N6_300K', 'IART_REDS_N16_600K', 'IART_Vimeo_N14_300K'} <= names
    scored = {
        'REDS4_N6',
        'REDS4_N16',
        'Vid4_N6',
        'Vid4_N16',
        'Vid4_Vimeo_BI',
        'Vimeo90KT_BI',
        'Vid4_BD',
        'UDM10_BD',
        'Vimeo90KT_BD',
    }
    assert {f'IART_{name}' for name in scored} <= names


@pytest.mark.parametrize(
    ('name', 'frames', 'steps', 'rate', 'frozen', 'flow_rate'),
    [
        ('IART_REDS_N6_300K', 6, 300_000, 2e-4, 5000, 0.125),
        ('IART_REDS_N16_600K', 16, 600_000, 2e-4, 5000, 0.125),
        ('IART_Vimeo_N14_300K', -1, 300_000, 1e-4, -1, 0.25),
    ],
)
def test_published_recipe(name: str, frames: int, steps: int, rate: float, frozen: int, flow_rate: float) -> None:
    options = load(OPTIONS / f'{name}.yml')
    train = options.train
    assert train is not None
    assert (train.total_iter, train.fix_flow, train.flow_lr_mul, train.precision, train.ema_decay) == (
        steps,
        frozen,
        flow_rate,
        'fp16',
        0.999,
    )
    assert train.optim_g == {'type': 'Adam', 'lr': rate, 'weight_decay': 0, 'betas': (0.9, 0.99)}
    schedule = train.scheduler.model_dump()
    assert (schedule['periods'], schedule['eta_min']) == ((steps,), 1e-7)
    assert train.pixel_opt == {'type': 'CharbonnierLoss', 'loss_weight': 1.0, 'reduction': 'mean'}
    data = options.datasets['train']
    assert (data.arguments['num_frame'], data.arguments['gt_size'], data.batch_size_per_gpu) == (frames, 256, 1)
    assert data.arguments.get('flip_sequence', False) is (name == 'IART_Vimeo_N14_300K')
    assert options.network_g['use_checkpoint'] is True

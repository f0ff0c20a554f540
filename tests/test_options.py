"""Options: what is read, merged, overridden and refused."""

import copy
import pickle
from pathlib import Path

import pytest

from iart.errors import OptionsError
from iart.options import Options, dump, load
from iart.options.reference import reference

TRAINING = """
name: small
datasets:
  train:
    type: REDSRecurrentDataset
    dataroot_gt: gt
    dataroot_lq: lq
    num_frame: 5
    gt_size: 128
    batch_size_per_gpu: 2
  val_1: {type: VideoRecurrentTestDataset, dataroot_lq: lq}
network_g: {type: BasicVSR, num_feat: 8, num_block: 1}
train:
  total_iter: 100
  optim_g: {type: Adam, lr: 2e-4, betas: [0.9, 0.99]}
  scheduler: {type: CosineAnnealingRestartLR, periods: [!!float 1e2], eta_min: 1e-7}
  pixel_opt: {type: CharbonnierLoss}
val:
  val_freq: !!float 5e1
  metrics:
    psnr: {type: calculate_psnr, crop_border: 0}
    ssim: {type: calculate_ssim, crop_border: 0, better: higher}
"""


def write(folder: Path, text: str, name: str = 'x.yml') -> Path:
    path = folder / name
    path.write_text(text, encoding='utf-8')
    return path


def load_text(folder: Path, text: str, *overrides: str) -> Options:
    return load(write(folder, text), overrides)


def mistakes(folder: Path, text: str, *overrides: str) -> list[str]:
    """The lines of the message, without the one that names the file."""
    with pytest.raises(OptionsError) as caught:
        load_text(folder, text, *overrides)
    head, *lines = str(caught.value).splitlines()
    assert str(folder / 'x.yml') in head
    return [line.strip() for line in lines]


def test_values_and_defaults(tmp_path: Path) -> None:
    options = load_text(tmp_path, TRAINING)
    assert options.train is not None
    assert options.model_type == 'VSRModel'
    assert options.train.optim_g == {'type': 'Adam', 'lr': 2e-4, 'betas': (0.9, 0.99)}
    assert options.train.scheduler.type == 'CosineAnnealingRestartLR'
    assert options.train.scheduler.eta_min == 1e-7
    assert options.train.scheduler.periods == (100,)
    assert options.val.val_freq == 50
    assert isinstance(options.val.val_freq, int)
    assert (options.train.precision, options.train.fix_flow, options.logger.keep_states, options.path.param_key_g) == (
        'fp32',
        0,
        3,
        'params',
    )
    train = options.datasets['train']
    assert (train.batch_size_per_gpu, train.arguments['num_frame']) == (2, 5)
    assert train.section == {
        'type': 'REDSRecurrentDataset',
        'dataroot_gt': 'gt',
        'dataroot_lq': 'lq',
        'num_frame': 5,
        'gt_size': 128,
    }
    assert options.val.higher_is_better('psnr')


def test_round_trip(tmp_path: Path) -> None:
    options = load_text(tmp_path, 'use_static_graph: true\n' + TRAINING)
    again = load(write(tmp_path, dump(options), 'resolved.yml'))
    assert options.notes
    assert not again.notes
    assert again == options
    assert dump(again) == dump(options)
    assert again != load_text(tmp_path, TRAINING, 'manual_seed=2')


def test_options_are_frozen(tmp_path: Path) -> None:
    options = load_text(tmp_path, TRAINING)
    with pytest.raises(ValueError, match='frozen'):
        options.name = 'other'
    with pytest.raises(TypeError, match='read-only'):
        options.network_g['num_feat'] = 9
    with pytest.raises(TypeError, match='read-only'):
        options.datasets['train'].arguments.update(gt_size=1)
    assert pickle.loads(pickle.dumps(options)) == options
    assert copy.deepcopy(options) == options


def test_every_mistake_is_in_one_message(tmp_path: Path) -> None:
    text = (
        TRAINING.replace('num_feat', 'num_feet')
        .replace('name: small', 'name: a/b\nscael: 4')
        .replace('total_iter: 100', 'total_iter: 99.5\n  precision: fp61')
        .replace('CharbonnierLoss', 'CharbonierLoss')
        .replace('REDSRecurrentDataset', 'REDSRecurentDataset')
        .replace('val_1: {', 'vla: {name: ../elsewhere, ')
        .replace('{type: calculate_psnr, crop_border: 0}', '{type: calculate_psnr, crop_borders: 0}')
        .replace('betas: [0.9, 0.99]', 'beta: 1')
    )
    lines = mistakes(tmp_path, text, 'val:save_img=1')
    expected = {
        'scael': 'scale',
        'name': 'without slashes',
        'train.total_iter': 'whole number',
        'train.precision': 'fp16',
        'train.pixel_opt.type': "did you mean 'CharbonnierLoss'?",
        'train.optim_g.beta': "did you mean 'betas'?",
        'datasets.train.type': "did you mean 'REDSRecurrentDataset'?",
        'datasets.vla': 'val or test',
        'datasets.vla.name': 'without slashes',
        'network_g.num_feet': "did you mean 'num_feat'?",
        'val.metrics.psnr.crop_borders': "did you mean 'crop_border'?",
        'val.save_img': 'true or false',
    }
    result = {line.split(': got ')[0]: line for line in lines}
    assert result.keys() == expected.keys()
    for key, hint in expected.items():
        assert hint in result[key]


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (
            ('type: CosineAnnealingRestartLR, ', 'type: CosineAnealing, '),
            "train.scheduler.type: got 'CosineAnealing'",
        ),
        (
            ('type: CosineAnnealingRestartLR, ', ''),
            "train.scheduler.type: got nothing, expected one of: 'CosineAnnealingRestartLR'",
        ),
        (('[!!float 1e2]', '[50]'), 'train.scheduler.periods: got 50 iterations together'),
        (('[!!float 1e2]', '[50, 50]'), 'train.scheduler.restart_weights: got 1 weights for 2 periods'),
        (('type: Adam', 'type: SGD'), "train.optim_g.type: got 'SGD', expected one of: Adam, AdamW"),
        (('lr: 2e-4', 'lr: -1'), 'train.optim_g.lr: got -1, expected above 0'),
        (('lr: 2e-4, ', ''), 'train.optim_g.lr: got nothing'),
        (('  pixel_opt: {type: CharbonnierLoss}', ''), 'train: got neither pixel_opt nor perceptual_opt'),
        (('better: higher', 'better: up'), "val.metrics.ssim.better: got 'up'"),
        (
            ('val:\n', 'val:\n  best_metric: pnsr\n'),
            "val.best_metric: got 'pnsr', expected one of val.metrics: psnr, ssim (did you mean 'psnr'?)",
        ),
        (
            ('dataroot_lq: lq}', 'dataroot_lq: lq, protocol: REDS}'),
            "datasets.val_1.protocol: got 'REDS', expected one of: REDS4",
        ),
        (('num_frame: 5', 'num_frame: five'), "datasets.train.num_frame: got 'five', expected a whole number"),
        (('num_frame: 5', 'num_frame: 5\n    scale: 4'), 'datasets.train.scale: got 4, expected no such key'),
        (('REDSRecurrentDataset', 'FFHQDataset'), "datasets.train.type: got 'FFHQDataset'"),
        (('total_iter: 100', 'total_iter: true'), 'train.total_iter: got true, expected a whole number'),
        (('name: small', 'name: small\nmodel_type: SRModel'), "model_type: got 'SRModel'"),
        (('name: small', 'name: small\nnum_gpu: many'), "num_gpu: got 'many', expected a whole number or 'auto'"),
        (('name: small', ''), 'name: got nothing'),
        (
            ('total_iter: 100', 'total_iter: 100\n  total_iter: 200'),
            "line 15: got 'total_iter' again, first on line 14",
        ),
        (('name: small', 'name: small\nlogger: often'), "logger: got 'often', expected a mapping of keys to values"),
        (('name: small', 'name: small\n5: x'), "line 3: got '5' as a key"),
    ],
)
def test_a_mistake_names_its_place(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert change[0] in TRAINING
    lines = mistakes(tmp_path, TRAINING.replace(*change))
    assert any(line.startswith(expected) for line in lines), lines


def test_overrides(tmp_path: Path) -> None:
    options = load_text(
        tmp_path,
        TRAINING,
        'train:optim_g:lr=1e-5',
        'val:suffix=a=b',
        'logger:wandb:project=p',
        'train:optim_g:betas=[0.5, 0.9]',
    )
    assert options.train is not None
    assert options.train.optim_g['lr'] == 1e-5
    assert options.train.optim_g['betas'] == (0.5, 0.9)
    assert (options.val.suffix, options.logger.wandb.project) == ('a=b', 'p')


@pytest.mark.parametrize(
    ('override', 'expected'),
    [
        ('train:optim_g:lr', '--force_yml'),
        ('train.total_iter=5', 'separated by colons'),
        ('name:x=5', "'name' holds 'small'"),
        ('scale=[', 'not valid YAML'),
        ('scale=!!python/name:os.system', 'not valid YAML'),
        ('train:total_itre=5', "did you mean 'total_iter'?"),
        ('trian:total_iter=5', "did you mean 'train'?"),
    ],
)
def test_mistaken_overrides(tmp_path: Path, override: str, expected: str) -> None:
    (line,) = mistakes(tmp_path, TRAINING, override)
    assert expected in line


def test_base(tmp_path: Path) -> None:
    write(tmp_path, TRAINING, 'below.yml')
    options = load_text(
        tmp_path,
        """
        base: below.yml
        name: above
        datasets:
          train: {gt_size: 64}
          val_1: ~
        network_g: {type: BasicVSRPlusPlus, mid_channels: 8}
        val: {val_freq: ~, metrics: {ssim: ~}}
        """,
    )
    assert options.name == 'above'
    assert options.datasets.keys() == {'train'}
    assert (options.datasets['train'].arguments['gt_size'], options.datasets['train'].arguments['num_frame']) == (64, 5)
    assert options.network_g == {
        'type': 'BasicVSRPlusPlus',
        'mid_channels': 8,
    }  # another type: nothing of the section below is left
    assert options.val.val_freq is None
    assert options.val.metrics.keys() == {'psnr'}


def test_mistaken_bases(tmp_path: Path) -> None:
    write(tmp_path, 'base: x.yml\n' + TRAINING, 'below.yml')
    assert any('inheritance has one level' in line for line in mistakes(tmp_path, 'base: below.yml'))
    with pytest.raises(OptionsError, match=r"bellow.yml: cannot be read.*did you mean 'below.yml'"):
        load_text(tmp_path, 'base: bellow.yml')
    write(tmp_path, 'name: a\nname: b', 'below.yml')
    assert any(line.startswith('below.yml, line 2:') for line in mistakes(tmp_path, 'base: below.yml'))


@pytest.mark.parametrize(
    'tag',
    [
        '!!python/object/apply:os.system ["true"]',
        '!!python/name:os.system',
        '!mine {a: 1}',
        '[1, 2',
        '!!float abc',
        '&x [*x]',
    ],
)
def test_yaml_that_is_not_plain_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(OptionsError, match=r'x\.yml: not valid YAML'):
        load_text(tmp_path, f'name: {tag}')


@pytest.mark.parametrize('text', ['', '- a', 'word'])
def test_not_a_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionsError, match='expected a mapping'):
        load_text(tmp_path, text)


def test_missing_file_names_its_neighbor(tmp_path: Path) -> None:
    write(tmp_path, TRAINING)
    with pytest.raises(OptionsError, match=r"y\.yml: no such file.*did you mean 'x\.yml'"):
        load(tmp_path / 'y.yml')


def test_anchors_do_not_tie_sections_together(tmp_path: Path) -> None:
    text = TRAINING.replace('psnr: {', 'psnr: &m {').replace(
        'ssim: {type: calculate_ssim, crop_border: 0, better: higher}', 'ssim: *m'
    )
    options = load_text(tmp_path, text, 'val:metrics:ssim:crop_border=8')
    assert (options.val.metrics['psnr']['crop_border'], options.val.metrics['ssim']['crop_border']) == (0, 8)
    merged = text.replace('ssim: *m', 'ssim: {<<: *m, crop_border: 4}')
    assert load_text(tmp_path, merged).val.metrics['ssim']['crop_border'] == 4


def test_alignment_is_checked_within_the_network(tmp_path: Path) -> None:
    text = 'name: a\nnetwork_g: {type: IART, alignment: {type: FlowWarpAlignment, resampling: bilinear}}'
    assert load_text(tmp_path, text).network_g['alignment']['resampling'] == 'bilinear'
    lines = mistakes(tmp_path, text.replace('resampling', 'resamplin').replace('IART,', 'IART, embed_dims: 3,'))
    assert [line.split(':')[0] for line in lines] == ['network_g.embed_dims', 'network_g.alignment.resamplin']
    (line,) = mistakes(tmp_path, text.replace('bilinear', 'bilinear, channels: 3'))
    assert line.startswith('network_g.alignment.channels')
    (line,) = mistakes(tmp_path, text.replace('FlowWarpAlignment', 'FlowWrapAlignment'))
    assert "did you mean 'FlowWarpAlignment'?" in line


def test_reference_is_up_to_date(repository: Path) -> None:
    page = (repository / 'docs' / 'options.md').read_text(encoding='utf-8')
    assert page == reference(), 'run  python -m iart.options > docs/options.md'


def test_every_key_is_explained() -> None:
    rows = [line for line in reference().splitlines() if line.startswith('| `')]
    assert rows
    assert not [row for row in rows if row.endswith('|  |')]


def test_a_teacher_needs_its_outputs_and_its_loss(tmp_path: Path) -> None:
    for key, value in (
        ('train:teacher_opt', '{type: CharbonnierLoss}'),
        ('datasets:train:dataroot_teacher', 'folder'),
    ):
        with pytest.raises(OptionsError, match='both, or neither'):
            load_text(tmp_path, TRAINING, f'{key}={value}')

"""Degradation chains: what a step does is measured, and the same seed gives the same bytes wherever it is used."""

import math

import numpy as np
import pytest
import torch
import yaml
from helpers.prepared_clips import write_gt, write_lr

from iart.data.loaders import build_dataset, build_train_loader
from iart.degradations import build_chain, chain_names, check_chain
from iart.degradations.chain import build_step
from iart.errors import OptionsError
from iart.ops.degradation import degrade_uint8
from iart.options.schema import DatasetOptions
from iart.registry import DEGRADATION_REGISTRY, blur_kernels, names

SIZE = (48, 64)


def gray(level=128.0, size=SIZE, count=4):
    return [np.full((*size, 3), level, np.float32) for _ in range(count)]


def smooth(count=4, size=SIZE):
    y, x = np.mgrid[: size[0], : size[1]]
    frames = [127 + 100 * np.sin((x + 2 * t) / 7)[..., None] * np.cos(y / 9)[..., None] for t in range(count)]
    return [np.repeat(frame, 3, axis=2).astype(np.float32) for frame in frames]


def run(section, frames, seed=0, lq_size=(12, 16)):
    return list(build_step(section, 'step')(frames, np.random.default_rng(seed), lq_size))


def impulse(side=41):
    frame = np.zeros((side, side, 3), np.float32)
    frame[side // 2, side // 2] = 1000
    return frame


@pytest.mark.parametrize('name', chain_names())
def test_published_chains_run_and_repeat(name):
    chain, gt = build_chain(name), smooth(5, (64, 80))
    first, again, other = (
        np.stack(list(chain.degrade(chain.sharpen(gt, seed), seed, (16, 20)))) for seed in ((1, 2), (1, 2), (1, 3))
    )
    assert first.shape == (5, 16, 20, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_published_figures():
    """The parameters of RealBasicVSR that decide most; the file is the whole list."""
    steps = {f'{i} {s["type"]}': s for i, s in enumerate(yaml.safe_load(_published()))}
    assert [key.split()[1] for key in steps] == [
        'UnsharpMasking',
        *('RandomBlur', 'RandomResize', 'RandomNoise', 'RandomJPEGCompression', 'RandomVideoCompression'),
        *('RandomBlur', 'RandomResize', 'RandomNoise', 'RandomJPEGCompression', 'ShuffledSteps', 'Clamp'),
    ]
    assert steps['2 RandomResize']['factor'] == [0.15, 1.5]
    assert steps['7 RandomResize']['factor'] == [0.3, 1.2]
    assert steps['3 RandomNoise']['sigma'] == [1, 30]
    assert steps['8 RandomNoise']['sigma'] == [1, 25]
    assert math.isclose(sum(steps['1 RandomBlur']['kernels'].values()), 1)


def _published():
    from importlib import resources

    return (resources.files('iart.degradations') / 'RealBasicVSR.yml').read_text()


@pytest.mark.parametrize('shape', ['iso', 'aniso', 'generalized_iso', 'plateau_aniso', 'sinc'])
def test_blur_kernels_keep_the_mean(shape):
    section = {'type': 'RandomBlur', 'kernels': {shape: 1}, 'kernel_size': [9, 9]}
    spread = run(section, [impulse()])[0]
    assert np.isclose(spread.sum(), 3000, rtol=1e-4)
    assert np.count_nonzero(np.abs(spread) > 1e-4) <= 81 * 3


def test_blur_has_the_sigma_it_was_given():
    section = {'type': 'RandomBlur', 'kernels': {'iso': 1}, 'kernel_size': [21, 21], 'sigma_x': [2, 2]}
    kernel = run(section, [impulse()])[0][..., 0] / 1000
    offsets = np.arange(41) - 20
    assert np.isclose((kernel.sum(0) * offsets**2).sum(), 4, rtol=1e-3)
    expected = blur_kernels().bivariate_Gaussian(21, 2, 2, 0)
    np.testing.assert_allclose(kernel[10:31, 10:31], expected, atol=1e-6)


def test_parameters_drift_within_their_range():
    drifting = {'type': 'RandomBlur', 'kernels': {'iso': 1}, 'sigma_x': [1.0, 1.1], 'sigma_step': 0.05}
    still = {**drifting, 'sigma_step': 0.0}
    moved, fixed = (np.stack(run(section, [impulse()] * 12)) for section in (drifting, still))
    peaks = moved[:, 20, 20, 0]
    assert len(set(peaks.tolist())) > 5
    assert len({frame.tobytes() for frame in fixed}) == 1
    low, high = (blur_kernels().bivariate_Gaussian(21, s, s, 0).max() * 1000 for s in (1.1, 1.0))
    assert low * 0.999 <= peaks.min()
    assert peaks.max() <= high * 1.001


@pytest.mark.parametrize('chance', [0.0, 1.0])
def test_gaussian_noise_has_its_sigma_and_color(chance):
    section = {'type': 'RandomNoise', 'kinds': {'gaussian': 1}, 'sigma': [20, 20], 'gray': chance}
    noise = np.stack(run(section, gray(size=(96, 96)))) - 128
    assert np.isclose(noise.std(), 20, rtol=0.02)
    assert abs(noise.mean()) < 0.5
    assert np.allclose(noise[..., 0], noise[..., 2], atol=1e-4) == bool(chance)
    assert not np.array_equal(noise[0], noise[1])


def test_poisson_noise_grows_with_brightness():
    """With n gray values there are p = 2^ceil(log2 n) photons at white: the variance at level v is 255 v / p."""
    section = {'type': 'RandomNoise', 'kinds': {'poisson': 1}, 'scale': [1, 1], 'gray': 0}
    frame = np.concatenate([gray(40.0, (64, 64), 1)[0], gray(200.0, (64, 64), 1)[0]])
    noise = run(section, [frame])[0] - frame
    for part, level in ((noise[:64], 40), (noise[64:], 200)):
        assert np.isclose(part.var(), 255 * level / 2, rtol=0.05)


def test_resizing_draws_its_direction():
    section = {'type': 'RandomResize', 'factor': [0.25, 2]}
    for direction, fits in (('up', lambda n: n >= 48), ('down', lambda n: n <= 48), ('keep', lambda n: n == 48)):
        heights = [run({**section, 'directions': {direction: 1}}, gray(count=1), seed)[0].shape[0] for seed in range(9)]
        assert all(fits(h) and h % 2 == 0 for h in heights)
    assert run({'type': 'RandomResize', 'to': 'lq'}, gray(count=1))[0].shape == (12, 16, 3)


def test_jpeg_is_worse_at_low_quality():
    errors = [
        np.abs(run({'type': 'RandomJPEGCompression', 'quality': [q, q]}, smooth(1))[0] - smooth(1)[0]).mean()
        for q in (95, 10)
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize('codec', ['libx264', 'mpeg4'])
def test_video_compression_repeats_and_keeps_odd_sizes(codec):
    frames = [*smooth(6, (33, 47)), *smooth(1, (40, 40))]  # the last one of another size, as drifting resizing makes it
    section = {'type': 'RandomVideoCompression', 'codecs': {codec: 1}, 'bitrate': [20000, 20000]}
    first, again = run(section, frames), run(section, frames)
    assert [frame.shape for frame in first] == [(33, 47, 3)] * 7
    assert np.array_equal(np.stack(first), np.stack(again))
    error = np.abs(np.stack(first[:6]) - np.stack(frames[:6])).mean()
    assert 0 < error < 20


def test_shuffled_groups_change_places():
    section = {
        'type': 'ShuffledSteps',
        'groups': [[{'type': 'RandomResize', 'to': 'lq'}], [{'type': 'Clamp'}, {'type': 'RandomNoise'}]],
    }
    sharp = [frame * 3 for frame in smooth(1)]  # clamping before or after averaging pixels differs
    results = [run(section, sharp, seed)[0] for seed in range(8)]
    assert {r.shape for r in results} == {(12, 16, 3)}
    clamped_last = [r.max() < 255 + 150 and r.max() > 255 for r in results]
    assert len({r.tobytes() for r in results}) == 8
    assert any(clamped_last)


def test_sharpening_makes_edges_steeper():
    edge = np.where(np.arange(64)[None, :, None] < 32, 80, 170).astype(np.float32).repeat(64, 0).repeat(3, 2)
    sharp = run({'type': 'UnsharpMasking'}, [edge])[0]
    assert sharp[32, 31, 0] < 80 - 5
    assert sharp[32, 32, 0] > 170 + 5
    assert np.allclose(run({'type': 'UnsharpMasking'}, gray(count=1))[0], 128, atol=1e-3)


@pytest.mark.parametrize(
    ('chain', 'words'),
    [
        ('RealBasicVR', ['RealBasicVSR']),
        ([], ['a list of steps']),
        ([{'type': 'RandomNois'}], ['degradation.0.type', "did you mean 'RandomNoise'?"]),
        ([{'type': 'RandomNoise', 'sigm': [1, 2]}], ['degradation.0.sigm', 'sigma']),
        ([{'type': 'RandomNoise', 'sigma': 3}], ['degradation.0.sigma', '[a number, a number]']),
        ([{'type': 'RandomNoise', 'sigma': [9, 2]}], ['degradation.0.sigma', '0 <= low <= high']),
        ([{'type': 'RandomBlur', 'kernels': {'round': 1}}], ['degradation.0.kernels', "'round'"]),
        ([{'type': 'RandomNoise'}], ['to: lq']),
        ([{'type': 'RandomResize', 'to': 'lq'}, {'type': 'UnsharpMasking'}], ['UnsharpMasking', 'before all others']),
        (['RandomNoise'], ['degradation.0', 'a step, such as']),
        (
            [{'type': 'ShuffledSteps', 'groups': [[{'type': 'Clamp'}], [{'type': 'Clam'}]]}],
            ['degradation.0.groups.1.0.type', 'Clamp'],
        ),
    ],
)
def test_mistakes_are_named_with_their_place(chain, words):
    problems = check_chain(chain)
    assert problems
    for word in words:
        assert any(word in str(problem) for problem in problems), list(map(str, problems))
    with pytest.raises(OptionsError):
        build_chain(chain)


def test_every_step_refuses_a_probability_above_one():
    for name in names(DEGRADATION_REGISTRY):
        needed = {'RandomBlur': {'kernels': {'iso': 1}}, 'ShuffledSteps': {'groups': [[{'type': 'Clamp'}]] * 2}}
        section = {'type': name, 'probability': 1.5, **needed.get(name, {})}
        assert any('probability' in str(problem) for problem in check_chain([section])), name


def _dataset(tmp_path, **changes):
    root = tmp_path / 'gt'
    if not root.exists():
        write_gt(root, {'000': 4, '001': 4}, size=(96, 96))
    section = {'type': 'VideoClipDataset', 'dataroot_gt': str(root), 'num_frame': 2, 'gt_size': 64, **changes}
    return build_dataset(section, key='datasets.train', scale=4, seed=5)


def test_batches_do_not_depend_on_the_workers(tmp_path):
    """Nor on where a resumed run begins."""
    chosen = []
    for workers, start in ((0, 0), (2, 0), (1, 2)):
        section = DatasetOptions.model_validate({'type': 'x', 'num_worker_per_gpu': workers, 'batch_size_per_gpu': 2})
        dataset = _dataset(tmp_path, degradation='RealBasicVSR', flip_sequence=True, use_rot=True)
        batches = iter(build_train_loader(dataset, section, seed=5, start_batch=start))
        chosen.append([next(batches) for _ in range(4 - start)])
    for batches, start in zip(chosen[1:], (0, 2), strict=True):
        for batch, expected in zip(batches, chosen[0][start:], strict=True):
            assert all(torch.equal(batch[key], expected[key]) for key in ('lq', 'gt', 'gt_plain'))


def test_items_of_a_set_with_a_chain(tmp_path):
    item = _dataset(tmp_path, degradation='RealBasicVSR', flip_sequence=True)[1, 3]
    assert item['lq'].shape == (4, 3, 16, 16)
    assert item['gt'].shape == item['gt_plain'].shape == (4, 3, 64, 64)
    plain = _dataset(tmp_path, degradation='BI', flip_sequence=True)[1, 3]
    assert torch.equal(item['gt_plain'], plain['gt']), 'the same windows, crops and flips'
    assert not torch.equal(item['gt'], plain['gt'])
    this = _dataset(tmp_path, degradation=[{'type': 'RandomNoise'}, {'type': 'RandomResize', 'to': 'lq'}])[1, 3]
    assert 'gt_plain' not in this
    assert this['lq'].shape == (2, 3, 16, 16)


def test_a_chain_that_sharpens_only_goes_beside_lq_files(tmp_path):
    chain = [{'type': 'UnsharpMasking'}]
    with pytest.raises(OptionsError, match='dataroot_lq: got nothing'):
        _dataset(tmp_path, degradation=chain)
    with pytest.raises(OptionsError, match='one of the two'):
        _dataset(tmp_path, degradation='RealBasicVSR', dataroot_lq=str(tmp_path / 'gt'))
    with pytest.raises(OptionsError, match='flow_cache'):
        _dataset(tmp_path, degradation='RealBasicVSR', flow_cache={'folder': 'x', 'spynet_path': 'y'})
    lq = write_lr(tmp_path / 'gt', tmp_path / 'lq', degrade_uint8)
    sharp, plain = (_dataset(tmp_path, degradation=d, dataroot_lq=str(lq))[1, 3] for d in (chain, None))
    assert torch.equal(sharp['lq'], plain['lq'])
    assert torch.equal(sharp['gt_plain'], plain['gt'])
    assert not torch.equal(sharp['gt'], plain['gt'])

"""Adversarial training: its gradients are those of alternating steps, and a run with it resumes bit-exactly."""

import copy

import pytest
import torch
from helpers.tiny import NETWORK, TinyFlow, write_clips, write_options
from torch import nn

from iart.errors import OptionsError
from iart.models.vsr_model import VSRModel
from iart.models.vsrgan_model import VSRGANModel
from iart.options import load
from iart.registry import ARCH_REGISTRY, LOSS_REGISTRY, build, find
from iart.training.checkpoints import load_state
from iart.training.preparation import build_model
from iart.training.trainer import Trainer

CPU = torch.device('cpu')
CLEANED = {'type': 'RealVSR', 'network': NETWORK, 'num_cleaning_feat': 4, 'num_cleaning_block': 1}
GAN = {
    'model_type': 'VSRGANModel',
    'network_g': CLEANED,
    'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4},
    'datasets__val': None,
    'datasets__train__dataroot_lq': None,
    'datasets__train__degradation': 'RealBasicVSR',
    'datasets__train__batch_size_per_gpu': 1,
    'train__accumulate': 2,
    'train__cleaning_opt': {'type': 'L1Loss'},
    'train__gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.05},
    'train__optim_d': {'type': 'Adam', 'lr': 1e-3},
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    write_clips(tmp_path)
    return tmp_path


def train(root, *, auto_resume=False, **changes):
    trainer = Trainer(load(write_options(root, **{**GAN, **changes})), device=CPU, auto_resume=auto_resume)
    try:
        trainer.fit()
    finally:
        trainer.experiment._lock.release()
    return trainer


class Upscale(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, lq):
        return self.conv(lq.flatten(0, 1).repeat_interleave(4, -1).repeat_interleave(4, -2)).unflatten(0, lq.shape[:2])


def test_one_pass_has_the_gradients_of_two_steps():
    torch.manual_seed(0)
    discriminator = find(ARCH_REGISTRY, 'UNetDiscriminatorSN')(3, 4)
    gan = build(LOSS_REGISTRY, {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.05})
    pixel = build(LOSS_REGISTRY, {'type': 'L1Loss'})
    model = VSRGANModel(network=Upscale(), losses={'l_pix': pixel}, discriminator=discriminator, gan_loss=gan)
    other = copy.deepcopy(model)
    batch = {'lq': torch.rand(1, 2, 3, 8, 8), 'gt': torch.rand(1, 2, 3, 32, 32)}
    batch['gt_plain'] = batch['gt'] * 0.5
    model(batch)['loss'].backward()

    output = other.network(batch['lq'])
    fake, real = output.flatten(0, 1), batch['gt_plain'].flatten(0, 1)
    generator = pixel(output, batch['gt']) + gan(other.discriminator(fake), True, is_disc=False)
    generator.backward()
    other.discriminator.zero_grad()
    gan(other.discriminator(real), True, is_disc=True).backward()
    gan(other.discriminator(fake.detach()), False, is_disc=True).backward()
    for (name, mine), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, msg=name)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_a_resumed_run_has_the_same_bits(root, precision):
    train(root, train__precision=precision)
    states = root / 'experiments' / 'tiny' / 'training_states'
    whole = load_state(states / '4.state')
    assert whole['optimizer_d']['state'], 'the discriminator learned'
    (states / '4.state').unlink()
    train(root, auto_resume=True, train__precision=precision)
    again = load_state(states / '4.state')
    assert again.keys() == whole.keys()
    for part in ('params', 'params_ema', 'discriminator'):
        assert all(torch.equal(again[part][name], tensor) for name, tensor in whole[part].items()), part
    for part in ('optimizer', 'optimizer_d'):
        mine, theirs = (s[part]['state'] for s in (again, whole))
        assert all(torch.equal(mine[i][key], value) for i in theirs for key, value in theirs[i].items()), part


def test_weights_that_are_not_finite_stop_at_the_discriminator_too(root):
    trainer = train(root, train__total_iter=1)
    with torch.no_grad():
        next(trainer.model.discriminator.parameters()).fill_(torch.nan)
    batch = [trainer.dataset[0, 0] for _ in range(2)]
    batch = [{k: v[None] if isinstance(v, torch.Tensor) else [v] for k, v in item.items()} for item in batch]
    before = copy.deepcopy(trainer.model.network.state_dict())
    trainer.train_step(batch)
    assert trainer.progress.skipped == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in trainer.model.network.state_dict().items())


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'network_d': None}, ['network_d', 'VSRGANModel']),
        ({'model_type': 'VSRModel'}, ['network_d', 'train.gan_opt', 'train.optim_d', 'model_type: VSRGANModel']),
        ({'network_d': {'type': 'IART'}}, ['network_d.type', 'UNetDiscriminatorSN']),
        ({'train__gan_opt': {'type': 'GANLoss', 'gan_type': 'vanila'}}, ['train.gan_opt', 'vanila']),
        ({'train__optim_d': {'type': 'Adam'}}, ['train.optim_d.lr']),
    ],
)
def test_sections_belong_together(root, changes, words):
    with pytest.raises(OptionsError) as caught:
        load(write_options(root, **{**GAN, **changes}))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_cleaning_loss_needs_a_network_that_cleans(root):
    options = load(write_options(root, train__cleaning_opt={'type': 'L1Loss'}))
    with pytest.raises(OptionsError, match=r'train\.cleaning_opt: got a loss, and IART cleans no frames'):
        build_model(options, CPU, resumed=False)


def test_missing_vgg_weights_are_explained_before_training(root, monkeypatch):
    def fetch(*_, **__):
        raise OSError('no route to host')

    monkeypatch.setattr('torch.hub.load_state_dict_from_url', fetch)
    monkeypatch.setattr('torchvision.models._api.load_state_dict_from_url', fetch)
    perceptual = {'type': 'PerceptualLoss', 'layer_weights': {'conv1_2': 1.0}}
    with pytest.raises(OptionsError, match=r'no route to host(.|\n)*vgg19-dcbb9e9d\.pth'):
        Trainer(load(write_options(root, **GAN, train__perceptual_opt=perceptual)), device=CPU)
    assert not (root / 'experiments' / 'tiny' / 'models').exists()


def test_the_cleaning_loss_compares_with_the_small_ground_truth():
    class Clean(Upscale):
        def clean(self, lq):
            return lq + 0.25

        def restore(self, cleaned):
            return self(cleaned)

    loss = {name: build(LOSS_REGISTRY, {'type': 'L1Loss'}) for name in ('l_pix', 'l_clean')}
    gt = torch.rand(1, 2, 3, 8, 8).repeat_interleave(4, -1).repeat_interleave(4, -2)
    parts = VSRModel(network=Clean(), losses=loss)({'lq': gt[..., ::4, ::4], 'gt': gt})
    assert torch.isclose(parts['l_clean'], torch.tensor(0.25), atol=1e-6)
    assert torch.isclose(parts['loss'], parts['l_pix'] + parts['l_clean'])

"""Building the model of a run, and trying every part of it once before the first iteration."""

import math
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from iart import device as devices
from iart import distributed, log
from iart.archs.builder import build_network
from iart.archs.probe import show_clip
from iart.component_errors import component_errors
from iart.errors import OptionsError
from iart.models.vsr_model import CLEANING_LOSS, TEACHER_LOSS, VSRModel, loss_of
from iart.models.vsrgan_model import VSRGANModel
from iart.options import Options, TrainOptions
from iart.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY, build
from iart.training.parameter_groups import freeze_all_but
from iart.weights import load_weights

_MOST_FRAMES = 15  # shown before training: as many as the recipes of BasicSR train with
_MOST_LOSS_FRAMES = 2
_NAMED = 8


def build_model(options: Options, device: torch.device, *, resumed: bool) -> VSRModel:
    """Build the network and its losses, and load the weights that a new run starts from.

    Args:
        options: with a ``train`` section.
        device: where to train.
        resumed: whether weights come from a training state later, so that ``path.pretrain_network_g`` is not read.

    Raises:
        OptionsError: a component cannot be built, there is no loss, or compilation has no compiler.
        WeightsError: the weights do not fit.
    """
    train = options.train
    assert train is not None
    if train.compile:
        _check_compiler(device)
    network, path = build_network(options), options.path
    if path.pretrain_network_g and not resumed:
        file, key = path.pretrain_network_g, path.param_key_g or 'params'
        load_weights(network, file, key, path.strict_load_g, other_scale=True)
    return model_around(network, options, read_weights=not resumed).to(device).train()


def model_around(network: nn.Module, options: Options, *, read_weights: bool) -> VSRModel:
    """Build the losses of the options, and the discriminator if they have one, around a network.

    Args:
        network: what is trained.
        options: with a ``train`` section.
        read_weights: whether the discriminator starts from ``path.pretrain_network_d``.

    Raises:
        OptionsError: a component cannot be built, or there is no loss.
        WeightsError: the weights do not fit.
    """
    train = options.train
    assert train is not None
    freeze_all_but(network, train.train_only)
    losses = {name: _build_loss(section, key) for name, (key, section) in _losses(train).items()}
    if not losses:
        raise OptionsError('train.pixel_opt: got nothing, expected a loss, such as {type: CharbonnierLoss}')
    model: VSRModel = build(
        MODEL_REGISTRY,
        {'type': options.model_type},
        key='model_type',
        network=network,
        losses=losses,
        fix_flow=train.fix_flow,
        **_adversary(options, read_weights),
    )
    return model


def _check_compiler(device: torch.device) -> None:
    """Raise OptionsError if torch.compile would find no compiler; its own error comes in the first iteration."""
    compiler = os.environ.get('CXX', 'clang++' if sys.platform == 'darwin' else 'g++')
    if devices.generates_cpp(device) and shutil.which(compiler) is None:
        raise OptionsError(
            f'train.compile: got true, but {compiler} is not on the PATH, expected a C++ compiler: install one, '
            'name another with the environment variable CXX, or train without compilation (compile: false)'
        )


def _adversary(options: Options, read_weights: bool) -> dict[str, nn.Module]:
    """Return the discriminator and its loss, if the options have them."""
    path, train = options.path, options.train
    if options.network_d is None or train is None or train.gan_opt is None:
        return {}
    discriminator: nn.Module = build(ARCH_REGISTRY, options.network_d, key='network_d')
    if path.pretrain_network_d and read_weights:
        load_weights(discriminator, path.pretrain_network_d, path.param_key_d or 'params', path.strict_load_d)
    return {'discriminator': discriminator, 'gan_loss': build(LOSS_REGISTRY, train.gan_opt, key='train.gan_opt')}


def _build_loss(section: Mapping[str, Any], key: str) -> nn.Module:
    """Build a loss; one on VGG features reads weights that torchvision fetches if they are missing."""
    try:
        loss: nn.Module = build(LOSS_REGISTRY, section, key=f'train.{key}')
    except OptionsError as error:
        if section['type'] != 'PerceptualLoss' or 'layer_weights' not in section:
            raise
        raise OptionsError(
            f'{error}\n  it needs the ImageNet weights of {section.get("vgg_type", "vgg19")}, which torchvision '
            f'fetches once. Without network, put vgg19-dcbb9e9d.pth into {torch.hub.get_dir()}/checkpoints or into '
            'experiments/pretrained_models, or leave train.perceptual_opt out'
        ) from error
    return loss


def _losses(train: TrainOptions) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the key and section of each loss of the options."""
    sections = {
        'l_pix': ('pixel_opt', train.pixel_opt),
        'l_percep': ('perceptual_opt', train.perceptual_opt),
        TEACHER_LOSS: ('teacher_opt', train.teacher_opt),
        CLEANING_LOSS: ('cleaning_opt', train.cleaning_opt),
    }
    return {name: (key, section) for name, (key, section) in sections.items() if section}


def try_model(model: VSRModel, options: Options, clip: tuple[tuple[int, int], int], device: torch.device) -> None:
    """Run the network on a clip of noise of the training set's size, and every loss on its output.

    Args:
        model: on ``device``.
        options: the run's options.
        clip: (h, w) of the LR frames that are trained on, and their number.
        device: where to compute.

    Raises:
        OptionsError: the network refuses the clip or gives another shape; a loss fails or is not finite and scalar.
    """
    assert options.train is not None
    if options.datasets['train'].arguments.get('flow_cache') is not None:
        model.check_takes_flows()
    size, frames = clip
    output = show_clip(
        model.network,
        size,
        min(frames, _MOST_FRAMES),
        scale=options.scale,
        device=device,
        precision=options.train.precision,
        place='a training clip',
    )[:, :_MOST_LOSS_FRAMES].float()
    target = output.clamp(0, 1) * 0.9
    for name, (key, section) in _losses(options.train).items():
        with torch.no_grad(), component_errors(f'train.{key}', f'{section["type"]} fails on a training clip'):
            value = loss_of(model.losses[name], output, target)
            if value.numel() != 1:
                raise ValueError(
                    f'got a loss of shape {tuple(value.shape)}, expected one number; is `reduction` right?'
                )
    if isinstance(model, VSRGANModel):
        with torch.no_grad(), component_errors('network_d', 'the discriminator fails on a training clip'):
            model.gan_loss(model.discriminator(target.flatten(0, 1)), True, is_disc=True)


def training_clip(dataset: Any, section: Mapping[str, Any], scale: int) -> tuple[tuple[int, int], int]:
    """Return (h, w) of the LR frames of a training clip, and their number, from the options and the data set."""
    sizes = [clip.size for clip in getattr(dataset, 'clips', ())]
    smallest = min(sizes, key=math.prod) if sizes else (64, 64)
    side = section.get('gt_size')
    frames = section.get('num_frame') or 2
    if frames < 1:  # whole clips
        frames = min((len(clip.frames) for clip in dataset.clips), default=2)
    size = (side // scale, side // scale) if side else smallest
    return size, frames * (2 if section.get('flip_sequence') else 1)


class GradientCheck:
    """Names the parameters that get no gradient, once, after the first backward pass of a run.

    Args:
        model: what is trained.
        obeyed: whether data parallel training looks for unused parameters itself.
    """

    def __init__(self, model: nn.Module, *, obeyed: bool) -> None:
        self.model, self.obeyed = model, obeyed
        self._done = False

    def after_backward(self) -> None:
        """Check the gradients of the first backward pass; later calls do nothing.

        Raises:
            OptionsError: several processes train, and would wait for gradients that never come.
        """
        if self._done:
            return
        self._done = True
        names = [name for name, p in self.model.named_parameters() if p.requires_grad and p.grad is None]
        if not names:
            return
        text = f'{len(names)} tensors of parameters get no gradient: ' + ', '.join(names[:_NAMED])
        text += f', and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
        if distributed.world_size() > 1 and not self.obeyed:
            raise OptionsError(
                f'find_unused_parameters: got false, and {text}; data parallel training would wait for them. '
                'Expected find_unused_parameters: true, or a network without them'
            )
        log.once(text)

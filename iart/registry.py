"""The only door to BasicSR: its five registries, our alignment registry, and building by name.

Ours register with ``suffix=SUFFIX``; :func:`find` tries ``<name>_iart`` first, so a name that both have
means ours and every other arch, loss or metric of BasicSR can be named in the same YAML.
"""

import functools
import importlib
import importlib.util
import pkgutil
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from iart.errors import OptionsError, Problem, UserError, listing, nearest
from iart.shipped import ROOT
from iart.signature import fit_to_signature
from iart.yaml_words import spell_value

SUFFIX = 'iart'
SMALLEST_SIDE = 64
"""LR pixels: BasicSR's networks with SPyNet, whose six levels halve the frame, refuse less."""
_BASICSR_REQUIREMENT = ROOT / 'scripts' / 'requirements-basicsr.txt'


def _import_basicsr() -> Any:
    """Import BasicSR's registry; the released 1.4.2 gets the torchvision module it needs (removed in 0.17)."""
    missing = 'torchvision.transforms.functional_tensor'
    if importlib.util.find_spec('torchvision.transforms._functional_tensor') and missing not in sys.modules:
        shim = types.ModuleType(missing)
        colors: Any = importlib.import_module('torchvision.transforms.functional')
        shim.rgb_to_grayscale = colors.rgb_to_grayscale  # type: ignore[attr-defined]
        sys.modules[missing] = shim
    warnings.filterwarnings('ignore', 'torch.meshgrid', UserWarning)  # from BasicSR's flow warp; users cannot change it
    warnings.filterwarnings('ignore', 'Deformable alignment module is not added', UserWarning)  # it is added here
    try:
        return importlib.import_module('basicsr.utils.registry')
    except ModuleNotFoundError as error:
        if error.name != 'basicsr':
            raise
        raise UserError(
            f'BasicSR is not installed: run  iart setup  (pip install --no-deps -r {_BASICSR_REQUIREMENT})'
        ) from error


_basicsr = _import_basicsr()
ARCH_REGISTRY = _basicsr.ARCH_REGISTRY
DATASET_REGISTRY = _basicsr.DATASET_REGISTRY
MODEL_REGISTRY = _basicsr.MODEL_REGISTRY
LOSS_REGISTRY = _basicsr.LOSS_REGISTRY
METRIC_REGISTRY = _basicsr.METRIC_REGISTRY
ALIGNMENT_REGISTRY = _basicsr.Registry('alignment')
FLOW_REGISTRY = _basicsr.Registry('flow')
DEGRADATION_REGISTRY = _basicsr.Registry('degradation')

# Where each registry's components live and how their files are named: dropping a file there registers it.
_HOMES = {
    'alignment': ('iart.alignments', '_alignment'),
    'arch': ('iart.archs', '_arch'),
    'dataset': ('iart.data', '_dataset'),
    'degradation': ('iart.degradations', '_degradation'),
    'flow': ('iart.archs', '_flow'),
    'loss': ('iart.losses', '_loss'),
    'metric': ('iart.metrics', '_metric'),
    'model': ('iart.models', '_model'),
}


def spynet_class() -> type:
    """Return BasicSR's SpyNet (six levels, 1.44 M parameters)."""
    return importlib.import_module('basicsr.archs.spynet_arch').SpyNet


def compute_flow_in_float32(warp: Callable[..., Any]) -> None:
    """Let BasicSR's networks estimate flow in float32 under any autocast, and warp by ``warp``.

    Its own warp makes the sampling grid in the dtype of the feature: bfloat16 has the integers to 256 only, so that
    wider frames come out wrong (at 320 pixels a tenth of them).

    Args:
        warp: called with (x, flow (n, 2, h, w), mode=, padding=); see :func:`iart.ops.warp.flow_warp`.
    """
    basicsr_warp = importlib.import_module('basicsr.archs.arch_util').flow_warp
    if hasattr(basicsr_warp, 'replaced'):
        return

    def flow_warp(
        x: Any, flow: Any, interp_mode: str = 'bilinear', padding_mode: str = 'zeros', align_corners: bool = True
    ) -> Any:
        if not align_corners:
            return basicsr_warp(x, flow, interp_mode, padding_mode, align_corners)
        return warp(x, flow.permute(0, 3, 1, 2), mode=interp_mode, padding=padding_mode)

    flow_warp.replaced = basicsr_warp  # type: ignore[attr-defined]
    for name, module in list(sys.modules.items()):
        if name.startswith('basicsr.') and getattr(module, 'flow_warp', None) is basicsr_warp:
            module.flow_warp = flow_warp  # type: ignore[attr-defined]
    spynet: Any = spynet_class()
    estimate = spynet.forward

    def forward(self: Any, ref: Any, supp: Any) -> Any:
        with torch.autocast(ref.device.type, enabled=False):
            return estimate(self, ref.float(), supp.float())

    spynet.forward = forward


def residual_blocks_class() -> type:
    """Return BasicSR's trunk of BasicVSR: a convolution, then residual blocks without normalization."""
    return importlib.import_module('basicsr.archs.basicvsr_arch').ConvResidualBlocks


def compares_frames(loss: Any) -> bool:
    """Return whether a loss takes frames (n, c, h, w) instead of clips, as BasicSR's perceptual loss does."""
    return isinstance(loss, importlib.import_module('basicsr.losses.basic_loss').PerceptualLoss)


@contextmanager
def vgg_without_weights() -> Iterator[None]:
    """Let perceptual losses be built around VGG with random weights while this context lasts; none are fetched."""
    extractor = importlib.import_module('basicsr.archs.vgg_arch')
    original = extractor.vgg

    def random_features(vgg_type: str) -> Callable[..., Any]:
        def build_features(**_: Any) -> Any:
            with torch.device('meta'):  # the fully connected layers, 0.5 GB that are not used, are never made
                network = getattr(original, vgg_type)(weights=None, init_weights=False)
            features = network.features.to_empty(device='cpu')
            for layer in features:
                if hasattr(layer, 'reset_parameters'):
                    layer.reset_parameters()
            return types.SimpleNamespace(features=features)

        return build_features

    kinds = {name: random_features(name) for name in dir(original) if name.startswith('vgg')}
    with ExitStack() as stack:
        stack.enter_context(patch.object(extractor, 'vgg', types.SimpleNamespace(**kinds)))
        stack.enter_context(patch.object(extractor, 'VGG_PRETRAIN_PATH', ''))
        yield


def matlab_imresize(image: Any, scale: float) -> Any:
    """Apply BasicSR's version of MATLAB's antialiased bicubic ``imresize`` to an (h, w, c) image in [0, 1]."""
    return importlib.import_module('basicsr.utils.matlab_functions').imresize(image, scale, antialiasing=True)


def blur_kernels() -> Any:
    """Return BasicSR's module of blur kernels; its ``bivariate_*`` and ``circular_lowpass_kernel`` are not random."""
    return importlib.import_module('basicsr.data.degradations')


def unsharp_mask(image: Any, *, weight: float, radius: int, threshold: float) -> Any:
    """Apply BasicSR's unsharp masking to an (h, w, c) float32 image in [0, 1].

    Args:
        weight: factor on the difference to the blurred image.
        radius: side of the Gaussian kernel in pixels, odd.
        threshold: difference in 255ths from which a pixel is sharpened.
    """
    sharpen = importlib.import_module('basicsr.utils.img_process_util').usm_sharp
    return sharpen(image, weight=weight, radius=radius, threshold=threshold)


def find(registry: Any, name: str) -> Callable[..., Any]:
    """Return the component registered under ``name``: ours first, then BasicSR's.

    Raises:
        UserError: there is no such component; the message lists the names and the nearest one.
    """
    registered = names(registry)
    for candidate in (f'{name}_{SUFFIX}', name, f'{name}_basicsr'):
        if candidate in registry:
            return registry._obj_map[candidate]
    raise UserError(
        f'no {registry._name} named {name!r}: {nearest(name, registered) or "known are " + listing(registered, 60)}'
    )


def names(registry: Any) -> list[str]:
    """Return all names that :func:`find` accepts, without suffixes, sorted."""
    discover(registry._name)
    return sorted({str(k).removesuffix(f'_{SUFFIX}') for k, _ in registry})


def ours(registry: Any) -> list[str]:
    """Return the names registered by this project (not BasicSR's), sorted."""
    discover(registry._name)
    return sorted(str(k).removesuffix(f'_{SUFFIX}') for k, _ in registry if str(k).endswith(f'_{SUFFIX}'))


@functools.cache
def discover(kind: str) -> None:
    """Import every ``*_<kind>.py`` of the kind's folder, which registers what it defines."""
    package_name, ending = _HOMES[kind]
    try:
        package = importlib.import_module(package_name)
    except ModuleNotFoundError as error:
        if error.name != package_name:
            raise
        return
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith(ending):
            importlib.import_module(f'{package_name}.{module.name}')


def build(registry: Any, section: Mapping[str, Any], *, key: str | None = None, **given: Any) -> Any:
    """Build the component that ``section['type']`` names from the section's other keys.

    Args:
        registry: one of the registries of this module.
        section: a YAML section: ``type`` and the arguments of its constructor.
        key: path of the section in the YAML, for messages; default the registry's name.
        given: further arguments, which are not checked.

    Raises:
        OptionsError: there is no such type, its arguments do not fit its signature (all are listed), or its constructor
            raises, with its message: a missing file, no network to fetch weights, an unknown value.
    """
    key = key or registry._name
    arguments = {k: v for k, v in section.items() if k != 'type'}
    component = find(registry, section['type'])
    fitted, problems = fit_to_signature(component, arguments, key=key, given=frozenset(given))
    if problems:
        raise OptionsError('\n'.join(str(p) for p in problems))
    try:
        return component(**fitted, **given)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # Our components raise ValueError for values that contradict each other; other errors are bugs.
        if component.__module__.startswith('iart.') and not isinstance(error, ValueError | OSError):
            raise
        raise OptionsError(str(_refusal(key, section['type'], fitted, error))) from error


def _refusal(key: str, name: str, arguments: Mapping[str, Any], error: Exception) -> Problem:
    """Return the error of a constructor, with its message, at the argument whose value it names."""
    words = ' '.join(str(error).split()) or type(error).__name__
    for argument, value in arguments.items():
        if isinstance(value, str) and value and value in words:
            if isinstance(error, FileNotFoundError):
                return Problem(f'{key}.{argument}', spell_value(value), 'a file that exists', f'{name}: {words}')
            return Problem(f'{key}.{argument}', spell_value(value), f'a value that {name} accepts', words)
    return Problem(key, spell_value(dict(arguments)), f'arguments that {name} can be built with', words)

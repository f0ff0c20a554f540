"""Keys of IART's and BasicSR's YAML files that have other names here, or no effect. Each is explained once."""

from typing import Any

from iart.errors import Problem

_MIXED_PRECISION = ('RecurrentMixPrecisionRTModel', 'RecurrentMixPrecisionModel')
_SAME_MODEL = (*_MIXED_PRECISION, 'VideoRecurrentModel', 'VideoBaseModel')

_NO_GRAPH_HINTS = 'the flow network freezes without changing the graph, so distributed training needs no hint about it'
_NO_PREFETCHER = 'the loader reads ahead by itself'
RETIRED = {
    '': {'use_static_graph': _NO_GRAPH_HINTS},
    'datasets.*': {
        'prefetch_mode': _NO_PREFETCHER,
        'num_prefetch_queue': _NO_PREFETCHER,
        'phase': 'it is the key of the section (train, val, test_1, ...)',
    },
    'val': {'pbar': 'progress bars appear on a terminal and nowhere else'},
}
_GAN_MODEL = 'VideoRecurrentGANModel'
_ONE_STEP_EACH = 'generator and discriminator take one step each per iteration, from the first one'
# Key → the value that means what happens anyway.
_FIXED = {'net_d_iters': 1, 'net_d_init_iters': 0, 'net_d_init_iter': 0, 'net_d_iter': 1}
_REGULARIZED = ('d_reg_weight', 'net_d_reg_every')


def normalize(raw: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], list[Problem]]:
    """Convert an upstream YAML to this project's keys.

    Args:
        raw: the merged YAML; it is changed in place.

    Returns:
        The YAML, explanations of what was left out or changed, and the mistakes.
    """
    notes: dict[str, str] = {}
    problems: list[Problem] = []
    _rename_model(raw, notes, problems)
    for place, keys in RETIRED.items():
        for section in _sections(raw, place):
            for key in keys.keys() & section.keys():
                if section.pop(key) is not None:
                    notes[key] = f'{key} is no longer needed: {keys[key]}'
    for section in _sections(raw, 'train'):
        _adversarial(section, notes, problems)
    return raw, tuple(notes[key] for key in sorted(notes)), problems


def _rename_model(raw: dict[str, Any], notes: dict[str, str], problems: list[Problem]) -> None:
    """Convert ``model_type``; the names of upstream's mixed-precision models imply fp16."""
    model_type = raw.get('model_type')
    if model_type == _GAN_MODEL:
        raw['model_type'] = 'VSRGANModel'
        return
    if model_type not in _SAME_MODEL:
        return
    raw['model_type'] = 'VSRModel'
    train = raw.get('train')
    if model_type in _MIXED_PRECISION and isinstance(train, dict) and 'precision' not in train:
        train['precision'] = 'fp16'
        notes['model_type'] = f'model_type {model_type} is VSRModel with train.precision: fp16'


def _adversarial(train: dict[str, Any], notes: dict[str, str], problems: list[Problem]) -> None:
    """Take out upstream's keys of adversarial training whose value changes nothing here, and report the others."""
    for key in [key for key in _FIXED if key in train]:
        value = train.pop(key)
        if value is not None and value != _FIXED[key]:
            problems.append(Problem(f'train.{key}', repr(value), str(_FIXED[key]), _ONE_STEP_EACH))
        else:
            notes[key] = f'{key} is no longer needed: {_ONE_STEP_EACH}'
    for key in [key for key in _REGULARIZED if key in train]:
        problems.append(
            Problem(f'train.{key}', repr(train.pop(key)), 'no such key: regularized discriminators are not supported')
        )


def _sections(raw: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The mappings at ``place``: '' the file itself, 'val' a section, 'datasets.*' every section of a section."""
    if not place:
        return [raw]
    section = raw.get(place.removesuffix('.*'))
    sections = list(section.values()) if place.endswith('.*') and isinstance(section, dict) else [section]
    return [mapping for mapping in sections if isinstance(mapping, dict)]

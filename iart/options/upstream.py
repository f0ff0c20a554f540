"""What YAML files of IART and BasicSR say in other words, or say without effect. Each is explained once."""

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
        'phase': 'the key of the section (train, val, test_1, ...) says it',
    },
    'val': {'pbar': 'progress bars appear on a terminal and nowhere else'},
}
_ADVERSARIAL = {
    '': ('network_d',),
    'path': ('pretrain_network_d', 'strict_load_d', 'param_key_d'),
    'train': (
        'optim_d',
        'gan_opt',
        'net_d_iters',
        'net_d_init_iters',
        'net_d_init_iter',
        'net_d_iter',
        'd_reg_weight',
        'net_d_reg_every',
    ),
}


def normalise(raw: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], list[Problem]]:
    """Say an upstream YAML in our words.

    Args:
        raw: the merged YAML; it is changed in place.

    Returns:
        The YAML, explanations of what was left out or changed, and the mistakes found (adversarial sections).
    """
    notes: dict[str, str] = {}
    problems: list[Problem] = []
    _rename_model(raw, notes, problems)
    for place, keys in RETIRED.items():
        for section in _sections(raw, place):
            for key in keys.keys() & section.keys():
                if section.pop(key) is not None:
                    notes[key] = f'{key} is no longer needed: {keys[key]}'
    for place, names in _ADVERSARIAL.items():
        for section in _sections(raw, place):
            for key in [k for k in names if k in section]:
                section.pop(key)
                problems.append(_out_of_scope(f'{place}.{key}'.lstrip('.'), 'an adversarial section'))
    return raw, tuple(notes[key] for key in sorted(notes)), problems


def _rename_model(raw: dict[str, Any], notes: dict[str, str], problems: list[Problem]) -> None:
    """``model_type`` in our words; upstream's mixed-precision models say fp16 by their name."""
    model_type = raw.get('model_type')
    if isinstance(model_type, str) and 'GAN' in model_type:
        problems.append(_out_of_scope('model_type', repr(model_type)))
        raw['model_type'] = 'VSRModel'
    if model_type not in _SAME_MODEL:
        return
    raw['model_type'] = 'VSRModel'
    train = raw.get('train')
    if model_type in _MIXED_PRECISION and isinstance(train, dict) and 'precision' not in train:
        train['precision'] = 'fp16'
        notes['model_type'] = f'model_type {model_type} is VSRModel with train.precision: fp16'


def _out_of_scope(key: str, found: str) -> Problem:
    return Problem(key, found, 'no such thing: adversarial (GAN) training is out of scope')


def _sections(raw: dict[str, Any], place: str) -> list[dict[str, Any]]:
    """The mappings at ``place``: '' the file itself, 'val' a section, 'datasets.*' every section of a section."""
    if not place:
        return [raw]
    section = raw.get(place.removesuffix('.*'))
    found = list(section.values()) if place.endswith('.*') and isinstance(section, dict) else [section]
    return [mapping for mapping in found if isinstance(mapping, dict)]

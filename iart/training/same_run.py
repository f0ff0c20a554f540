"""Check of whether a training state belongs to the run that resumes from it."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from iart.errors import OptionsError
from iart.log import logger
from iart.options import Options, dump

# The meaning of stored weights, and the order of clips. The longest entry that matches a key decides.
_HARMFUL = (
    'model_type',
    'scale',
    'manual_seed',
    'network_g',
    'network_d',
    'datasets.train',
    'train.accumulate',
    'processes',
    'training clips',
)
_HARMLESS = (
    *('network_g.use_checkpoint', 'network_g.cpu_cache_length', 'network_g.spynet_path', 'network_g.edvr_path'),
    *(
        'datasets.train.name',
        'datasets.train.num_worker_per_gpu',
        'datasets.train.pin_memory',
        'datasets.train.cache_data',
    ),
    # where the frames lie; whether they are the same ones is seen from their listing
    *(
        'datasets.train.dataroot_gt',
        'datasets.train.dataroot_lq',
        'datasets.train.meta_info_file',
        'datasets.train.io_backend',
    ),
    'datasets.train.flow_cache.folder',
    *('datasets.train.protocol', 'datasets.train.published', 'datasets.train.unreadable'),
)


def run_facts(options: Options, dataset: Any, processes: int) -> dict[str, Any]:
    """Return the facts of a run that are stored in every training state: what must not change, or is logged if it does.

    Args:
        dataset: the training set, whose ``clips`` count by their names, frames and sizes.
    """
    listing = [(clip.name, clip.frames, clip.size) for clip in getattr(dataset, 'clips', ())]
    digest = hashlib.sha256(repr(listing).encode()).hexdigest()[:16]
    return {'options': dump(options), 'processes': processes, 'clips': f'{len(dataset)} windows, listing {digest}'}


def check_same_run(state: Mapping[str, Any], facts: Mapping[str, Any], *, forced: bool = False) -> None:
    """Report everything that changed since the state was written.

    Args:
        state: a training state, with ``facts`` of :func:`run_facts` in it.
        facts: facts of the run that resumes.
        forced: whether harmful changes are accepted, as far as the stored weights fit.

    Raises:
        OptionsError: network, data, their order or the number of processes changed.
    """
    then = state['facts']
    changed = list(differences(yaml.safe_load(then['options']), yaml.safe_load(facts['options'])))
    changed += [
        (name, then[key], facts[key])
        for name, key in (('processes', 'processes'), ('training clips', 'clips'))
        if then[key] != facts[key]
    ]
    lines = {key: f'{key}: {_shown(old)} → {_shown(new)}' for key, old, new in changed}
    for line in lines.values():
        logger.info(f'changed since the training state was written: {line}')
    harmful = [line for key, line in lines.items() if is_harmful(key)]
    if harmful and not forced:
        raise OptionsError(
            'the training state is of another run: network, data, their order or number of processes differ:\n  '
            + '\n  '.join(harmful)
            + '\n  expected the same; continue all the same with --force_resume, or start again from weights with '
            'path.pretrain_network_g'
        )
    if harmful:
        logger.warning('forced to resume: from here on this is another run than the one that was started')


def is_harmful(key: str) -> bool:
    """Return whether a run with another value of this option (``a.b.c``) is another run."""
    fitting = [entry for entry in (*_HARMFUL, *_HARMLESS) if key == entry or key.startswith(f'{entry}.')]
    return max(fitting, key=len, default='') in _HARMFUL


def differences(old: Any, new: Any, key: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Yield (``a.b``, old, new) for each difference between two nested mappings; None for a key that one lacks."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield key, old, new
        return
    for name in sorted({*old, *new}, key=str):
        yield from differences(old.get(name), new.get(name), f'{key}.{name}' if key else str(name))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and ' ' in value else repr(value)

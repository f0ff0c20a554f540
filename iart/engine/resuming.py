"""Whether a training state belongs to the run that wants to go on from it."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from iart.errors import OptionsError
from iart.log import logger
from iart.options import Options, dump

_HARMFUL = ('network_g', 'scale', 'model_type')


def check_same_run(state: Mapping[str, Any], options: Options) -> None:
    """Name every option that changed since the state was written.

    Raises:
        OptionsError: one of them changes what the stored weights mean (network, scale, model).
    """
    changed = list(differences(yaml.safe_load(state['options']), yaml.safe_load(dump(options))))
    for line in changed:
        logger.info(f'changed since the training state was written: {line}')
    if harmful := [line for line in changed if line.split('.')[0].split(':')[0] in _HARMFUL]:
        raise OptionsError('the training state belongs to another network:\n  ' + '\n  '.join(harmful))


def differences(old: Any, new: Any, key: str = '') -> Iterator[str]:
    """Lines ``a.b: old → new`` for everything that two nested mappings do not share."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield f'{key}: {old!r} → {new!r}'
        return
    for name in sorted({*old, *new}, key=str):
        yield from differences(old.get(name), new.get(name), f'{key}.{name}' if key else str(name))

"""The options reference, made from the models: ``python -m iart.options > docs/options.md``."""

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from iart.options.base import Section, thaw
from iart.options.schema import (
    DatasetOptions,
    DistOptions,
    LoggerOptions,
    Options,
    PathOptions,
    ValOptions,
    WandbOptions,
)
from iart.options.train_section import CosineAnnealingRestartLR, MultiStepLR, TrainOptions, TrueCosineAnnealingLR

_INTRODUCTION = """# Options

Made by `python -m iart.options > docs/options.md` from the models in `iart/options/`; do not edit by hand.

An options file is YAML. `iart check options/X.yml` prints it complete with every default, or all its mistakes at once.
An editor with a YAML language server completes and checks it by [options.schema.json](options.schema.json), which the
first line names: `# yaml-language-server: $schema=PATH/TO/options.schema.json`.

- `base: other.yml` (path relative to the file) takes everything from one other file, which has no base itself. Mappings
merge
  key by key; lists and single values replace, `~` too. A section that names another `type` replaces the base's whole
  section.
- `--force_yml train:optim_g:lr=1e-4 val:save_img=true` on the command line replaces single values; the value is read as
YAML.
- `2e-4`, `!!float 2e-4` and `5000.0` for a whole number are understood. A key that occurs twice is a mistake. Nothing
in a YAML file
  can create objects or run code.
- Sections with a `type` (`network_g`, `alignment`, data sets, losses, metrics, the optimizer) take the arguments of
what `type`
  names, which are described in its docstring; they are checked against its signature.
- YAML files of IART and of BasicSR's recurrent video recipes load unchanged. Their `model_type` means `VSRModel` (the
  mixed-precision ones with `train.precision: fp16`); `use_static_graph`, `prefetch_mode`,
  `num_prefetch_queue` and `val.pbar` have no meaning any more, which is explained once. `VideoRecurrentGANModel`
  means `VSRGANModel`.
"""

_SECTIONS: tuple[tuple[str, type[Section]], ...] = (
    ('The file', Options),
    ('`datasets.<key>`', DatasetOptions),
    ('`path`', PathOptions),
    ('`train`', TrainOptions),
    ('`train.scheduler` of type `CosineAnnealingRestartLR`', CosineAnnealingRestartLR),
    ('`train.scheduler` of type `MultiStepLR` or `MultiStepRestartLR`', MultiStepLR),
    ('`train.scheduler` of type `TrueCosineAnnealingLR`', TrueCosineAnnealingLR),
    ('`val`', ValOptions),
    ('`logger`', LoggerOptions),
    ('`logger.wandb`', WandbOptions),
    ('`dist_params`', DistOptions),
)


def reference() -> str:
    """The whole page in Markdown: one table per section, one row per key."""
    parts = [_INTRODUCTION]
    for title, model in _SECTIONS:
        rows = [
            _row(name, field)
            for name, field in model.model_fields.items()
            if (model, name) != (DatasetOptions, 'arguments')
        ]
        about = re.sub(r'\s+', ' ', model.__doc__ or '')
        parts.append(
            '\n'.join(
                [f'## {title}\n', f'{about}\n', '| key | values | default | meaning |', '|---|---|---|---|', *rows, '']
            )
        )
    return '\n'.join(parts)


def _row(name: str, field: FieldInfo) -> str:
    meaning = re.sub(r'\s+', ' ', field.description or '').replace('|', r'\|')
    kinds = list(
        dict.fromkeys(_kinds(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation))
    )
    return f'| `{name}` | {" or ".join(kinds)} | {_default(field)} | {meaning} |'


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return 'required'
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or isinstance(value, Section) or value == {}:
        return ''
    words = {None: '`~`', True: '`true`', False: '`false`'}
    return words[value] if value is None or isinstance(value, bool) else f'`{thaw(value)}`'


def _kinds(annotation: Any) -> Iterator[str]:
    """An annotation in the words of somebody who writes YAML."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = ', '.join(_bounds(inner[1:]))
        for kind in _kinds(inner[0]):
            yield f'{kind} {bounds}' if bounds and kind in ('whole number', 'number') else kind
    elif origin in (Union, types.UnionType):
        for member in inner:
            yield from _kinds(member)
    elif origin is Literal:
        yield from (f'`{word}`' for word in inner)
    elif origin is tuple:
        yield f'list of {" or ".join(_kinds(inner[0]))}'
    elif annotation is type(None):
        yield '`~`'
    else:
        yield {int: 'whole number', float: 'number', bool: '`true` or `false`', str: 'text'}.get(annotation, 'section')


def _bounds(metadata: tuple[Any, ...]) -> Iterator[str]:
    for item in metadata:
        for constraint in getattr(item, 'metadata', (item,)):  # Field(...) keeps its constraints in a list of its own
            for kind, sign, attribute in ((Ge, '≥', 'ge'), (Gt, '>', 'gt'), (Le, '≤', 'le'), (Lt, '<', 'lt')):
                if isinstance(constraint, kind):
                    yield f'{sign} {getattr(constraint, attribute)}'

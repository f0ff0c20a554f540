"""Base of the option models: the frozen base model, whole numbers, lists and free sections."""

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A section of the YAML with a fixed set of keys: unknown keys are errors, values never change, and a quoted number
    or a boolean is not a number."""

    model_config = ConfigDict(
        frozen=True, extra='forbid', strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class FrozenDict(dict[str, Any]):
    """A read-only dictionary; ``dict(section)`` returns a copy to change."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError('options are read-only; copy the section with dict(...) to change it')

    __setitem__ = __delitem__ = __ior__ = _refuse  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type['FrozenDict'], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


def freeze(value: Any) -> Any:
    """Return a value with all mappings as :class:`FrozenDict` and all lists as tuples, recursively."""
    if isinstance(value, Mapping):
        return FrozenDict({k: freeze(v) for k, v in value.items()})
    return tuple(freeze(v) for v in value) if isinstance(value, list | tuple) else value


def thaw(value: Any) -> Any:
    """Return new plain dictionaries and lists, recursively; the inverse of :func:`freeze`."""
    if isinstance(value, Mapping):
        return {k: thaw(v) for k, v in value.items()}
    return [thaw(v) for v in value] if isinstance(value, list | tuple) else value


def _whole(value: Any) -> Any:
    """Convert ``!!float 5e3`` to a whole number; 0.5 is returned unchanged, and rejected later."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Whole = Annotated[int, BeforeValidator(_whole)]
Natural = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
Naturals = Annotated[tuple[Natural, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Positives = Annotated[tuple[Positive, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Weights = Annotated[tuple[float, ...], BeforeValidator(_as_tuple), Field(min_length=1)]

# A section whose keys are the arguments of what its `type` names.
Component = Annotated[dict[str, Any], AfterValidator(freeze)]

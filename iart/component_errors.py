"""What a component that is not ours raises, as a message for the user."""

import contextlib
from collections.abc import Iterator

from iart import memory
from iart.errors import OptionsError, UserError


@contextlib.contextmanager
def component_errors(key: str, what: str) -> Iterator[None]:
    """Turn whatever a component raises into a user's error; our own user errors and lack of memory pass.

    Args:
        key: path of the component's section in the YAML.
        what: the component and what it was asked to do, e.g. ``BasicVSR could not be built``.

    Raises:
        OptionsError: names the key and repeats the component's own words.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if memory.lacks_memory(error):
            raise
        words = str(error).strip()
        if not words or isinstance(error, LookupError | TypeError | AttributeError):
            words = f'{type(error).__name__}: {words}'
        raise OptionsError(f'{key}: {what}: {words}') from error

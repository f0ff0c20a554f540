"""Chains of steps: read, checked and run."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from iart.degradations.step import Image, Step
from iart.errors import DataError, OptionsError, Problem, UserError, listing, nearest
from iart.registry import DEGRADATION_REGISTRY, build, find, names
from iart.signature import fit_to_signature
from iart.yaml_words import spell_value

FRAME_KINDS = ('BI', 'BD')
"""Degradations of single frames, which take the place of a chain and draw nothing (:mod:`iart.ops.degradation`)."""
_DRAWS = 0xDE64  # keeps the draws of a chain apart from those for crops and flips
_ENDINGS = ('.yml', '.yaml')


class Chain:
    """Steps that turn ground truth into low-resolution frames.

    What is drawn depends on ``seed`` alone, step by step: neither the number of processes nor the order in which
    frames are asked for has an influence.

    Args:
        name: for messages.
        steps: those that change the ground truth first.

    Raises:
        OptionsError: the steps do not fit together.
    """

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        count = next((i for i, step in enumerate(steps) if not step.changes_gt), len(steps))
        self.gt_steps, self.lq_steps = tuple(steps[:count]), tuple(steps[count:])
        if mistakes := _order_mistakes(steps):
            raise OptionsError('\n'.join(str(Problem(name, got, expected)) for got, expected in mistakes))

    def sharpen(self, frames: Iterable[Image], seed: Sequence[int]) -> Iterator[Image]:
        """Yield the ground truth as the chain changes it.

        Args:
            frames: (h, w, 3) float32 RGB, 0 to 255.
            seed: numbers that decide everything random.
        """
        return _run(self.gt_steps, frames, (*seed, 0), (0, 0))

    def degrade(self, frames: Iterable[Image], seed: Sequence[int], lq_size: tuple[int, int]) -> Iterator[Image]:
        """Yield low-resolution frames (*lq_size, 3), 0 to 255.

        Args:
            frames: the ground truth as :meth:`sharpen` gives it.
            seed: see there.
            lq_size: (h, w) of the low-resolution frames.

        Raises:
            DataError: the frames come out in another size.
        """
        for frame in _run(self.lq_steps, frames, (*seed, 1), lq_size):
            if frame.shape[:2] != lq_size:
                got = f'{frame.shape[1]}x{frame.shape[0]}'
                raise DataError(f'degradation {self.name}: got {got}, expected {lq_size[1]}x{lq_size[0]}')
            yield frame


def _run(
    steps: Sequence[Step], frames: Iterable[Image], seed: tuple[int, ...], lq_size: tuple[int, int]
) -> Iterator[Image]:
    for number, step in enumerate(steps):
        frames = step(frames, np.random.default_rng([_DRAWS, *seed, number]), lq_size)
    return iter(frames)


def build_step(section: Mapping[str, Any], key: str) -> Step:
    """Build one step from ``type`` and its arguments.

    Raises:
        OptionsError: no such step, or arguments that it does not take.
    """
    step: Step = build(DEGRADATION_REGISTRY, section, key=key)
    return step


@functools.cache
def _published() -> dict[str, Path]:
    folder = Path(str(resources.files('iart.degradations')))
    return {path.stem: path for path in sorted(folder.glob('*.yml'))}


def chain_names() -> list[str]:
    """Return the names of the published chains."""
    return list(_published())


def load_chain(name: str) -> list[dict[str, Any]]:
    """Return the steps of a published chain, by name, or of a YAML file, by path.

    Raises:
        OptionsError: there is neither, or the file is not a list of steps.
    """
    path = _published().get(name)
    if path is None and name.endswith(_ENDINGS):
        path = Path(name)
    if path is None:
        kinds = listing((*FRAME_KINDS, *chain_names()))
        hint = nearest(name, (*FRAME_KINDS, *chain_names()))
        raise OptionsError(
            f'degradation: got {name!r}, expected {kinds}, a YAML file or a list of steps{f" ({hint})" if hint else ""}'
        )
    try:
        steps = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionsError(f'degradation: {path} cannot be read: {" ".join(str(error).split())}') from error
    if not isinstance(steps, list):
        raise OptionsError(f'degradation: {path}: got {spell_value(steps)}, expected a list of steps')
    return steps


def build_chain(chain: str | Sequence[Mapping[str, Any]], *, key: str = 'degradation') -> Chain:
    """Build a chain.

    Args:
        chain: name of a published one, path of a YAML file, or a list of steps.
        key: path of the list in the YAML, for messages.

    Raises:
        OptionsError: all mistakes in it.
    """
    if problems := check_chain(chain, key):
        raise OptionsError('\n'.join(map(str, problems)))
    steps = load_chain(chain) if isinstance(chain, str) else chain
    return Chain(chain if isinstance(chain, str) else key, [build_step(s, f'{key}.{i}') for i, s in enumerate(steps)])


def check_chain(chain: Any, key: str = 'degradation') -> list[Problem]:
    """Return the mistakes in a chain, which is given as for :func:`build_chain`."""
    if isinstance(chain, str):
        try:
            chain = load_chain(chain)
        except OptionsError as error:
            return [_problem(key, error)]
    if not isinstance(chain, list | tuple) or not chain:
        expected = f'{listing((*FRAME_KINDS, *chain_names()))}, a YAML file or a list of steps'
        return [Problem(key, spell_value(chain), expected)]
    problems = [problem for i, section in enumerate(chain) for problem in _step_mistakes(section, f'{key}.{i}')]
    if not problems:
        steps = [build_step(section, f'{key}.{i}') for i, section in enumerate(chain)]
        problems = [Problem(key, got, expected) for got, expected in _order_mistakes(steps)]
    return problems


def _problem(key: str, error: UserError) -> Problem:
    """A message ``degradation: got X, expected Y`` with the key that is at fault."""
    text = str(error).removeprefix('degradation: ')
    got, _, expected = text.removeprefix('got ').partition(', expected ')
    return Problem(key, got, expected) if expected else Problem(key, text, 'a YAML list of steps')


def _step_mistakes(section: Any, key: str) -> list[Problem]:
    if not isinstance(section, Mapping):
        return [Problem(key, spell_value(section), 'a step, such as {type: RandomNoise, sigma: [1, 30]}')]
    name = section.get('type')
    steps = names(DEGRADATION_REGISTRY)
    if name not in steps:
        got = 'nothing' if name is None else spell_value(name)
        return [Problem(f'{key}.type', got, f'one of: {listing(steps)}', nearest(str(name), steps))]
    step = find(DEGRADATION_REGISTRY, name)
    fitted, problems = fit_to_signature(step, {k: v for k, v in section.items() if k != 'type'}, key=key)
    if isinstance(fitted.get('groups'), list):
        problems += [
            problem
            for i, group in enumerate(fitted['groups'])
            for k, inner in enumerate(group)
            for problem in _step_mistakes(inner, f'{key}.groups.{i}.{k}')
        ]
    if problems:
        return problems
    try:
        step(**fitted)
    except ValueError as error:
        argument, _, text = str(error).partition(': ')
        got, _, expected = text.removeprefix('got ').partition(', expected ')
        return [Problem(f'{key}.{argument}', got, expected)]
    return []


def _order_mistakes(steps: Sequence[Step]) -> list[tuple[str, str]]:
    """Return what is wrong about the order, as what was got and what was expected."""
    first = next((i for i, step in enumerate(steps) if not step.changes_gt), len(steps))
    mistakes = [
        (f'{type(step).__name__} as step {first + i}', 'the steps that change the ground truth before all others')
        for i, step in enumerate(steps[first:])
        if step.changes_gt
    ]
    sizes = [step.output_size for step in steps[first:] if step.output_size != 'kept']
    if first < len(steps) and (not sizes or sizes[-1] != 'lq'):
        mistakes.append(('frames of any size at the end', '{type: RandomResize, to: lq} after all other resizing'))
    return mistakes

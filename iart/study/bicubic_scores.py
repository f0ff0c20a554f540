"""Scores of bicubic interpolation on a study's sets: a network that does not exceed them has learned nothing yet."""

import json

import torch

from iart.errors import DataError
from iart.files import to_json, write_text
from iart.inference.baselines import BicubicRestorer
from iart.study.runs import score_sets
from iart.study.study_file import StudyPlan, digest

_FILE = 'bicubic.json'


def score_bicubic(plan: StudyPlan) -> None:
    """Score bicubic interpolation on the sets of a study, unless it has been scored.

    Raises:
        UserError: a set cannot be read, or the file cannot be written.
    """
    if read_bicubic(plan) is None:
        options = plan.options(next(plan.runs()))
        scores, _ = score_sets(BicubicRestorer(options.scale), options, torch.device('cpu'))
        write_text(plan.folder / _FILE, to_json({'digest': digest(options), 'scores': scores}))


def read_bicubic(plan: StudyPlan) -> dict[str, dict[str, float]] | None:
    """Return the scores of bicubic interpolation by set and metric; None if there are none for these options.

    Raises:
        DataError: the file is damaged.
    """
    path = plan.folder / _FILE
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        scores: dict[str, dict[str, float]] = content['scores']
        return scores if content['digest'] == digest(plan.options(next(plan.runs()))) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f'{path}: cannot be read ({error!r}); remove it, and it is scored again') from error

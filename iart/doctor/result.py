"""Result of a check."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal['ok', 'wrong', 'skipped']


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check.

    Args:
        verdict: ``ok``, ``wrong``, or ``skipped`` if the check is impossible here.
        detail: the result in one line.
        remedy: what to do about it; empty if nothing has to be done.
        figures: numbers for the JSON file.
    """

    verdict: Verdict
    detail: str
    remedy: str = ''
    figures: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        return asdict(self)


def judge(right: bool, detail: str, remedy: str = '', **figures: Any) -> CheckResult:
    """Return ``ok`` or, with the remedy, ``wrong``."""
    return CheckResult('ok', detail, '', figures) if right else CheckResult('wrong', detail, remedy, figures)

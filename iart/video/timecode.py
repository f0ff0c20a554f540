"""SMPTE time codes (``01:00:00:00``, with ``;`` before the frames where numbers are dropped), moved by some frames."""

import re
from fractions import Fraction

_CODE = re.compile(r'(\d\d):(\d\d):(\d\d)([:;.])(\d\d)')


def advanced(code: str, frames: int, rate: Fraction) -> str | None:
    """Return the time code of a later frame.

    Args:
        code: time code of a frame, such as ``00:59:59:24`` or, dropping numbers, ``00:59:59;29``.
        frames: number of frames to advance.
        rate: frames per second.

    Returns:
        The time code; None if ``code`` is none.
    """
    match = _CODE.fullmatch(code)
    per_second = round(rate)
    if match is None or per_second < 1:
        return None
    hours, minutes, seconds, rest = (int(match[k]) for k in (1, 2, 3, 5))
    dropping = match[4] != ':' and per_second % 30 == 0
    skipped = per_second // 15 if dropping else 0  # numbers dropped every minute except every tenth
    whole = hours * 60 + minutes
    number = (whole * 60 + seconds) * per_second + rest - skipped * (whole - whole // 10) + frames
    return _code(number, per_second, skipped, match[4])


def _code(number: int, per_second: int, skipped: int, separator: str) -> str:
    ten_minutes, minute = 600 * per_second - 9 * skipped, 60 * per_second - skipped
    number %= 144 * ten_minutes  # a day
    tens, rest = divmod(number, ten_minutes)
    number += skipped * 9 * tens
    if rest >= 60 * per_second:  # the first minute of ten drops nothing
        number += skipped * (1 + (rest - 60 * per_second) // minute)
    seconds, frame = divmod(number, per_second)
    minutes, second = divmod(seconds, 60)
    hour, minute_of_hour = divmod(minutes, 60)
    return f'{hour:02}:{minute_of_hour:02}:{second:02}{separator}{frame:02}'

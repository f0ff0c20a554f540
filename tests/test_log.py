"""Progress lines of work that is not shown on a terminal."""

import io

import pytest
from rich.console import Console

from iart import log


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    logged: list[str] = []
    monkeypatch.setattr(log.logger, 'info', logged.append)
    monkeypatch.setattr(log.console, '_force_terminal', False)
    return logged


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(log.time, 'monotonic', lambda: now[0])
    return now


def test_time_left_is_not_extrapolated_from_the_first_unit(lines: list[str], clock: list[float]) -> None:
    with log.Bar('clip', 30) as bar:
        clock[0] = 60
        bar.advance()
        clock[0] = 75
        bar.advance(9, note='000')
    assert lines == ['clip: 1/30, first frame after 01:00', 'clip: 10/30, 7.5 s/frame, 02:30 left, 000']


def test_a_single_unit_has_a_rate(lines: list[str], clock: list[float]) -> None:
    with log.Bar('clips', 1, unit='clip') as bar:
        clock[0] = 4
        bar.advance()
    assert lines == ['clips: 1/1, 4.0 s/clip, 00:00 left']


def test_resumed_work_counts_from_where_it_began(lines: list[str], clock: list[float]) -> None:
    with log.Bar('clip', 40, start=20) as bar:
        clock[0] = 11
        bar.advance()
        clock[0] = 40
        bar.advance(9)
    assert lines == ['clip: 21/40, first frame after 00:11', 'clip: 30/40, 4.0 s/frame, 00:40 left']


def test_a_table_that_does_not_fit_loses_neither_names_nor_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(log, 'console', Console(file=stream, width=60, highlight=False, soft_wrap=True))
    columns = ['part', *(f'a long header {number}' for number in range(4))]
    log.table('parts', columns, [['feature extraction', *'1234'], ['reconstruction', *'5678']], footer=['sum', *'6802'])
    text = stream.getvalue()
    assert all(word in text for word in ('feature extraction', 'reconstruction', 'sum', *columns[1:]))
    assert max(map(len, text.splitlines())) <= 60

"""A short run of the random damage of fuzz.py, and that its own checks work."""

import random
import signal

import pytest
from fuzz import KINDS, Kind, fuzz, mutate

pytestmark = pytest.mark.skipif(not hasattr(signal, 'SIGALRM'), reason='this system has no alarms to stop a hang')


@pytest.mark.parametrize('kind', KINDS)
def test_damaged_files_end_as_messages(kind, tmp_path):
    tally = fuzz(kind, tmp_path, count=15 if kind == 'mp4' else 30)
    assert not tally.failures
    assert tally.refused > 3


def test_mutations_are_repeatable_and_differ():
    content = bytes(range(200))
    first = [mutate(content, random.Random(seed)) for seed in range(40)]
    assert first == [mutate(content, random.Random(seed)) for seed in range(40)]
    assert len(set(first)) > 35


def test_anything_but_a_message_is_a_failure(tmp_path, monkeypatch):
    def read(path):
        if path.read_bytes() != b'valid':
            raise IndexError('bug')

    def make(folder):
        (folder / 'f').write_bytes(b'valid')
        return folder / 'f'

    monkeypatch.setitem(KINDS, 'broken', Kind(make, read))
    tally = fuzz('broken', tmp_path, count=10)
    assert len(tally.failures) > 5
    assert 'IndexError' in tally.failures[0]

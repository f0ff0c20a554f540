"""Logs stay bounded, however long a run is and however much of its data is damaged."""

import logging

import av
import numpy as np
import pytest
import torch
from helpers.upscale_clips import Enlarge, texture
from helpers.video_files import copy, encode, with_content

from iart import log
from iart.training.progress import Progress
from iart.training.replaced import ReplacedWindows
from iart.upscaling.job import run
from iart.upscaling.networks import Loaded
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions


@pytest.fixture
def logger():
    handlers, propagate, level = list(log.logger.handlers), log.logger.propagate, log.logger.level
    log.logger.setLevel(logging.INFO)
    yield log.logger
    for handler in log.logger.handlers:
        handler.close()
    log.logger.handlers[:], log.logger.propagate = handlers, propagate
    log.logger.setLevel(level)


def test_a_log_file_keeps_the_newest_lines(tmp_path, logger, monkeypatch):
    monkeypatch.setattr(log, '_MOST_LOGGED', 10_000)
    monkeypatch.setattr(log._ConsoleHandler, 'emit', lambda self, record: None)
    log.hold()
    for number in range(3000):
        logger.info(f'early {number}')
    log.setup(tmp_path / 'train.log')
    for number in range(5000):
        logger.info(f'iteration {number}')
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ['train.log', 'train.log.1']
    assert sum(path.stat().st_size for path in files) < 2 * 10_000
    assert 'iteration 4999' in files[0].read_text()


def test_lines_before_there_is_a_file_are_bounded(logger):
    log.hold()
    for number in range(5000):
        logger.info(f'early {number}')
    handler = next(h for h in logger.handlers if isinstance(h, log._Held))
    assert len(handler.buffer) <= 2 * log._MOST_HELD
    assert handler.buffer[-1].getMessage() == 'early 4999'


def test_messages_logged_once_are_bounded(logger, monkeypatch):
    lines = []
    monkeypatch.setattr(log, '_seen', set())
    monkeypatch.setattr(log, '_MOST_SEEN', 50)
    monkeypatch.setattr(log.logger, 'info', lines.append)
    for number in range(500):
        log.once(f'message {number % 100}')
    assert lines == [f'message {number}' for number in range(50)]


def test_windows_that_cannot_be_read_are_counted_and_the_first_ones_named(caplog):
    caplog.set_level(logging.INFO, 'iart')
    windows = ReplacedWindows(progress := Progress(), expected=True)
    for number in range(1000):
        windows.add([[f'file {number}']])
        windows.count()
    assert progress.unreadable == 1000
    assert len({record.getMessage() for record in caplog.records}) == 101


def test_a_video_of_damaged_packets_is_one_line(tmp_path, caplog):
    whole = encode(tmp_path / 'whole.mkv', [texture(n, 48, 64) for n in range(60)], 'ffv1', gop=1)
    noise = np.random.default_rng(0).integers(0, 256, 40, np.uint8).tobytes()
    path = copy(whole, tmp_path / 'a.mkv', lambda n, p: with_content(p, noise) if n % 3 else p)
    run(
        find_jobs([str(path)], tmp_path / 'out.mkv'),
        Loaded(Enlarge(), 'Enlarge', ''),
        torch.device('cpu'),
        UpscaleOptions(),
    )
    with av.open(str(tmp_path / 'out.mkv')) as container:
        assert len(list(container.decode(video=0))) == 20
    [line] = [record.getMessage() for record in caplog.records if 'damaged' in record.getMessage()]
    assert line.startswith(f'{path}: 40 of its 60 frames could not be decoded (')

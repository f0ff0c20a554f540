"""Processes that help another one, and must not outlive it."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import connection

_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_SECONDS_TO_SAVE = 300.0  # a training finishes a step and writes its state


def end_with_parent() -> None:
    """Let this process end when the one that started it has ended, even by ``kill -9``; to be called in the child.

    The child waits at a pipe whose other end only its parent holds and which closes with it. That works on every
    system and also for children of a fork server, which the system takes for the parent. Where the system itself can
    send a signal when a parent dies (Linux), it is asked to, too: that reaches a child that is stuck in a library.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == 'linux' and os.getppid() == parent.pid:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def stop_with_parent() -> None:
    """Let this process stop (SIGTERM) when its standard input is closed; to be called in the child.

    For children that are programs of their own: their standard input is a pipe whose other end only the parent holds,
    so that it closes when the parent closes it or has ended, even by ``kill -9``. Training saves its state on SIGTERM.
    A child that is still there after five minutes ends at once.
    """
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()


def _stop_at_end_of_input() -> None:
    # Not sys.stdin: its lock, held by a thread that waits, is an error when the interpreter shuts down.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SECONDS_TO_SAVE)
    os._exit(1)

"""Ctrl-C during a call into a C++ solver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK = 0.05  # seconds between two looks: how late a Ctrl-C may be noticed


def interruptible(call: Callable[[], T], stop: Callable[[], object]) -> tuple[T, bool]:
    """(call(), whether Ctrl-C came).

    Python handles a signal only between two of its own instructions, hence not while the main thread is inside a
    solver. So the solver works in a second thread. The first Ctrl-C calls `stop`, which asks it to end early, and its
    result is awaited; a second one gives up waiting and is raised.
    """
    done = threading.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)
        finally:
            done.set()

    worker = threading.Thread(target=work, daemon=True)
    interrupted = False
    try:
        worker.start()
        while not done.wait(LOOK):
            pass
    except KeyboardInterrupt:
        if worker.ident is None:  # it came before the thread did
            raise
        interrupted = True
        stop()
        while not done.wait(LOOK):
            pass
    if errors:
        raise errors[0]
    return results[0], interrupted

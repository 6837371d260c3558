"""Weights that lie on the disk are read without a bar of transformers, which would cross the command's own progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def without_bars(name: str) -> Iterator[None]:
    """No progress bars of transformers inside, where `name` is a folder; an id may be a download, whose bar is wanted."""
    from transformers.utils import logging

    silenced = Path(name).is_dir() and logging.is_progress_bar_enabled()
    if silenced:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if silenced:
            logging.enable_progress_bar()

"""Marks on the time line of a device, and what a request was doing between them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


class Clock:
    """CUDA events on the stream of a CUDA device, `time.perf_counter` on the CPU.

    Events are recorded without a wait, so that measuring does not hold the device up. Where the device waits for the
    host, the time counts for the span in which it waits.

    Raises
    ------
    ValueError : any other device: other clocks are not known here, and other cards are for CUDA_VISIBLE_DEVICES to choose.
    """

    def __init__(self, device: str | torch.device) -> None:
        where = torch.device(device)
        if where.type not in ("cpu", "cuda") or where.index not in (None, 0):
            raise ValueError(f"latency is measured on cpu or cuda, its first card, got {str(device)!r}")
        self.cuda = where.type == "cuda"

    def mark(self) -> Any:
        """Now, in the order of the device's work."""
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self) -> None:
        """Until the device has done everything; marks can be read then."""
        if self.cuda:
            torch.cuda.synchronize()

    def milliseconds(self, start: Any, end: Any) -> float:
        """From one mark to another."""
        return float(start.elapsed_time(end)) if self.cuda else 1000.0 * float(end - start)


@dataclass(frozen=True)
class Span:
    """From one mark to another; `nested` in the prefill."""

    name: str
    start: Any
    end: Any
    nested: bool


class Watch:
    """Named spans of one request, in the order in which they ended. `nested` says whether the prefill is under way."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.nested = False
        self.spans: list[Span] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """What happens inside has this name."""
        start = self.clock.mark()
        yield
        self.spans.append(Span(name, start, self.clock.mark(), self.nested))

    def watched(self, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """The function, each call of which is a span."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Result:
            with self.span(name):
                return function(*args, **kwargs)

        return call

    def total(self, name: str, *, nested: bool = False) -> float:
        """Milliseconds of all spans of this name, or of those in the prefill; the marks must have been waited for."""
        spans = [span for span in self.spans if span.name == name and (span.nested or not nested)]
        return sum((self.clock.milliseconds(span.start, span.end) for span in spans), 0.0)

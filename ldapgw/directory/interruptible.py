# SPDX-License-Identifier: MIT
"""Loops in which other threads may run, for compiled code that runs for longer than a millisecond on a thread.

Compiled code holds Python's global interpreter lock until the code returns or calls a function that is not compiled.
Without these loops, phones would get no answers while a thread merges the books of a large tenant, which takes seconds.
This module must not be compiled, because compiled loops would hold the lock too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def interruptible(items: Iterable[T]) -> Iterator[T]:
    """Yield items; another thread that waits for the interpreter lock gets the lock before the next item."""
    for item in items:  # noqa: UP028  `yield from` does not let other threads run
        yield item

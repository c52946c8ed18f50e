# SPDX-License-Identifier: MIT
"""A function's work is counted: the calls, and the memory that is held while the function works.

A clock measures the machine's other tenants too.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import CodeType, FrameType


def calls(work: Callable[[], object], of: CodeType | None = None) -> int:
    """Count the called functions, of Python and of C; a generator's steps count too.

    :param of: the code of the Python function whose calls are counted; None to count the calls of all functions.
    """
    count = 0

    def saw(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call") if of is None else event == "call" and frame.f_code is of

    before = sys.getprofile()
    sys.setprofile(saw)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def peak(work: Callable[[], object]) -> int:
    """Count the octets that are held at once, besides the octets that were there before."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not running:
            tracemalloc.stop()

# SPDX-License-Identifier: MIT
"""The end of the process has a deadline.

What may still wait then, for a name server, a lock or a long calculation, is left behind: no thread can be ended from
outside, and nothing is lost, because whatever is written is written in one transaction.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

# Whoever sends SIGTERM is promised an end within 5 seconds.
SECONDS: Final = 4.5
_STDERR: Final = 2

log = Logger()


def end_in_time(reactor: Any, *, seconds: float = SECONDS, leave: Callable[[int], object] = os._exit) -> None:
    """Have the process end so long after the reactor was told to stop, whatever it waits for then.

    :param leave: ends the process with a status, at once.
    """

    def late() -> None:
        # A log that nobody reads must not keep us.
        if select.select([], [_STDERR], [], 0)[1]:
            log.warn("the end took more than {seconds} s; what was still running is left behind", seconds=seconds)
        leave(0)

    def begin() -> None:
        timer = threading.Timer(seconds, late)
        timer.daemon = True
        timer.start()

    reactor.addSystemEventTrigger("before", "shutdown", begin)

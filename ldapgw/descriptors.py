# SPDX-License-Identifier: MIT
"""File descriptors: each connection is one, and so is each file.

When the last is taken, accepting fails over and over and nothing can be opened, the database's journal least of all.
So we ask for as many as the configuration needs, and accept no connection while few are left.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import Final

from twisted.logger import Logger

log = Logger()

# Besides LDAP connections: browsers and their proxy, Google, the database, logs.
OTHERS: Final = 300
# What connections leave to the rest.
RESERVE: Final = 64


def make_room(connections: int) -> None:
    """Raise our own limit, as far as we may, so that this many connections fit; says so where they do not."""
    wanted = connections + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warn(
            "ldap.max_connections = {connections}: the system lets this process open {most} files; raise LimitNOFILE",
            connections=connections,
            most=most,
        )


def has_room() -> bool:
    """Whether one more connection leaves enough to the rest; costs three short system calls."""
    try:
        lowest = os.dup(0)  # which file that is does not matter
    except OSError as error:
        return error.errno == errno.EBADF  # 0 is free: no connection has just taken it
    os.close(lowest)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # The kernel gives out the lowest that is free, so all below it are taken.
    return limit == resource.RLIM_INFINITY or lowest < limit - min(RESERVE, limit // 4)

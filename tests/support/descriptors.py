# SPDX-License-Identifier: MIT
"""Waits for sockets and pipes, whatever the numbers of their descriptors are."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Protocol, TypeVar


class HasDescriptor(Protocol):
    """A socket, a pipe, or another object with a descriptor."""

    def fileno(self) -> int:
        """Return the number of the descriptor."""


S = TypeVar("S", bound=HasDescriptor | int)


def find_readable(sources: Sequence[S], seconds: float | None = 0.0) -> list[S]:
    """Return the sources that can be read, or whose other end is closed.

    :param seconds: the time to wait for the first such source; None means that the time has no limit.
    """
    descriptors = [source if isinstance(source, int) else source.fileno() for source in sources]
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
    return [source for source, descriptor in zip(sources, descriptors, strict=True) if descriptor in ready]

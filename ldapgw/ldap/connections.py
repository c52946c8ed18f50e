# SPDX-License-Identifier: MIT
"""Who is connected, and whether there is room for one more: in all, and from each network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Generic, TypeVar

_C = TypeVar("_C")


class Connections(Generic[_C]):
    """The connections there are.

    :param most: in all.
    :param most_per_network: from one network.
    """

    __slots__ = ("_most", "_most_per_network", "_networks", "_of_network")

    def __init__(self, most: int, most_per_network: int) -> None:
        self._most = most
        self._most_per_network = most_per_network
        self._networks: dict[_C, str] = {}
        self._of_network: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._networks)

    def __iter__(self) -> Iterator[_C]:
        """All that there are now; they may go meanwhile."""
        return iter(tuple(self._networks))

    def has_room(self, network: str) -> bool:
        """Whether one more may come from there."""
        return len(self._networks) < self._most and self._of_network[network] < self._most_per_network

    def add(self, connection: _C, network: str) -> None:
        """One more."""
        self._networks[connection] = network
        self._of_network[network] += 1

    def remove(self, connection: _C) -> None:
        """One less."""
        self.leave(self._networks.pop(connection))

    def linger(self, network: str) -> None:
        """Count a connection that is gone for a while yet, until `leave`."""
        self._of_network[network] += 1

    def leave(self, network: str) -> None:
        """Count one less from there."""
        self._of_network[network] -= 1
        if not self._of_network[network]:
            del self._of_network[network]

# SPDX-License-Identifier: MIT
"""A phone on a real connection, which reads all that it finds."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

from tests.faults.company import ATTRIBUTES, Entries
from tests.support import pdu
from tests.support.slapd import whole_messages

PATIENCE = 120.0


class Phone:
    """A login on a connection of its own, kept open as a phone does."""

    def __init__(self, port: int, name: str, password: str, address: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (address, 0))
        try:
            [bound] = self._ask(pdu.message(1, pdu.bind(name, password.encode())))
            assert bound.code == 0, bound
        except BaseException:
            self.socket.close()
            raise

    def read(self, base: str) -> Entries:
        """All entries with a uid below a base; none where it does not exist."""
        *entries, done = self._ask(pdu.message(2, pdu.search(base, 2, attributes=ATTRIBUTES)))
        assert done.code in (0, 32), done
        return dict(taken(entries))

    def find(self, base: str, filter_: bytes, attributes: tuple[str, ...] = ("cn",)) -> list[pdu.Response]:
        """The entries below a base that a filter finds."""
        *entries, done = self._ask(pdu.message(3, pdu.search(base, 2, filter_, attributes)))
        assert done.code == 0, done
        return entries

    def is_ended(self) -> bool:
        """Whether the gateway has ended the connection, which has no request under way."""
        ready, _, _ = select.select([self.socket], [], [], 0)
        return bool(ready)

    def close(self) -> None:
        self.socket.close()

    def _ask(self, request: bytes) -> list[pdu.Response]:
        self.socket.sendall(request)
        data, whole = bytearray(), 0
        while True:
            received = self.socket.recv(1 << 16)
            assert received, "the gateway has closed the connection"
            data += received
            whole += whole_messages(data[whole:])
            if whole == len(data) and (answers := pdu.responses(bytes(data)))[-1].code is not None:
                return answers


def taken(answers: list[pdu.Response]) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
    """Entries by uid, as `tests.faults.company` has them."""
    for answer in answers:
        found = {name: tuple(value.decode() for value in values) for name, values in answer.attributes}
        if "uid" in found:
            yield found["uid"][0], found

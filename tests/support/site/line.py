# SPDX-License-Identifier: MIT
"""A phone's line to a gateway: one TCP connection, its octets written and read here; and a phone that has a login."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.support import pdu
from tests.support.descriptors import find_readable
from tests.support.pdu import whole_messages
from tests.support.site.company import ATTRIBUTES, Entries
from tests.support.site.running import PATIENCE


class Line:
    """A connection from an address of loopback's.

    :param tls: begin TLS at once, without a server's name, as phones do.
    """

    def __init__(self, port: int, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._socket: socket.socket = socket.create_connection(
            ("127.0.0.1", port), PATIENCE, source_address=(address, 0)
        )
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self._message_id = 0
        if tls:
            self.begin_tls(tls)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def is_ended(self) -> bool:
        """Whether the gateway has ended the connection, which has no request under way."""
        return bool(find_readable([self._socket]))

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """The handshake, without a server's name in it."""
        self._socket = context.wrap_socket(self._socket)

    @property
    def cipher(self) -> str:
        """The cipher suite; empty without TLS."""
        chosen = self._socket.cipher() if isinstance(self._socket, ssl.SSLSocket) else None
        return chosen[0] if chosen else ""

    def send(self, *messages: bytes) -> None:
        """Send as they stand."""
        self._socket.sendall(b"".join(messages))

    def ask(self, request: bytes, controls: bytes = b"") -> list[pdu.Response]:
        """Send a request; all answers to it, the last one its result."""
        self._message_id += 1
        self.send(pdu.message(self._message_id, request, controls))
        answers = self.results(1)
        assert all(answer.message_id for answer in answers), "the gateway has closed the connection, with a notice"
        assert {answer.message_id for answer in answers} == {self._message_id}
        return answers

    def results(self, count: int) -> list[pdu.Response]:
        """Everything that comes until so many operations have ended."""
        answers: list[pdu.Response] = []
        while sum(answer.code is not None for answer in answers) < count:
            received = self._socket.recv(1 << 18)
            assert received, "the gateway has closed the connection"
            self._data += received
            whole = whole_messages(self._data)
            answers += pdu.responses(self._data[:whole])
            self._data = self._data[whole:]
        return answers

    def rest(self) -> list[pdu.Response]:
        """Everything that comes until the other side closes."""
        while received := self._socket.recv(1 << 18):
            self._data += received
        answers, self._data = pdu.responses(self._data), b""
        return answers


class Phone(Line):
    """A login on a connection of its own, kept open as a phone does."""

    def __init__(self, port: int, name: str, password: str, address: str = "127.0.0.1") -> None:
        super().__init__(port, address)
        try:
            [bound] = self.ask(pdu.bind(name, password.encode()))
            assert bound.code == 0, bound
        except BaseException:
            self.close()
            raise

    def read(self, base: str) -> Entries:
        """All entries with a uid below a base; none where it does not exist."""
        *entries, done = self.ask(pdu.search(base, 2, attributes=ATTRIBUTES))
        assert done.code in (0, 32), done
        return dict(taken(entries))

    def find(self, base: str, filter_: bytes, attributes: tuple[str, ...] = ("cn",)) -> list[pdu.Response]:
        """The entries below a base that a filter finds."""
        *entries, done = self.ask(pdu.search(base, 2, filter_, attributes))
        assert done.code == 0, done
        return entries


def taken(answers: list[pdu.Response]) -> Iterator[tuple[str, dict[str, tuple[str, ...]]]]:
    """Entries by uid, as `tests.support.site.company` has them."""
    for answer in answers:
        found = {name: tuple(value.decode() for value in values) for name, values in answer.attributes}
        if "uid" in found:
            yield found["uid"][0], found

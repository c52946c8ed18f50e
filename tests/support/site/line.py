# SPDX-License-Identifier: MIT
"""A phone's line to a gateway: one TCP connection, its octets written and read here."""

from __future__ import annotations

import select
import socket
import ssl
from types import TracebackType
from typing import Self

from tests.support import pdu
from tests.support.site.running import PATIENCE
from tests.support.slapd import whole_messages


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
        ready, _, _ = select.select([self._socket], [], [], 0)
        return bool(ready)

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

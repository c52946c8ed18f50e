# SPDX-License-Identifier: MIT
"""A phone on a real connection, which reads all that it finds."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.company import ATTRIBUTES, Entries
from tests.support import pdu
from tests.support.site.line import Line


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
    """Entries by uid, as `tests.faults.company` has them."""
    for answer in answers:
        found = {name: tuple(value.decode() for value in values) for name, values in answer.attributes}
        if "uid" in found:
            yield found["uid"][0], found

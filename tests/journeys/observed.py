# SPDX-License-Identifier: MIT
"""The gateway with a wire that tells of each search: ``python tests/journeys/observed.py --config FILE run``.

It stands where `Gate.observe` will: the octets of a search and how it ended go to `Searches.observe`, with the
arguments that the wire will give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ldapgw import service
from ldapgw.cli import main
from ldapgw.directory.search import Portion
from ldapgw.ldap import connection
from ldapgw.ldap.messages import Operation
from ldapgw.ldap.session import Run, Session
from ldapgw.phonewatch import PhoneWatch

_watches: list[PhoneWatch] = []
_octets: dict[int, tuple[Any, bytes]] = {}
_counts: dict[int, int] = {}


class _Watch(PhoneWatch):
    """Known to the wire."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        _watches.append(self)


def _remember() -> None:
    decode, search, finish = connection.decode, Session._search, Session.finish

    def remembering(octets: bytes) -> Any:
        message = decode(octets)
        if message.operation is Operation.SEARCH:
            _octets[id(message)] = (message, octets)
        return message

    def counting(self: Session, message: Any, wishes: Any) -> Any:
        step = search(self, message, wishes)
        return replace(step, portions=_counted(message, step.portions)) if isinstance(step, Run) else step

    def telling(self: Session, result: Any, value: bytes | None = None) -> Any:
        message = self._current
        _, octets = _octets.pop(id(message), (None, b""))
        if octets:
            entries = _counts.pop(id(message), 0)
            _watches[0].searches.observe(self.viewer.login, self._address, octets, entries, result.code, 0.001)
        return finish(self, result, value)

    connection.decode = remembering
    Session._search = counting  # type: ignore[method-assign]
    Session.finish = telling  # type: ignore[method-assign]
    # What is answered past everything would not be seen.
    Session.answer_at_once = lambda *_: None  # type: ignore[method-assign,assignment]


def _counted(message: Any, portions: Iterator[Portion | None]) -> Iterator[Portion | None]:
    for portion in portions:
        _counts[id(message)] = _counts.get(id(message), 0) + (len(portion) if portion is not None else 0)
        yield portion


if __name__ == "__main__":
    service.PhoneWatch = _Watch  # type: ignore[misc]
    _remember()
    main()

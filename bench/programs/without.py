# SPDX-License-Identifier: MIT
"""ldapgw without one of the parts that exist for speed: the part's name, and what ldapgw is told.

Each part is replaced by the plain way to do the same, so that all answers stay as they are.  A compiled gateway cannot
run so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from twisted.internet.epollreactor import EPollReactor

from ldapgw.cli import main
from ldapgw.directory import filter_matcher, index_terms, query_plan, segment
from ldapgw.directory.predicate import TaggedTextPredicate
from ldapgw.ldap import connection, fast_path
from ldapgw.ldap.search_response import SearchResponse
from ldapgw.ldap.socket_io import SocketWriter
from ldapgw.ldap.turns import TurnMember, TurnScheduler
from ldapgw.server.reactor import PhoneReactor


class Part(NamedTuple):
    """A part that exists for speed.

    :ivar load: the load that it is for (`bench.asking.WORKLOADS`).
    :ivar leave_out: has this process do without it.
    """

    load: str
    leave_out: Callable[[], None]


class _Forgetful(dict[Any, Any]):
    """Keeps nothing that anybody could find."""

    def get(self, key: Any, default: Any = None) -> Any:
        return default


class _NoReader:
    """Leaves reading to Twisted."""

    def __init__(self, transport: Any, receive: Callable[[bytes], None]) -> None:
        pass

    def end(self) -> None:
        """Nothing was changed."""


def _fast_path() -> None:
    fast_path.FastPath.answer = lambda *_: None


def _prepared_filters() -> None:
    init = fast_path.FastPath.__init__

    def forget(self: fast_path.FastPath, size_limit: int) -> None:
        init(self, size_limit)
        self._prepared = _Forgetful()

    fast_path.FastPath.__init__ = forget


def _filter_templates() -> None:
    fast_path.FilterTemplate.of = classmethod(lambda *_: None)


def _kept_messages() -> None:
    segment._KeptMessages.of = lambda *_: None


def _plain_messages() -> None:
    fast_path.set_message_id = lambda messages, number, **_: segment.set_message_id(messages, number, is_plain=False)


def _pages() -> None:
    SearchResponse._page_size = lambda *_: 0


def _pieces() -> None:
    SocketWriter.write_pieces = lambda self, pieces: self.write(b"".join(pieces))


def _prefixes() -> None:
    index_terms.prefix_query = lambda *_: None


def _sufficient_strings() -> None:
    filter_matcher.SufficientTextPredicate = lambda tags, assertion, _: TaggedTextPredicate(tags, assertion.test)


def _first_documents() -> None:
    def all_documents(query: Any, index: Any, entries: Sequence[Any], most: int) -> tuple[Sequence[int], bool]:
        found = query_plan.find_documents(query, index, entries)
        documents = range(len(entries)) if found is None else found
        return documents[:most], len(documents) > most

    query_plan.first_documents = all_documents


def _first_matches() -> None:
    fast_path.needs_cursor = lambda *_: True


def _and_plan() -> None:
    plan = filter_matcher.PreparedFilter.plan

    def look_at_all(self: Any, index: Any, entries: Any) -> Any:
        return (self.query, self.predicate) if self.conditions else plan(self, index, entries)

    filter_matcher.PreparedFilter.plan = look_at_all


def _tick_batch() -> None:
    def end_at_once(self: TurnScheduler, member: TurnMember) -> None:
        self._received.append(member)
        self.end_turn()

    TurnScheduler.add = end_at_once


def _socket_reader() -> None:
    connection.SocketReader = _NoReader


def _socket_writer() -> None:
    init = SocketWriter.__init__

    def leave_to_twisted(self: SocketWriter, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self._send = self._sendmsg = None

    SocketWriter.__init__ = leave_to_twisted


def _reactor() -> None:
    PhoneReactor.doPoll = PhoneReactor.doIteration = EPollReactor.doPoll


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "fast-path": Part("prefix", _fast_path),
        "prepared-filters": Part("prefix", _prepared_filters),
        "filter-templates": Part("reverse", _filter_templates),
        "kept-messages": Part("prefix", _kept_messages),
        "plain-messages": Part("prefix", _plain_messages),
        "pages": Part("list", _pages),
        "pieces": Part("list", _pieces),
        "prefixes": Part("prefix", _prefixes),
        "sufficient-strings": Part("substring", _sufficient_strings),
        "first-documents": Part("substring", _first_documents),
        "first-matches": Part("reverse", _first_matches),
        "and-plan": Part("and-snom", _and_plan),
        "tick-batch": Part("reverse", _tick_batch),
        "socket-reader": Part("reverse", _socket_reader),
        "socket-writer": Part("reverse", _socket_writer),
        "reactor": Part("reverse", _reactor),
    }
)


if __name__ == "__main__":
    PARTS[sys.argv.pop(1)].leave_out()
    main()

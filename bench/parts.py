# SPDX-License-Identifier: MIT
"""The gateway beside a gateway without one of the parts that exist for speed, not compiled.

The docstring or the comment of each part has its figure.  As a program, the module is ldapgw without some parts: the
names of the parts, with commas between the names, and ldapgw's own arguments.  Each part is replaced by the plain way
to do the same, so that all answers stay as they are; a compiled gateway cannot run so.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from twisted.internet.epollreactor import EPollReactor

from bench.asking import WORKLOADS
from bench.comparison import Plan, compare
from bench.load import Load
from bench.people import Person, person
from bench.report import Results, say, simple_table
from bench.seed import alone, seed
from bench.servers import Variant, gateway, knows
from ldapgw.cli import main
from ldapgw.directory import filter_matcher, query_plan, segment, term_queries
from ldapgw.directory.predicate import TaggedTextPredicate
from ldapgw.directory.segment import set_message_id
from ldapgw.ldap import connection, fast_path
from ldapgw.ldap.search_response import SearchResponse
from ldapgw.ldap.socket_io import SocketWriter
from ldapgw.ldap.turns import TurnMember, TurnScheduler
from ldapgw.server.reactor import PhoneReactor


class Part(NamedTuple):
    """A part that exists for speed.

    :ivar load: the load that the part is for (`bench.asking.WORKLOADS`).
    :ivar owner: the module or the class with the name that is replaced.
    :ivar replacement: the plain way to do the same.
    """

    load: str
    owner: Any
    name: str
    replacement: Any


class _Forgetful(dict[Any, Any]):
    """Keeps nothing that anybody could find."""

    def get(self, key: Any, default: Any = None) -> Any:
        return default


def _forget_filters(
    self: fast_path.FastPath, size_limit: int, init: Callable[..., None] = fast_path.FastPath.__init__
) -> None:
    init(self, size_limit)
    self._prepared = _Forgetful()


def _all_documents(query: Any, index: Any, entries: Sequence[Any], most: int) -> tuple[Sequence[int], bool]:
    found = query_plan.find_documents(query, index, entries)
    documents = range(len(entries)) if found is None else found
    return documents[:most], len(documents) > most


def _look_at_all(
    self: Any, index: Any, entries: Any, plan: Callable[..., Any] = filter_matcher.PreparedFilter.plan
) -> Any:
    return (self.query, self.predicate) if self.conditions else plan(self, index, entries)


def _end_turn_at_once(self: TurnScheduler, member: TurnMember) -> None:
    self._received.append(member)
    self.end_turn()


def _leave_to_twisted(
    self: SocketWriter, *args: Any, init: Callable[..., None] = SocketWriter.__init__, **named: Any
) -> None:
    init(self, *args, **named)
    self._send = self._sendmsg = None


# The loads repeat their searches, so the gain of any other part is measured without this part.
_REPEATED = "repeated-searches"

PARTS: Mapping[str, Part] = {
    "fast-path": Part("prefix", fast_path.FastPath, "answer", lambda *_: None),
    "prepared-filters": Part("prefix", fast_path.FastPath, "__init__", _forget_filters),
    _REPEATED: Part("prefix", fast_path, "_MAX_REPEATED", -1),
    "filter-templates": Part("reverse", filter_matcher.FilterTemplate, "of", lambda *_: None),
    "kept-messages": Part("prefix", segment._KeptMessages, "of", lambda *_: None),
    "plain-messages": Part(
        "prefix", fast_path, "set_message_id", lambda *old, **_: set_message_id(*old, is_plain=False)
    ),
    "pages": Part("list", SearchResponse, "_page_size", lambda *_: 0),
    "pieces": Part("list", SocketWriter, "write_pieces", lambda self, pieces: self.write(b"".join(pieces))),
    "prefixes": Part("prefix", term_queries, "prefix_query", lambda *_: None),
    "sufficient-strings": Part(
        *("substring", filter_matcher, "SufficientTextPredicate"),
        lambda tags, assertion, _: TaggedTextPredicate(tags, assertion.test),
    ),
    "first-documents": Part("substring", query_plan, "first_documents", _all_documents),
    "first-matches": Part("reverse", fast_path, "needs_cursor", lambda *_: True),
    "and-plan": Part("and-snom", filter_matcher.PreparedFilter, "plan", _look_at_all),
    "tick-batch": Part("reverse", TurnScheduler, "add", _end_turn_at_once),
    "socket-reader": Part("reverse", connection, "SocketReader", lambda *_: SimpleNamespace(end=lambda: None)),
    "socket-writer": Part("reverse", SocketWriter, "__init__", _leave_to_twisted),
    "reactor": Part("reverse", PhoneReactor, "doPoll", EPollReactor.doPoll),
}


def leave_out(part: Part) -> None:
    """Have this process do without a part."""
    setattr(part.owner, part.name, part.replacement)
    if part.owner is PhoneReactor:
        PhoneReactor.doIteration = part.replacement  # Twisted's reactors have both names for one function


def measure(given: argparse.Namespace, folder: Path) -> Results:
    seed(folder / "home" / "state", alone(given.contacts))
    load, people = Load(folder), [person(at) for at in range(given.contacts)]
    rows = [("Part", "Load", "A second, with and without the part", "Gain")]
    for name in given.only:
        plan = Plan(load, (WORKLOADS[PARTS[name].load],), given.rounds, given.seconds)
        rows.append(_compared(name, folder, plan, people))
        say(f"{name}: {rows[-1][-1]}")
    return Results(simple_table(rows))


def _compared(name: str, folder: Path, plan: Plan, people: Sequence[Person]) -> tuple[str, str, str, str]:
    """Return the row of a part: medians of rates, and the median gain of the rounds."""
    home, other = folder / "home", folder / name
    shutil.copytree(home, other)
    known = knows(len(people) - 1)
    left_out = () if name == _REPEATED else (_REPEATED,)
    has_part, lacks_part = (
        Variant(compiled=False, program=("bench.parts", ",".join(names))) for names in (left_out, (*left_out, name))
    )
    with gateway(home, known, has_part) as usual, gateway(other, known, lacks_part) as without:
        servers = replace(usual, name="with"), replace(without, name="without")
        [found] = compare(plan, len(people), servers, people)
    assert not found.errors
    gain = found.times("with", "without")
    return name, found.workload.title, f"{found.rate('with'):,.0f}, {found.rate('without'):,.0f}", f"{gain - 1:+.0%}"


if __name__ == "__main__":
    for left_out_name in filter(None, sys.argv.pop(1).split(",")):
        leave_out(PARTS[left_out_name])
    main()

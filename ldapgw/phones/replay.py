# SPDX-License-Identifier: MIT
"""Replays a recording: repeats its searches on the recorded entries or on a gateway, and shows the differences.

`RecordedGateway` answers from the entries alone: it builds books of them and searches these as the gateway does.  Where
a limit or a page had cut an answer, the search is asked without them, and more than the recorded entries may be found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from ldapgw.contact import Contact, Sharing
from ldapgw.directory.access import NOBODY, Access, NamingContext, Viewer, number_formatter
from ldapgw.directory.book import DIRECTORY, Book, assemble_book, assemble_label, book_parent, label_parent
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.dn import Dn, InvalidDn, folded
from ldapgw.directory.entry import Entry, container_sort_key
from ldapgw.directory.inet_org_person import EntryFactory, ParentEntry
from ldapgw.directory.segment import Segments, empty_segments
from ldapgw.errors import ProtocolViolation, ResultCode
from ldapgw.ldap.admission import LOCAL, CallerIdLimits
from ldapgw.ldap.decoder import decode
from ldapgw.ldap.encoder import encode, features
from ldapgw.ldap.fast_path import FastPath
from ldapgw.ldap.framing import Framer
from ldapgw.ldap.limits import Limits
from ldapgw.ldap.messages import BindRequest, Message, Operation, Simple
from ldapgw.ldap.request_encoder import encode_search
from ldapgw.ldap.search_response import OutputBuffer, SearchResponse
from ldapgw.ldap.session import DirectoryPort, SendReply, Session, StartSearch
from ldapgw.phones.recording import Exchange, RecordedEntry, Recording, Response, dn_key, exchanges, is_of_number

# The entries are few, so nothing but the search itself limits an answer.
_LIMITS = Limits(
    max_message=1 << 20,
    size_limit=1 << 20,
    time_limit=3600.0,
    idle_timeout=3600.0,
    max_connections=1,
    max_connections_per_address=1,
)
# Octets of the longest message of a gateway: an entry has some kilobytes.
MAX_RESPONSE = 1 << 24
_OWN, _CALLERS = "own", "callers"
_DAY = 86400.0


class Answers(Protocol):
    """A connection to what is asked."""

    def bind(self) -> None:
        """Bind with a login."""

    def search(self, request: bytes) -> Sequence[bytes]:
        """The messages that answer a search.

        :raises ProtocolViolation: when there is no answer to a message like this one.
        """


@dataclass(frozen=True, slots=True, repr=False)
class Difference:
    """A search that finds something else than in the recording.

    :ivar missing: DNs of the entries that are not found any more.
    :ivar surplus: DNs of the entries that were not found before.
    :ivar code: the result; None: there is no answer.
    """

    exchange: Exchange
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    code: int | None


def replay(recording: Recording, connect: Callable[[], Answers]) -> tuple[Difference, ...]:
    """Ask all searches again, each with a login where it was made with one.

    :param connect: opens a connection, which is not bound.
    """
    bound: Answers | None = None
    anonymous: Answers | None = None
    differences: list[Difference] = []
    for exchange in exchanges(recording):
        if exchange.is_bound and bound is None:
            bound = connect()
            bound.bind()
        elif not exchange.is_bound and anonymous is None:
            anonymous = connect()
        answers = bound if exchange.is_bound else anonymous
        if answers is not None:
            differences += filter(None, [difference(exchange, answers)])
    return tuple(differences)


def difference(exchange: Exchange, answers: Answers) -> Difference | None:
    """Ask a search again; None: nothing differs."""
    search, octets = exchange.search, exchange.message.octets
    if exchange.is_partial and search is not None:
        octets = encode_search(replace(search, size_limit=0, time_limit=0), exchange.request.message_id)
    try:
        responses = [Response.read(one) for one in answers.search(octets)]
    except ProtocolViolation:
        responses = []
    found = {dn_key(one.dn): one.dn for one in responses if one.code is None}
    code = next((one.code for one in responses if one.code is not None), None)
    missing = tuple(dn for key, dn in exchange.found.items() if key not in found)
    surplus = tuple(dn for key, dn in found.items() if key not in exchange.found)
    if exchange.is_partial:
        is_different = bool(missing) and code != ResultCode.SIZE_LIMIT_EXCEEDED
        surplus = ()
    else:
        is_different = bool(missing or surplus) or code != exchange.code
    return Difference(exchange, missing, surplus, code) if is_different else None


# --- the entries of a recording as a gateway --------------------------------------------------------------------------


class RecordedGateway:
    """Answers from the entries of a recording."""

    def __init__(self, recording: Recording) -> None:
        dit = Dit((directory_of(recording),), features(tls=False))
        has_own = bool(recording.own_book)
        access = Access(recording.context.name, _OWN if has_own else "")
        formatter = number_formatter(recording.number_format, recording.context)
        viewer = Viewer(recording.login, (access,), recording.per_number, formatter)
        days = count()
        self._port = DirectoryPort(lambda: dit, lambda *_: viewer, lambda _: NOBODY, b"key")
        self._fast_path = FastPath(_LIMITS.size_limit)
        # A day passes between two searches, so that no search is one too many for callers' books.
        self._caller_id_limits = CallerIdLimits(lambda: next(days) * _DAY, lambda *_: None)
        self._viewer = viewer

    def connect(self) -> Answers:
        """Open a connection, which is not bound."""
        session = Session(
            self._port,
            _LIMITS,
            self._fast_path,
            self._caller_id_limits,
            LOCAL,
            tls=False,
            secure=True,
            require_tls=False,
        )
        return _RecordedConnection(session, self._viewer.login)


@dataclass(frozen=True, slots=True)
class _RecordedConnection:
    session: Session
    login: str

    def bind(self) -> None:
        """Bind; any password is right."""
        self.session.receive(Message(1, Operation.BIND, BindRequest(3, self.login, Simple(b"password"))))
        self.session.advance()

    def search(self, request: bytes) -> Sequence[bytes]:
        fast_answer = self.session.fast_answer(request)
        return split(fast_answer.octets if fast_answer is not None else self._slow_answer(request))

    def _slow_answer(self, request: bytes) -> bytes:
        self.session.receive(decode(request))
        match self.session.advance():
            case SendReply(reply):
                return encode(reply)
            case StartSearch(message_id, batches, selection, types_only, time_limit):
                response = SearchResponse(message_id, batches, selection, types_only=types_only, time_limit=time_limit)
                buffer = OutputBuffer()
                answer = b""
                result = None
                while result is None:
                    result = response.write_next(buffer, 0.0)
                    answer += buffer.take()
                return answer + encode(self.session.finish(result))
            case _:
                raise ProtocolViolation("message: not a search")


def split(octets: bytes) -> tuple[bytes, ...]:
    """The messages that stand one behind the other."""
    framer = Framer(MAX_RESPONSE)
    framer.feed(octets)
    return tuple(iter(framer.take, None))


@dataclass(slots=True)
class _RecordedBook:
    """A book in the making: its entries by uid, and those of its labels' branches.

    Mutable: all of it.

    :ivar shared_label: the label whose contacts alone the phone sees; empty: the phone sees all.
    """

    name: str
    entries: dict[str, RecordedEntry] = field(default_factory=dict)
    labels: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    shared_label: str = ""


def directory_of(recording: Recording) -> Directory:
    """The directory that the entries of a recording make, with the containers that were found or searched."""
    context = recording.context
    books: dict[str, _RecordedBook] = {}
    callers = _RecordedBook(_CALLERS)

    def add(dn: str, entry: RecordedEntry | None = None) -> None:
        place = _place(dn, context.base)
        if place is None:
            return
        uid, ous = place
        if not ous:
            if entry is not None:
                callers.entries[uid] = entry
            return
        book = books.setdefault(folded(ous[0]), _RecordedBook(ous[0]))
        _, members = book.labels.setdefault(folded(ous[1]), (ous[1], set())) if len(ous) > 1 else ("", set())
        if entry is not None:
            book.entries[uid] = entry
            members.add(uid)

    if recording.own_book:
        add(str(context.base.child("ou", recording.own_book)))
    for entry in recording.entries:
        add(entry.dn, entry)
    for exchange in exchanges(recording):
        for dn in exchange.found.values():
            add(dn)
        base = exchange.search.base if exchange.search is not None and exchange.code == ResultCode.SUCCESS else ""
        add(base)
        for book, label in _labels_alone(exchange, base, context.base):
            books[book].shared_label = books[book].labels[label][0]
    made = [_book(recording, _key(recording, book.name), book) for book in books.values()]
    return Directory(context, (*made, _book(recording, _CALLERS, callers)))


def _labels_alone(exchange: Exchange, searched: str, base: Dn) -> Iterator[tuple[str, str]]:
    """The books, and the label of each, of which a search in more than the label's branch found that branch."""
    depth = len(Dn.parse(searched).rdns) if exchange.found and _is_dn(searched) else 0
    for dn in exchange.found.values():
        place = _place(dn, base)
        if place is not None and len(place[1]) > 1 and place[0] and depth < len(base.rdns) + 2:
            yield folded(place[1][0]), folded(place[1][1])


def _is_dn(text: str) -> bool:
    try:
        Dn.parse(text)
    except InvalidDn:
        return False
    return True


def _place(dn: str, base: Dn) -> tuple[str, tuple[str, ...]] | None:
    """The uid of an entry (empty: it is a container), and the names of its book and its label; None: no such entry.

    The place of an entry for a caller is right below the base; its whole name is its uid.
    """
    name = Dn.parse(dn) if _is_dn(dn) else Dn()
    depth = len(name.rdns) - len(base.rdns)
    if depth <= 0 or name.key[depth:] != base.key:
        return None
    (kind, value), *others = name.rdns[0]
    ous = tuple(rdn[0][1] for rdn in reversed(name.rdns[:depth]) if rdn[0][0] == "ou")
    if others:
        return dn_key(dn), ()
    return (value if kind == "uid" else ""), ous


def _key(recording: Recording, name: str) -> str:
    if folded(name) == folded(recording.own_book):
        return _OWN
    return DIRECTORY if name == DIRECTORY else f"book {folded(name)}"


def _book(recording: Recording, key: str, recorded: _RecordedBook) -> Book:
    context = recording.context
    parent = book_parent(context, key, recorded.name)
    entries = {uid: _entry(context, parent, uid, entry) for uid, entry in recorded.entries.items()}
    book_sort_key = container_sort_key(recorded.name, parent.uuid_namespace)
    labels = []
    for label, uids in recorded.labels.values():
        parent_of_label = label_parent(parent, label)
        segments = _segments(recording, {uid: entries[uid].with_parent(parent_of_label) for uid in uids})
        labels.append(assemble_label(context, parent_of_label, book_sort_key, label, frozenset(), segments))
    sharing = {_OWN: Sharing.PRIVATE, _CALLERS: Sharing.CALLERS}.get(key, Sharing.SHARED)
    segments = _segments(recording, entries)
    labels.sort(key=lambda label: label.container.sort_key)
    return assemble_book(
        context, parent, key, recorded.name, sharing, segments, labels, shared_label=recorded.shared_label
    )


def _segments(recording: Recording, entries: Mapping[str, Entry]) -> Segments:
    """Entries by uid as segments; the uid of an entry for a number ends in the number's position."""
    of_numbers = [entry for uid, entry in entries.items() if recording.per_number and is_of_number(uid)]
    of_contacts = [entry for entry in entries.values() if entry not in of_numbers]
    return empty_segments(per_number=recording.per_number).updated((), of_contacts, of_numbers)


def _entry(context: NamingContext, parent: ParentEntry, uid: str, recorded: RecordedEntry) -> Entry:
    attributes: Mapping[str, Collection[str]] = recorded.attributes
    texts = {name: tuple(values) for name, values in attributes.items() if name not in recorded.numbers}
    numbers = {name: dict(zip(attributes[name], values, strict=True)) for name, values in recorded.numbers.items()}
    factory = EntryFactory(context, parent, per_number=False)
    texts = {"cn": (uid,), **texts, "uid": (uid,)}
    # The first alias of an entry for a number is the contact's name.
    name = (recorded.aliases if is_of_number(uid) and recorded.aliases else texts["cn"])[0]
    return factory.make_entry(name, texts, numbers, recorded.aliases, Contact(uid), {})

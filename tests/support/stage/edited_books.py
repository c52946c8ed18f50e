# SPDX-License-Identifier: MIT
"""A company whose address books are edited while everything fails, and the two promises that hold through all of it.

When a sync says that it went well, phones find what the books hold; when it does not, they find what they found before.
Killed in between, the gateway serves the one or the other, whole.  Nothing is logged that should not be, no fault of
ours is met, and an account whose consent was not revoked is never lost.
"""

from __future__ import annotations

import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from ldapgw.contact import Source
from ldapgw.errors import StoreError
from ldapgw.google.sandbox.faults import Faults
from ldapgw.google.sandbox.people import METHODS
from ldapgw.google.sandbox.world import RegisteredClient, World
from ldapgw.store import directory_accounts
from ldapgw.store.accounts import Account, SourceState, SyncRequest
from tests.support import postgresql
from tests.support.damaged_replies import ALL_FAULTS
from tests.support.site.company import COLLEAGUES, CONTACTS, OTHERS, Company, Entries, Person
from tests.support.stage.machine import BASE, GOOGLE, NOW, Machine
from tests.support.stage.paths import DAY

ALICE, BOB = "alice@acme.example", "bob@acme.example"
PHONES = {ALICE: "desk1", BOB: "desk2"}
# As long as a sync can take that Google never answers.
PATIENCE = 200
# These faults end a consent.
_TURNS_OFF = ("revoked", "plain", "reauth", "admin")
# Nobody can know the gaps of a delta, and the present part of a list that is not quite whole is taken: such a sync
# ends well, without having brought all.
_TAKEN = ("few_missing", "short_list", "no_list")
FAULTS_AT_SYNC = sorted(
    name for name in ALL_FAULTS if "code" not in name and not any(word in name for word in (*_TURNS_OFF, *_TAKEN))
)
ENDS_CONSENT = [
    name for name in ALL_FAULTS if name.startswith("token_error_") and any(word in name for word in _TURNS_OFF)
]
PATHS = ("", *METHODS)
DISK = ("database or disk is full", "disk I/O error", "database is locked", "attempt to write a readonly database")

Book = dict[str, Entries]

names = st.sampled_from(["", "Jörg", "Ida", "Łukasz", "Zoë", "Иван"])
numbers = st.tuples(st.sampled_from(["work", "main", "mobile", "home", "workFax"]), st.integers(100, 140))
persons = st.builds(
    Person,
    given=names,
    family=st.sampled_from(["", "Müller", "Zimmer", "O'Brien", "de la Cruz"]),
    company=st.sampled_from(["", "Müller GmbH"]),
    numbers=st.lists(numbers, max_size=3, unique_by=lambda one: one[1]).map(tuple),
)
who = st.sampled_from([ALICE, BOB])
sources = st.sampled_from([CONTACTS, CONTACTS, OTHERS, COLLEAGUES])
whichever = st.integers(0, 1000)


class Books(RuleBasedStateMachine):
    """The company, its gateway, and what phones found last.

    :ivar found: by account, what its phone found of its book when it was looked at last.
    :ivar colleagues: every state that the directory ever had.
    :ivar blurred: the directory changed while it was fetched: a mixture may be served until all have synced.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        reactor = MemoryReactorClock()
        self._random = Random(1).randbytes
        self.world = World(now=lambda: NOW + reactor.seconds(), random=self._random, issuer=GOOGLE)
        self.world.faults = Faults(ALL_FAULTS)
        self.world.register(RegisteredClient("client", "GOCSPX-EXAMPLE", ("https://x.example/cb",)))
        self.company = Company(self.world)
        self.machine = Machine(Path(self._folder.name), self.world, reactor, self.server())
        self.log: list[str] = []
        self.faults_of_ours: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        self.patch = pytest.MonkeyPatch()
        self._turn_pages()
        self.people = 0
        self.found: dict[str, Book] = {}
        self.colleagues: list[Entries] = [{}]
        self.synced_at: dict[str, float | None] = {}
        self.blurred = False
        self.backup: tuple[dict[str, Book], Entries] | None = None

    def server(self) -> str:
        """The URL of the gateway's database, where a server has it."""
        return ""

    @initialize()
    def begin(self) -> None:
        """Two people connect and have a phone each."""
        for address, name in ((ALICE, "Alice"), (BOB, "Bob")):
            self.world.add_account(address, name, "Acme", hd="acme.example")
        self.machine.start()
        for address, phone in PHONES.items():
            self.machine.connect(address)
            self.machine.add_phone(phone, address)
        self._settle()
        self._take_all()

    def teardown(self) -> None:
        """Everything is mended; then everything is right."""
        try:
            if self.found:
                self._mend()
                self.sync_everybody()
        finally:
            self.patch.undo()
            self.machine.scrap()
            globalLogPublisher.removeObserver(self._observe)
            self._folder.cleanup()

    # --- people edit their books ---

    @rule(address=who, source=sources, person=persons)
    def add(self, address: str, source: str, person: Person) -> None:
        """Somebody new."""
        self._add(address, source, person)

    @rule(address=who, source=sources, which=whichever, person=persons)
    def change(self, address: str, source: str, which: int, person: Person) -> None:
        """Somebody becomes another person, in place."""
        self._change(address, source, which, person)

    @rule(address=who, source=sources, which=whichever)
    def delete(self, address: str, source: str, which: int) -> None:
        """Somebody goes."""
        if held := self.company.names(address, source):
            self.company.delete(address, source, held[which % len(held)])
            self._note_colleagues()

    @rule(address=who, which=whichever)
    def move(self, address: str, which: int) -> None:
        """Google gives somebody another name."""
        if held := self.company.names(address, CONTACTS):
            self.company.move(address, held[which % len(held)])

    @rule(address=who, name=st.sampled_from(["Kunden", "Lieferanten"]))
    def add_label(self, address: str, name: str) -> None:
        """A label that nobody has yet."""
        if name not in self.company.labels.get(address, {}).values():
            self.company.add_label(address, name)

    @rule(address=who, which=whichever)
    def delete_label(self, address: str, which: int) -> None:
        """The label's contacts lose the label."""
        if held := list(self.company.labels.get(address, {})):
            self.company.delete_label(address, held[which % len(held)])

    @rule(address=who, count=st.integers(20, 30))
    def add_many(self, address: str, count: int) -> None:
        """So many that the shrink guard looks at the book, and that there are many pages."""
        for at in range(count):
            self._add(address, CONTACTS, Person("Many", str(at), numbers=(("work", at),)))

    @rule(address=who)
    def delete_most(self, address: str) -> None:
        """More than half of a book."""
        for name in self.company.names(address, CONTACTS)[2:]:
            self.company.delete(address, CONTACTS, name)

    # --- syncs ---

    @rule(address=who, kind=st.sampled_from(list(SyncRequest)))
    def sync(self, address: str, kind: SyncRequest) -> None:
        """Somebody asks for one."""
        with self._watched():
            self._ask(address, kind)

    @rule(address=who, kind=st.sampled_from(list(SyncRequest)), step=st.integers(1, 320))
    def sync_and_be_killed(self, address: str, kind: SyncRequest, step: int) -> None:
        """The process ends between two steps, and is started anew."""
        before, steps = dict(self.found), self.machine.kill.steps
        self.machine.kill.left = steps + step
        self._ask(address, kind, settles=False)
        self.machine.lose()
        self.machine.start()
        self._check_one_of(before)
        with self._watched():
            self._settle()

    @rule(
        address=who,
        kind=st.sampled_from(list(SyncRequest)),
        statement=st.integers(1, 60),
        count=st.sampled_from([1, 2, 5, 10**9]),
        reason=st.sampled_from(DISK),
        looks=st.integers(0, 3),
    )
    def sync_and_lose_the_disk(
        self, address: str, kind: SyncRequest, statement: int, count: int, reason: str, looks: int
    ) -> None:
        """From a statement on nothing can be written or read, until it is mended; nobody starts anything anew."""
        before = dict(self.found)
        mend = self.machine.fail_at(statement, count, reason)
        self._ask(address, kind, settles=False)
        for _ in range(looks):
            self.machine.run(5)
        # Phones are served from memory, whatever is wrong.
        self._check_one_of(before)
        mend()
        self._settle()
        self._check_one_of(before)

    @rule(address=who, call=st.integers(1, 12), source=sources, which=whichever, person=persons)
    def edit_while_it_syncs(self, address: str, call: int, source: str, which: int, person: Person) -> None:
        """A book changes between two pages; what was right at no moment may be served until the next sync."""
        self.blurred = self.blurred or source == COLLEAGUES

        def edit(calls: int) -> None:
            if calls == call:
                self._add(address, source, person)
                self._change(address, source, which, person)

        self.machine.line.calls, self.machine.line.before = 0, edit
        self._ask(address, SyncRequest.INCREMENTAL)
        self.machine.line.before = lambda _: None
        self._take_all()

    @rule()
    def sync_everybody(self) -> None:
        """With nothing in the way: then the directory is right too."""
        if self.world.faults.pending:
            return
        if any(Source.DIRECTORY in self._off(address) for address in PHONES):
            with self._watched():
                self._let(DAY)  # it rests
                self._settle()
        with self._watched():
            for address in PHONES:
                self._ask(address, SyncRequest.ACCEPT)
                trouble = self._account(address).error
                if trouble is not None and trouble.code == "suspicious_shrink":
                    # More than the person was told; now it was told.
                    self._ask(address, SyncRequest.ACCEPT)
        assert [self._account(address).error for address in PHONES] == [None, None]
        assert self._directory() == self.company.directory()
        self.blurred = False

    # --- trouble at Google ---

    @rule(
        name=st.sampled_from(FAULTS_AT_SYNC),
        times=st.integers(1, 3),
        path=st.sampled_from(PATHS),
        after=st.integers(0, 8),
    )
    def break_calls(self, name: str, times: int, path: str, after: int) -> None:
        """The next calls fail, or those behind a few that go well."""
        there = path if name.startswith(("error", "broken")) else ""
        self.world.faults.inject(name, times=times, path=there, after=after)

    @rule()
    def mend_calls(self) -> None:
        """Google is well again."""
        self.world.faults.clear()

    @rule(address=who)
    def expire_sync_tokens(self, address: str) -> None:
        """A full sync is due."""
        self.world.expire_sync_tokens(address)

    @rule(address=who)
    def expire_access_tokens(self, address: str) -> None:
        """Early: the gateway thinks that they are good."""
        self.world.expire_access_tokens(address)

    @rule(address=who, how=st.sampled_from(ENDS_CONSENT))
    def lose_consent_and_give_it_anew(self, address: str, how: str) -> None:
        """The contacts stay, nothing is called, and the next consent continues."""
        self.world.faults.clear()
        self.world.faults.inject(how, path="/token", account=address)
        self.world.expire_access_tokens(address)
        with self._watched():
            self._ask(address, SyncRequest.INCREMENTAL)
        trouble = self._account(address).error
        assert trouble is not None
        assert trouble.code == "consent_revoked"
        self.world.faults.clear()
        self.world.faults.inject("broken_connection_lost", times=99, account=address)
        with self._watched():
            self._let(DAY)
            self._settle()
        assert [one.remaining for one in self.world.faults.pending] == [99]
        self.world.faults.clear()
        with self._watched():
            self.machine.connect(address)
            self._settle()

    # --- time, and what administrators do ---

    @rule(seconds=st.sampled_from([10.0, 3600.0, 4000.0, 2 * DAY, 6.5 * DAY, 8 * DAY]))
    def wait(self, seconds: float) -> None:
        """Time passes, syncs come by themselves."""
        with self._watched():
            self._let(seconds)
            self._settle()

    @rule(jump=st.sampled_from([DAY, -DAY, 0.0]))
    def set_clock(self, jump: float) -> None:
        """The machine's clock is wrong by a day, or right again."""
        self.machine.ahead = jump

    @rule()
    def restart(self) -> None:
        """SIGTERM and a start; nothing has changed, before Google was asked."""
        before = {address: self._book(address) for address in PHONES}, self._directory()
        self.machine.stop()
        self.machine.start()
        assert ({address: self._book(address) for address in PHONES}, self._directory()) == before

    @rule()
    def rotate_key(self) -> None:
        """Beside the running gateway."""
        self.machine.rotate_key(urlsafe_b64encode(self._random(32)))

    @rule()
    def make_backup(self) -> None:
        """Of what is served now; a sync that was due meanwhile has its turn first."""
        with self._watched():
            self._settle()
        self.machine.back_up(self._backup)
        self.backup = {address: self._book(address) for address in PHONES}, self._directory()

    @precondition(lambda self: self.backup is not None)
    @rule()
    def put_the_backup_back(self) -> None:
        """It is served within two seconds; then the syncs go on from there."""
        with self._watched():
            self._settle()
        try:
            self.machine.restore(self._backup)
        except StoreError:
            return  # the key was replaced meanwhile
        self.machine.line.before = unreachable
        self._let(2)
        self.machine.line.before = lambda _: None
        assert self.backup is not None
        assert ({address: self._book(address) for address in PHONES}, self._directory()) == self.backup
        self._take_all()

    # --- what always holds ---

    @invariant()
    def nothing_of_ours_failed(self) -> None:
        """No traceback, and nothing in the log that is somebody's."""
        assert self.faults_of_ours == []
        told = "\n".join(self.log)
        assert not [secret for secret in ("ya29", "1//03", "Müller", "23125", "@acme") if secret in told], told

    # --- how ---

    def _ask(self, address: str, kind: SyncRequest, *, settles: bool = True) -> None:
        """``ldapgw sync``, and wait until it has ended."""
        self.machine.ask(address, kind)
        self._let(1.1)
        if settles:
            self._settle()

    def _let(self, seconds: float) -> None:
        self.machine.run(seconds)

    def _settle(self) -> None:
        """Wait until nobody syncs and the database is well."""
        for _ in range(PATIENCE):
            self.machine.run(1.1)
            asked = [self._account(address) for address in PHONES]
            if not any(one.syncing or one.requested_sync for one in asked):
                return
        raise AssertionError("a sync never ends")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """The promises hold after all syncs in the block."""
        before = dict(self.found)
        ended = dict(self.synced_at)
        yield
        for address in PHONES:
            if self._account(address).last_sync != ended[address]:
                assert self._is_as_told(address, before[address]), f"{address}: a sync that went well"
            else:
                assert self._book(address) == before[address], f"{address}: no sync went well"
        self._check_colleagues()
        self._take_all()

    def _check_one_of(self, before: dict[str, Book]) -> None:
        """The syncs took effect whole or not at all."""
        for address in PHONES:
            assert self._book(address) == before[address] or self._is_as_told(address, before[address])
        self._check_colleagues()
        self._take_all()

    def _is_as_told(self, address: str, before: Book) -> bool:
        """Return True if a book is what Google holds, but for the parts that are said not to be up to date."""
        found, right = self._book(address), self.company.book(address)
        account_id = self._account(address).id
        stale = {
            one
            for one in Source
            if self.machine.transact(directory_accounts.failing_since, account_id, one) is not None
        }
        off = self._off(address)
        if Source.CONTACTS in off and _part(found[""], others=False) == _part(before[""], others=False):
            right[""] = _part(before[""], others=False) | _part(right[""], others=True)
        stale |= off
        if Source.OTHER_CONTACTS in stale and _part(found[""], others=True) == _part(before[""], others=True):
            right[""] = _part(right[""], others=False) | _part(before[""], others=True)
        if Source.CONTACTS in stale:  # their labels
            found, right = {"": found[""]}, {"": right[""]}
        # A label without members that came or went is seen at the next listing of labels, once a day.
        return _with_members(found) == _with_members(right)

    def _off(self, address: str) -> set[Source]:
        """The sources that Google does not give an account."""
        return {one for one, state in self._account(address).sources.items() if state is not SourceState.ON}

    def _check_colleagues(self) -> None:
        assert self.blurred or self._directory() in self.colleagues

    def _take_all(self) -> None:
        for address in PHONES:
            self._take(address)

    def _take(self, address: str) -> None:
        self.found[address] = self._book(address)
        self.synced_at[address] = self._account(address).last_sync

    def _book(self, address: str) -> Book:
        base = f"ou={address},{BASE}"
        labels = ("Kunden", "Lieferanten")
        found = {"": self.machine.served(PHONES[address], base)}
        found |= {name: self.machine.served(PHONES[address], f"ou={name},{base}") for name in labels}
        return {name: entries for name, entries in found.items() if entries or not name}

    def _directory(self) -> Entries:
        return self.machine.served(PHONES[ALICE], f"ou=directory,{BASE}")

    def _account(self, address: str) -> Account:
        return self.machine.account(address)

    def _add(self, address: str, source: str, person: Person) -> None:
        self.people += 1
        held = list(self.company.labels.get(address, {})) if source == CONTACTS else []
        person = Person(
            person.given, person.family, person.company, person.numbers,
            mail=f"p{self.people}@x.example" if source == COLLEAGUES or self.people % 3 == 0 else "",
            labels=tuple(held[: self.people % 3]),
        )  # fmt: skip
        self.company.add(address, source, person)
        self._note_colleagues()

    def _change(self, address: str, source: str, which: int, person: Person) -> None:
        if held := self.company.names(address, source):
            self.company.change(address, source, held[which % len(held)], person)
            self._note_colleagues()

    def _note_colleagues(self) -> None:
        if (now := self.company.directory()) not in self.colleagues:
            self.colleagues.append(now)

    def _mend(self) -> None:
        self.world.faults.clear()
        self.machine.ahead = 0.0
        self._let(2 * DAY)
        self._settle()
        for address in PHONES:
            if self._account(address).error is not None:
                self.machine.connect(address)
        self._settle()
        self._take_all()

    @property
    def _backup(self) -> Path:
        return self.machine.folder / "backup.db"

    def _turn_pages(self) -> None:
        """Google gives three persons a page, whatever it was asked for."""
        from ldapgw.google.sandbox import people

        asked: Callable[..., int] = people._page_size
        self.patch.setattr(people, "_page_size", lambda *args: min(asked(*args), 3))

    def _observe(self, logged: dict[str, Any]) -> None:
        if logged.get("log_namespace", "").startswith("ldapgw"):
            self.log.append(formatEvent(logged))
        if logged["log_level"] is LogLevel.critical and not self.machine.kill.dead:
            self.faults_of_ours.append(formatEvent(logged) + str(logged.get("log_failure", "")))


class BooksOnPostgresql(Books):
    """The same, with the database on a server."""

    def server(self) -> str:
        return postgresql.reused_url(1).render_as_string(hide_password=False)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            postgresql.empty(1)


def _with_members(book: Book) -> Book:
    """A book without its empty labels."""
    return {label: held for label, held in book.items() if held or not label}


def _part(entries: Entries, *, others: bool) -> Entries:
    """The "other contacts" of a book, or the rest of it."""
    return {uid: entry for uid, entry in entries.items() if uid.startswith("other-") == others}


def unreachable(_calls: int) -> None:
    """Google is not there."""
    raise ConnectionRefusedError

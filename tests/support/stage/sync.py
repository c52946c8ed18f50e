# SPDX-License-Identifier: MIT
"""The writing half before the sandbox Google, all in memory: real parts, a clock that is moved by hand."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from random import Random
from tempfile import gettempdir
from typing import Any
from urllib.parse import urlsplit
from weakref import finalize

from cryptography.fernet import Fernet
from sqlalchemy import Connection, Executable, select
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.python.url import URL

from ldapgw.contact import Sharing, Source
from ldapgw.directory.book import Book
from ldapgw.directory.catalog import EndedLogin
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.errors import GoogleError
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.oauth import OAuth
from ldapgw.google.people import People
from ldapgw.google.photos import PhotoClient
from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.faults import Fault, Faults, Injection, api_error
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.google.sandbox.world import RegisteredClient, World
from ldapgw.google.workspace import WorkspaceDirectory
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.peers.leadership import Leader, OnlyGateway
from ldapgw.store import accounts, contacts, phones, sync_state, tables
from ldapgw.store.accounts import STORED_EPOCH, Account, ErrorStatus, NewGrant, SyncRequest
from ldapgw.store.database import Database, Mode
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_state import SyncProgress, SyncState
from ldapgw.store.tables import contact
from ldapgw.store.worker import Store, on_threads
from ldapgw.sync.apply import BegunSync, read_stored_state
from ldapgw.sync.fetch import UNLIMITED, FullSyncLimits, SyncedTenant
from ldapgw.sync.job import Applied, SyncJob
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.photos import PhotoFetcher
from ldapgw.sync.scheduler import SyncScheduler
from ldapgw.sync.workspace import DelegatedTenant, DelegatedTokens, Delegation
from tests.support.damaged_replies import ALL_FAULTS
from tests.support.results import awaited, result_of
from tests.support.stage.databases import open_in_memory
from tests.support.stage.paths import CONNECTIONS
from tests.support.stage.publishing import AT_ONCE, empty_catalog, make_publisher

NOW = 1_800_000_000.0
ALICE, BOB, CAROL = "alice@acme.example", "bob@acme.example", "carol@gmail.example"
CLIENT = Client("123456789012-example.apps.googleusercontent.com", "GOCSPX-EXAMPLE")
GOOGLE = "https://accounts.google.com"
SCOPE = "https://www.googleapis.com/auth/"
ALL_SCOPES = (
    "openid",
    "email",
    SCOPE + "contacts.readonly",
    SCOPE + "contacts.other.readonly",
    SCOPE + "directory.readonly",
)
ALL_SOURCES = (Source.CONTACTS, Source.OTHER_CONTACTS, Source.DIRECTORY)
ENDPOINTS = Endpoints(
    GOOGLE + "/o/oauth2/v2/auth", "https://oauth2.googleapis.com/token", GOOGLE + "/revoke", GOOGLE, GOOGLE, GOOGLE
)
INTERVAL = 600.0

CONTEXT = NamingContext(
    name="acme",
    title="Acme",
    base=Dn.parse("dc=acme,dc=example"),
    region="DE",
    outside_line="0",
    number_format=NumberFormat.E164,
    lenient=True,
)


def person(name: str, *numbers: str) -> dict[str, Any]:
    """Return a person as Google would hold it."""
    given, _, family = name.rpartition(" ")
    return {
        "names": [{"displayName": name, "givenName": given, "familyName": family, "unstructuredName": name}],
        "phoneNumbers": [{"value": number, "type": "work"} for number in numbers],
    }


def consent(
    world: World,
    address: str,
    now: float,
    client_id: str,
    scopes: tuple[str, ...] = ALL_SCOPES,
    hd: str | None = None,
) -> NewGrant:
    """A grant that the sandbox has given to a client."""
    grantee = Grantee(world.account(address).sub, client_id)
    return NewGrant(
        sub=grantee.sub,
        address=address,
        scopes=frozenset(scopes),
        access_token=world.grants.issue_access(grantee, scopes),
        access_expires_at=now + 3599,
        refresh_token=world.grants.issue_refresh(grantee, scopes, None),
        refresh_expires_at=None,
        client_id=client_id,
        hd=hd,
    )


class Line:
    """The line to Google, which can be told to find trouble there at a certain call.

    :ivar meanwhile: by path: what happens once, between a call there and its answer.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._http = StubTreq(sandbox(world))
        self.fail_in = 0
        self.meanwhile: dict[str, Callable[[], object]] = {}

    def request(self, method: str, url: str | URL, **kw: Any) -> Any:
        self.fail_in -= 1
        path = urlsplit(url if isinstance(url, str) else url.to_text()).path
        if self.fail_in == 0:
            self._world.faults.inject("error_internal_500", times=1, path=path)
        answer = self._http.request(method, url, **kw)
        self.meanwhile.pop(path, lambda: None)()
        return answer


class HeldStore(Store):
    """A store whose thread is busy until it is let go on."""

    is_failing = False

    def __init__(self, store: Store) -> None:
        super().__init__(store.call)
        self._waiting: list[Callable[[], object]] = []

    def call(self, *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self._waiting.append(lambda: self._transact(*args).chainDeferred(done))
        return done

    def watch(self) -> None:
        """Nothing hangs here."""

    def go_on(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()


@dataclass
class Stage:
    """Everything that a test of the writing half needs.

    :ivar in_turns: whether the store answers the scheduler in turns of the clock, as a thread does in turns of the
        reactor.  Otherwise each sync begins on the stack of the sync that it waited for, which hundreds of accounts
        overflow.
    :ivar on_books_thread: calls what the publisher has called off the reactor's thread.
    :ivar build_in_process: builds large books in another process; as long as nothing does, they are built here.
    :ivar scale_in_process: scales photos, as another process does.
    :ivar seconds: the publisher's clock.
    :ivar lags: for how long changes have waited until they were served.
    """

    sources: tuple[Source, ...] = (Source.CONTACTS,)
    labels: tuple[str, ...] = ()
    excluded_labels: tuple[str, ...] = ()
    photos: bool = False
    calls_per_minute: int | None = None
    full_syncs: FullSyncLimits = UNLIMITED
    tenants: tuple[str, ...] = ("acme",)
    interval: float = INTERVAL
    in_turns: bool = False
    clock: Clock = field(default_factory=Clock)
    between_turns: Callable[[], object] = lambda: None
    on_books_thread: Callable[..., Any] = AT_ONCE
    build_in_process: Callable[..., Deferred[None]] = lambda *_: succeed(None)
    scale_in_process: Callable[..., Any] = AT_ONCE
    seconds: Callable[[], float] = lambda: 0.0
    lags: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock.advance(NOW)
        self.world = World(now=self.clock.seconds, random=Random(1).randbytes, issuer=GOOGLE)
        self.world.faults = Faults(ALL_FAULTS)
        self.world.register(RegisteredClient(CLIENT.client_id, CLIENT.client_secret, ("https://x.example/cb",)))
        self.world.add_account(ALICE, "Alice", "A", hd="acme.example")
        self.world.add_account(BOB, "Bob", "B", hd="acme.example")
        self.world.add_account(CAROL, "Carol", "C")
        self.database = self.new_database()
        finalize(self, self.database.close)  # Python 3.13 warns of a connection that nobody closes
        self.secret_box = SecretBox([Fernet.generate_key()])
        self.store = self.new_store(AT_ONCE)
        sync_store = Store(self._in_turn if self.in_turns else self.store.call, Mode.BESIDE)
        self.catalog = empty_catalog(self.clock.seconds)
        self.published: list[tuple[Dit, tuple[EndedLogin, ...]]] = []
        self.publisher = make_publisher(
            store=self.store,
            catalog=self.catalog,
            contexts={tenant: self._context(tenant) for tenant in self.tenants},
            run_off_thread=lambda *call, **kw: self.on_books_thread(*call, **kw),
            build_in_process=lambda *call: self.build_in_process(*call),
            seconds=lambda: self.seconds(),
            observe_lag=self.lags.append,
            on_publish=lambda ended: self.published.append((self.catalog.dit(), tuple(ended))),
            next_turn=self._next_turn,
        )
        self.line = Line(self.world)
        self.progress: list[tuple[int, SyncProgress | None]] = []
        http: Any = self.line
        self.oauth = OAuth(http, ENDPOINTS, self.clock)
        self.people = People(http, ENDPOINTS, self.clock, AT_ONCE)
        self.workspace = WorkspaceDirectory(http, ENDPOINTS, self.clock)
        tenant = SyncedTenant(CLIENT, self.sources, self.labels, "DE", self.excluded_labels, self.photos)
        self.synced = dict.fromkeys(self.tenants, tenant)
        self.delegations: dict[str, Delegation] = {}
        self.delegated: dict[str, DelegatedTenant] = {}
        pacer = CallPacer(clock=self.clock, calls_per_minute=self.calls_per_minute)
        self.sync_store: Store = sync_store
        self.leader = OnlyGateway(sync_store)
        self.job = SyncJob(
            leader=self.leader,
            secret_box=self.secret_box,
            oauth=self.oauth,
            delegated=DelegatedTokens(
                oauth=self.oauth,
                directory=self.workspace,
                delegations=self.delegations,
                tenants=self.delegated,
                now=self.clock.seconds,
            ),
            people=self.people,
            tenants=self.synced,
            interval=self.interval,
            pacer=pacer,
            full_syncs=self.full_syncs,
            run_off_thread=AT_ONCE,
            folder=Path(gettempdir()),
            now=self.clock.seconds,
            on_progress=lambda account_id, progress: self.progress.append((account_id, progress)),
        )
        self.scheduler = self.new_scheduler()
        self.photo_fetcher = PhotoFetcher(
            clock=self.clock,
            leader=self.leader,
            client=PhotoClient(http, ENDPOINTS, self.clock),
            tenants=self.synced,
            pacer=pacer,
            scale_in_process=lambda *call: self.scale_in_process(*call),
            publish=self.publisher.refresh,
        )

    def new_database(self) -> Database:
        return open_in_memory()

    def new_store(self, at_once: Any) -> Store:
        return Store(on_threads(self.database, at_once, at_once))

    def new_scheduler(
        self, concurrency: int = 4, store: Store | None = None, leader: Leader | None = None
    ) -> SyncScheduler:
        return SyncScheduler(
            clock=self.clock,
            store=store or self.sync_store,
            leader=leader or OnlyGateway(self.sync_store),
            job=self.job,
            publish=self.publisher.refresh,
            interval=self.interval,
            concurrency=concurrency,
            random=lambda: 0.5,
        )

    def execute(self, statement: Executable) -> None:
        """Change the database as no function of the store does."""
        with self.database.begin() as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start the scheduler, and have it look at the database."""
        self.scheduler.startService()
        result_of(self.scheduler.refresh())

    def restart(self, concurrency: int = 4) -> None:
        """Stop the scheduler if it runs, and start another one."""
        if self.scheduler.running:
            self.scheduler.stopService()
        self.scheduler = self.new_scheduler(concurrency)
        self.start()

    def _context(self, tenant: str) -> NamingContext:
        return replace(CONTEXT, name=tenant, base=Dn.parse(f"dc={tenant},dc=example"), photos=self.photos)

    def in_time(self, awaitable: Awaitable[Any]) -> Any:
        """Return a result after all turns of the clock's present time; raises the awaitable's error."""
        done = Deferred.fromCoroutine(awaited(awaitable))
        self.clock.advance(0.0)
        return result_of(done)

    def _in_turn(self, *call: Any, **kw: Any) -> Deferred[Any]:
        return deferLater(self.clock, 0.0, self.store.call, *call, **kw)

    def _next_turn(self) -> Deferred[None]:
        self.between_turns()
        return succeed(None)

    def connect(
        self,
        address: str = ALICE,
        scopes: tuple[str, ...] = ALL_SCOPES,
        sharing: Sharing = Sharing.PRIVATE,
        *,
        tenant: str = "acme",
        client: Client = CLIENT,
        hd: str | None = None,
    ) -> Account:
        """A consent as the page would store it."""
        now = self.clock.seconds()
        grant = consent(self.world, address, now, client.client_id, scopes, hd)
        self.database.run(connect, self.secret_box, grant, tenant, sharing, now)
        return self.account(address)

    def account(self, address: str = ALICE) -> Account:
        (found,) = self.database.run(accounts.find_by_address, address)
        return found

    def trouble(self, address: str = ALICE) -> ErrorStatus:
        """The error of an account, which has one."""
        error = self.account(address).error
        assert error is not None
        return error

    def sync_states(self, address: str = ALICE) -> dict[Source, SyncState]:
        """The sync tokens and what they are bound to."""
        return self.database.run(sync_state.read_sync_states, self.account(address).id)

    def records(self, address: str = ALICE) -> dict[str, tuple[Any, ...]]:
        """The account's own contacts, as stored, by uid."""
        held = contact.c.account_id == self.account(address).id, contact.c.source == Source.CONTACTS
        columns = contact.c.uid, contact.c.source_id, contact.c.content, contact.c.skipped, contact.c.generation
        with self.database.begin() as connection:
            return {row.uid: tuple(row) for row in connection.execute(select(*columns).where(*held))}

    def labels_of(self, address: str = ALICE) -> dict[str, str]:
        """The account's labels."""
        return self.database.run(contacts.read_labels, self.account(address).id)

    def configure(self, **changes: Any) -> None:
        """Change the configuration of the first tenant."""
        self.synced["acme"] = replace(self.synced["acme"], **changes)

    def add_users(self, count: int) -> list[str]:
        """Add accounts at Google that are not connected yet; returns their addresses."""
        addresses = [f"user{number}@acme.example" for number in range(count)]
        for address in addresses:
            self.world.add_account(address, "User", "U", hd="acme.example")
        return addresses

    def request(self, address: str = ALICE, kind: SyncRequest = SyncRequest.INCREMENTAL, *, looks: bool = True) -> None:
        """Have a person ask for a sync.

        :param looks: whether the scheduler finds it at once.
        """
        self.database.run(sync_state.request_sync, self.account(address).id, kind)
        if looks:
            result_of(self.scheduler.refresh())

    def hold_syncs(self) -> list[Deferred[bool]]:
        """Have each sync of an account wait until its result is called back; returns the syncs that have begun."""
        begun: list[Deferred[bool]] = []

        async def sync(*_: Any, **__: Any) -> Applied:
            begun.append(Deferred())
            return Applied(await begun[-1])

        self.job.sync = sync  # type: ignore[method-assign]
        return begun

    def make_wait(self, address: str, status: int = 429, code: str = "RESOURCE_EXHAUSTED") -> None:
        """Have Google refuse an account's contacts, and ask it to wait for two hours."""
        answer = api_error(status, code, "Busy", extra=(("Retry-After", "7200"),))
        fault = Fault("patience", "/v1/", answer)
        self.world.faults.pending.append(Injection(fault, None, address, CONNECTIONS))

    def begun(self, account: Account) -> BegunSync:
        """A sync of an account as if it had begun."""
        return BegunSync(account, self.database.run(read_stored_state, self.secret_box, account.id))

    def sync(self, address: str = ALICE, *, full: bool = False, accept_shrink: bool = False) -> bool:
        """One sync, without the scheduler."""
        may_lose = math.inf if accept_shrink else 0
        applied = result_of(self.job.sync(self.begun(self.account(address)), full=full, max_loss=may_lose))
        return self.sync_directory(address, full=full, accept_shrink=accept_shrink) or applied.changed

    def sync_directory(self, address: str = ALICE, *, full: bool = False, accept_shrink: bool = False) -> bool:
        """The second half of a sync: the directory, if it is the account's turn."""
        account = self.account(address)
        try:
            may_lose = math.inf if accept_shrink else 0
            changed: bool = result_of(self.job.sync_directory(account, full=full, max_loss=may_lose))
        except GoogleError as error:
            result_of(self.job.record_directory_failure(account, error, self.clock.seconds() + 30))
            return False
        return changed

    def add_phone(
        self, name: str, tenant: str = "acme", owner: str = "", numbers: NumberMode = NumberMode.VALUES
    ) -> None:
        account_id = self.account(owner).id if owner else None
        with self.database.begin() as connection:
            login = PhoneLogin(name, tenant, account_id, numbers, UNKNOWN_LOGIN_HASH, NOW)
            assert phones.add(connection, login)

    def hold(self, function: Any) -> Deferred[Any]:
        """Have a function wait on the books thread until the result is called back."""
        waiting: Deferred[Any] = Deferred()
        real = self.on_books_thread

        def run(called: Any, *args: Any, **kw: Any) -> Any:
            if called is function and not waiting.called:
                return waiting.addCallback(lambda _: called(*args, **kw))
            return real(called, *args, **kw)

        self.on_books_thread = run
        return waiting

    def books(self) -> dict[str, Book]:
        """The books of the first tenant after a look at the database, by name."""
        result_of(self.publisher.refresh())
        directory, *_ = self.catalog.dit().directories
        return {book.name: book for book in directory.books}

    def names(self, book: str = ALICE) -> list[str]:
        """Return the names that phones are served of a book."""
        result_of(self.publisher.refresh())
        return self.served(book)

    def served(self, book: str = ALICE) -> list[str]:
        """The same, without looking at the database again."""
        return [entry.attribute("cn")[0].decode() for entry in sorted(self.entries(book), key=attrgetter("sort_key"))]

    def entries(self, book: str = ALICE) -> list[Entry]:
        """The entries of contacts that phones are served of a book."""
        return [
            entry
            for directory in self.catalog.dit().directories
            for found in directory.books
            if found.name == book
            for segment in found.segments.contacts
            for entry in segment
        ]

    def calls(self) -> dict[str, int]:
        """The calls to Google since the last time."""
        calls = dict(self.world.calls)
        self.world.calls.clear()
        return calls


LABEL = "contactGroups/1"


def member(*groups: str) -> dict[str, Any]:
    """The labels of a person, as Google holds them."""
    return {"memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}} for group in groups]}


GRANT = NewGrant(
    sub="sub-1",
    address="Alice@acme.example",
    scopes=frozenset({"openid", "email"}),
    access_token="access-1",
    access_expires_at=NOW + 3600,
    refresh_token="refresh-1",
    refresh_expires_at=None,
)


def connect(
    connection: Connection,
    secret_box: SecretBox,
    grant: NewGrant = GRANT,
    tenant: str = "acme",
    sharing: Sharing = Sharing.PRIVATE,
    now: float = NOW,
    owner: str | None = None,
) -> int:
    """Store a consent as the page does; returns the id of the account."""
    account_id = accounts.connect(connection, secret_box, tenant, grant, sharing, now, owner, shared_label="")
    assert account_id is not None
    return account_id


def read_account(connection: Connection, account_id: int) -> Account:
    """Read an account that is there."""
    account = accounts.read(connection, account_id)
    assert account is not None
    return account


def read_generation(connection: Connection, account_id: int) -> tuple[str, int]:
    """Read the epoch and the generation of an account's contacts."""
    query = select(tables.account.c.generation, STORED_EPOCH).where(tables.account.c.id == account_id)
    row = connection.execute(query).one()
    return row.epoch, row.generation


def begin_sync(connection: Connection, account_id: int) -> Account:
    """Begin a sync of an account that is connected."""
    account = sync_state.begin(connection, account_id)
    assert account is not None
    return account


DESK = PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "sha256$00$00", NOW)


def given(uid: str, **more: Any) -> dict[str, Any]:
    metadata = {"sources": [{"type": "CONTACT", "id": f"s{uid}", "updateTime": "2026-01-31T09:30:00Z"}]}
    known = {"resourceName": f"people/{uid}", "metadata": metadata, **member(LABEL, "contactGroups/starred")}
    return {**person("Ada Riese", "030 23125 100"), **known, **more}


def connected_stage(**settings: Any) -> Stage:
    """A stage with one account, which is not synced yet."""
    stage = Stage(**settings)
    stage.connect()
    return stage


def synced_stage(*names: str, **settings: Any) -> Stage:
    """A stage with one account, which is synced and has contacts with these names; no calls are counted yet."""
    stage = connected_stage(**settings)
    for name in names:
        stage.world.add_person(ALICE, person(name))
    stage.sync()
    stage.calls()
    return stage


def with_directory(*names: str) -> Stage:
    """Two accounts that bring one Workspace directory, synced; Alice came first, so it comes through her.

    :param names: of the colleagues; none: there is one.
    """
    stage = Stage(sources=ALL_SOURCES)
    for address in (ALICE, BOB):
        stage.connect(address)
    for name in names or ("Dora Dienst",):
        stage.world.add_person(ALICE, person(name), "directory")
    for address in (ALICE, BOB):
        stage.sync(address)
    return stage

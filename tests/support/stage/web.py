# SPDX-License-Identifier: MIT
"""A gateway's pages before the sandbox, all in memory; and browsers that see every header."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from random import Random
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from weakref import finalize

from cryptography.fernet import Fernet
from treq.client import HTTPClient, IndexableCookieJar
from treq.testing import RequestTraversalAgent, StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute, maybeDeferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, Cooperator
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer
from twisted.web.resource import Resource

from ldapgw.contact import Contact, Kind, Phone, Sharing, Source
from ldapgw.directory.access import LeftOut
from ldapgw.directory.book import build_book
from ldapgw.directory.catalog import Catalog, Snapshot
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ResultCode
from ldapgw.files.reading import FilePreview
from ldapgw.google.delegation import ServiceAccount, read_key_file
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.identity import PublishedKeys
from ldapgw.google.oauth import OAuth
from ldapgw.google.people import People
from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.delegation import audience
from ldapgw.google.sandbox.faults import Faults
from ldapgw.google.sandbox.world import RegisteredClient, World
from ldapgw.google.workspace import WorkspaceDirectory
from ldapgw.ldap.admission import BindBackoff, CallerIdLimits
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.ldap.turns import TurnOf
from ldapgw.numbers import Number, phone_number
from ldapgw.phones.activity import PhoneActivity
from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.contact_browser import ContactBrowser, LookupResult
from ldapgw.phones.explain.explain import PhoneExplainer
from ldapgw.phones.provisioning.settings import ConnectionSettings, ServerAddress, Step, StepResult, StepStatus
from ldapgw.phones.refused_logins import RefusedLogins
from ldapgw.server.counters import PageCounters
from ldapgw.server.google import TenantClients, TenantDelegations, TenantsWithClients
from ldapgw.server.logging import MisuseLog
from ldapgw.server.reactor import WallClock
from ldapgw.server.workers import WorkerThread
from ldapgw.store import accounts, contacts, phones, sign_ins, sync_state
from ldapgw.store.accounts import Account, NewGrant
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.database import Database
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sign_ins import SignIn
from ldapgw.store.tenants import DelegationSettings, DelegationTrial
from ldapgw.store.worker import Store, on_threads
from ldapgw.sync.workspace import DelegatedTenant, Delegation, try_delegation
from ldapgw.web.app import web_resource
from ldapgw.web.dependencies import (
    AdminDependencies,
    BookClientDependencies,
    ChangeNotifier,
    DelegationDependencies,
    FileDependencies,
    PhoneDependencies,
    WebDependencies,
    WebTenant,
)
from ldapgw.web.http import HttpRequest, PublicUrl
from ldapgw.web.layout import Layout, Visit
from ldapgw.web.one_time_passwords import OneTimeSecrets
from ldapgw.web.sessions import Visitor
from ldapgw.web.site import Admission, WebSite
from tests.support import browser as person
from tests.support import pdu
from tests.support.damaged_replies import ALL_FAULTS
from tests.support.filter_text import encode, read_filter
from tests.support.phonebook import naming_context
from tests.support.phonebook.turns import Turns
from tests.support.results import result_of
from tests.support.stage.databases import open_in_memory
from tests.support.stage.telephone_system import TelephoneSystem

# The key of the link with which `by_link` opens the administration.
ADMIN_KEY = "A" * 43
NOW = 1790000000.0
URL = "https://phonebook.example.com"
GOOGLE = "https://accounts.google.com"
CLIENT = Client("123456789012-example.apps.googleusercontent.com", "GOCSPX-EXAMPLE")
SERVER = ServerAddress("phonebook.example.com", 389, 636, start_tls=True)
ALICE, BOB, EVE = "alice@acme.example", "bob@acme.example", "eve@elsewhere.example"
ROOT = "root@acme.example"

ACME = WebTenant(
    name="acme",
    title="Acme GmbH",
    client=CLIENT,
    allowed_users=("@acme.example",),
    admins=(ROOT,),
    sources=(Source.CONTACTS,),
    sharing=Sharing.PRIVATE,
    shared_label="",
)
HOSTILE = "<script>alert('\"&')</script>"
GLOBEX = replace(ACME, name="globex", title="Globex <b>& Sons</b>", allowed_users=("*",), admins=())


class TwoContacts(ContactBrowser):
    """The contacts that phones find, and a phone book of two for searches if no book is published.

    :ivar asked: the searches.
    """

    def __init__(self, dit: Callable[[], Dit], turn_of: TurnOf) -> None:
        super().__init__(dit, turn_of)
        anna = Contact(
            uid="anna",
            name="Anna Berg",
            given_name="Anna",
            organization="Berg & Söhne",
            phones=(Phone(Kind.WORK, phone_number.parse("+49 30 1234567", "DE") or Number("")),),
            emails=("anna@example.net",),
        )
        hostile = Contact(uid="hostile", name=HOSTILE, organization=HOSTILE, emails=(HOSTILE,))
        context = naming_context()
        book = build_book(context, "team", "team@acme.example", Sharing.SHARED, (anna, hostile), {}, per_number=False)
        two = Dit((Directory(context, (book,)),), Features("1"))
        self._two = ContactBrowser(lambda: two, turn_of)
        self.asked: list[tuple[str, tuple[str, ...], str]] = []

    async def find(self, tenant: str, books: Sequence[str], text: str) -> LookupResult:
        self.asked.append((tenant, tuple(books), text))
        if self._dit().directory(tenant) is not None:
            return await super().find(tenant, books, text)
        return await self._two.find(tenant, books, text)

    async def example(self, tenant: str, book: str) -> tuple[str, str] | None:
        return await self._two.example(tenant, "team")


async def _no_preview(*_: object) -> FilePreview:
    raise KeyError


async def _no_replacement(*_: object) -> bool:
    return False


async def _read_key_file(key_file: str) -> ServiceAccount:
    return read_key_file(key_file.encode())


def body_of(octets: bytes) -> FileBodyProducer:
    """A request's body, written at once."""
    at_once: Any = Cooperator(scheduler=lambda work: work())
    return FileBodyProducer(BytesIO(octets), cooperator=at_once)


class Internet(Resource):
    """Sends requests to who is asked for: the gateway, or Google."""

    def __init__(self, gateway: Any, google: Any) -> None:
        super().__init__()
        self.isLeaf = True
        self._gateway = gateway
        self._google = google

    def render(self, request: Any) -> Any:
        of_google = request.getRequestHostname().endswith(b"google.com")
        return (self._google if of_google else self._gateway).render(request)


@dataclass(frozen=True)
class Seen:
    """An answer, all of it."""

    status: int
    headers: Mapping[str, list[str]]
    body: str

    @property
    def location(self) -> str:
        return self.headers["location"][0]

    @property
    def token(self) -> str:
        """The token of the page's forms."""
        return self.body.partition('name="token" value="')[2].partition('"')[0]

    def cookie(self, name: str) -> str:
        """The header that sets a cookie; empty if none does."""
        return next((value for value in self.headers.get("set-cookie", []) if value.startswith(f"{name}=")), "")


@dataclass
class Stage:
    """Everything that a test of the pages needs.

    :ivar set_back: how far the time of day was set back, in seconds.
    :ivar change_error: raised when a page has sync and directory read what it has changed.
    :ivar while_changing: called while a page waits for sync and directory.
    """

    url: str = URL
    tenants: tuple[WebTenant, ...] = (ACME,)
    trusts: Callable[[str], bool] = lambda _: False
    clock: Clock = field(default_factory=Clock)
    set_back: float = 0.0
    changes: int = 0
    change_error: Exception | None = None
    while_changing: Callable[[], object] = lambda: None
    is_ready: bool = True
    serves_https: bool = False
    sends_hsts: bool = True
    certificate_ends: float | None = None
    is_certificate_near_its_end: bool = True
    database_fails_since: float | None = None
    is_stale: bool = False
    metrics_from: tuple[str, ...] = ()
    may_be_new_store: bool = False
    left_out: Sequence[LeftOut] = ()
    server: ServerAddress = SERVER
    certificate: str = ""
    calls_per_minute: int | None = None
    run_off_thread: Callable[..., Deferred[Any]] = maybeDeferred
    render_off_thread: Callable[..., Deferred[Any]] = maybeDeferred
    is_inspected: bool = False
    files: FileDependencies | None = None
    database: Database = field(default_factory=open_in_memory)

    def __post_init__(self) -> None:
        self.clock.advance(NOW)
        finalize(self, self.database.close)  # Python 3.13 warns of a connection that nobody closes
        self.store: Any = Store(on_threads(self.database, maybeDeferred, maybeDeferred))
        self.secret_box = SecretBox([Fernet.generate_key()])
        self.world = World(now=self.clock.seconds, random=Random("google").randbytes)
        self.world.faults = Faults(ALL_FAULTS)
        for address, hd in (
            (ALICE, "acme.example"),
            (BOB, "acme.example"),
            (ROOT, "acme.example"),
            (EVE, ""),
        ):
            self.world.add_account(address, address.partition("@")[0].title(), "Example", hd=hd)
        redirect_uri = f"{self.url}/oauth/callback"
        self.world.register(RegisteredClient(CLIENT.client_id, CLIENT.client_secret, (redirect_uri,)))
        self.google = sandbox(self.world)
        self.random = Random("gateway").randbytes
        bases = {tenant.name: f"dc={tenant.name},dc=example" for tenant in self.tenants}
        self.disconnected: list[float] = []
        self.removed: list[tuple[str, str]] = []
        self.tried: list[ConnectionSettings] = []
        self.steps: Sequence[StepResult] | Exception = (
            StepResult(Step.NAME, StepStatus.OK, "phonebook.example.com can be resolved"),
        )
        self.one_time = OneTimeSecrets()
        self.watch = PhoneActivity(bases, self.clock.seconds)
        self.live = ChangeNotifier()
        self.served = Snapshot(Dit((), Features("1")))
        self.catalog = Catalog(self.served, {}, self.clock.seconds)
        self.refused_logins = RefusedLogins(
            clock=self.clock,
            store=self.store,
            find_login=self.catalog.find_login,
            last_login=self.catalog.last_login,
            logins=lambda: self.catalog.snapshot.logins,
            bases=bases,
            on_refusal=self.live.notify,
            is_shared=False,
        )
        self.backoff = BindBackoff()
        self.turns = Turns(self.clock, at_once=True)
        self.finder = TwoContacts(lambda: self.catalog.dit(), self.turns.turn_of)
        self.caller_id_limits = CallerIdLimits(self.clock.seconds, lambda _login, _address: None)
        self.clients = TenantClients(self.store, self.secret_box, {})
        self.delegations = TenantDelegations(self.store, self.secret_box, ())
        self.configured_delegations: set[str] = set()
        self.misuse = MisuseLog(self.clock)
        self.requests = PageCounters()
        self.pbx = TelephoneSystem()

    def _present_delegation(self, tenant: str) -> tuple[ServiceAccount, DelegationSettings] | None:
        found = self.delegations.get(tenant)
        return (found.service_account, found.settings) if found is not None else None

    async def _try_delegation(self, tenant: str, key_file: str, settings: DelegationSettings) -> DelegationTrial:
        http: Any = StubTreq(self.google)
        endpoints = replace(self.gate.endpoints, token_endpoint=audience(self.world))
        return await try_delegation(
            oauth=OAuth(http, endpoints, self.clock),
            directory=WorkspaceDirectory(http, endpoints, self.clock),
            people=People(http, endpoints, self.clock, execute),
            delegation=Delegation(await _read_key_file(key_file), settings),
            tenant=DelegatedTenant(next(found.sources for found in self.tenants if found.name == tenant)),
        )

    @property
    def gate(self) -> WebDependencies:
        endpoints = Endpoints(
            authorization_endpoint=f"{GOOGLE}/o/oauth2/v2/auth",
            token_endpoint=f"{GOOGLE}/token",
            revocation_endpoint=f"{GOOGLE}/revoke",
            people_api=GOOGLE,
            issuer=GOOGLE,
            admin_api=GOOGLE,
        )
        http: Any = StubTreq(self.google)
        keys = PublishedKeys(http, f"{GOOGLE}/oauth2/v3/certs", self.clock)
        # One that is not started calls at once.
        no_reactor: Any = None
        at_once = WorkerThread(no_reactor, "explain")
        named = {tenant.name: tenant for tenant in self.tenants}
        known = {tenant.name: tenant.client for tenant in self.tenants if tenant.client}
        if known != self.clients.configured:
            self.clients = TenantClients(self.store, self.secret_box, known)
        return WebDependencies(
            public_url=self.url,
            tenants=TenantsWithClients(named, self.clients),
            store=self.store,
            secret_box=self.secret_box,
            oauth=OAuth(http, endpoints, self.clock, keys if self.is_inspected else None),
            endpoints=endpoints,
            clock=WallClock(self.clock, lambda: self.clock.seconds() - self.set_back),
            seconds=self.clock.seconds,
            random=self.random,
            is_trusted_proxy=self.trusts,
            is_ready=lambda: self.is_ready,
            is_stale=lambda: self.is_stale,
            database_fails_since=lambda: self.database_fails_since,
            serves_https=self.serves_https,
            sends_hsts=lambda: self.sends_hsts,
            certificate_expiry=lambda: self.certificate_ends if self.is_certificate_near_its_end else None,
            changed=self._changed,
            count_misuse=self.misuse.count,
            disconnected=lambda: self.disconnected.append(self.clock.seconds()),
            removed=self.removed.extend,
            admin=AdminDependencies(
                sync_interval=600.0,
                calls_per_minute=self.calls_per_minute,
                tenants_with_configured_client=self.clients.configured,
                certificate_expiry=lambda: self.certificate_ends,
                metrics=self._metrics,
                may_read_metrics=lambda address: address in self.metrics_from,
                left_out=lambda tenant: [one for one in self.left_out if tenant in one.tenants],
                may_be_new_store=self.may_be_new_store,
                config_file="/etc/ldapgw/ldapgw.toml",
            ),
            phones=PhoneDependencies(
                server=self.server,
                activity=self.watch,
                refused_logins=self.refused_logins,
                certificate=lambda: self.certificate,
                certificate_url=lambda tenant: f"{self.url}/{tenant}/ca.crt",
                try_connection=self._try_connection,
                one_time=self.one_time,
            ),
            delegations=DelegationDependencies(
                configured=self.configured_delegations,
                present=self._present_delegation,
                read_key_file=_read_key_file,
                try_delegation=self._try_delegation,
            ),
            files=self.files or FileDependencies(lambda _tenant: (), _no_preview, _no_replacement),
            book_clients=BookClientDependencies(
                authenticate=self.catalog.authenticate,
                authenticate_secret=self.catalog.authenticate_secret,
                login_delay=lambda address, login: self.backoff.delay(address, login, self.clock.seconds()),
                login_refused=self.refused_logins.note,
                reader=BookReader(
                    self.catalog.dit,
                    self.caller_id_limits.budget,
                    (self.watch.search_log.observe,),
                    self.clock.seconds,
                    self.turns.first_turn_of,
                    self.turns.turn_of,
                ),
                run_off_thread=self.run_off_thread,
            ),
            is_shared=self.database.runs_beside,
            notifier=self.live,
            contacts=self.finder,
            dial=self.pbx.dialer(self.clock).dial,
            explainer=PhoneExplainer(lambda: self.served, 1000, at_once, self.clock.seconds),
            observe_request=self.requests.observe,
            render_off_thread=self.render_off_thread,
        )

    async def _metrics(self) -> tuple[bytes, str]:
        return b"ldapgw_ready 1.0\n", "text/plain; version=1.0.0; charset=utf-8"

    async def _try_connection(self, access: ConnectionSettings) -> Sequence[StepResult]:
        self.tried.append(access)
        if isinstance(self.steps, Exception):
            raise self.steps
        return self.steps

    async def _changed(self) -> None:
        self.changes += 1
        self.while_changing()
        if self.change_error is not None:
            raise self.change_error
        await self.clients.refresh()
        await self.delegations.refresh()

    def site(
        self, connections: int = 1000, per_network: int = 256, *, clock: Clock | None = None, pages: Any = None
    ) -> WebSite:
        """Return a server of the pages, which lets in as many connections as the configuration does by default.

        :param pages: the pages, if several servers share them.
        """
        admission = Admission(connections, per_network, self.trusts, self.misuse.count)
        return WebSite(pages or web_resource(self.gate), clock or self.clock, admission)

    def browser(self, like: Browser | None = None) -> Browser:
        """A new one, which asks what the proxy before us would, so without the path of `url`.

        :param like: the browser whose cookies the new one has; None: the new one has no cookies.
        """
        browser = Browser(self)
        for cookie in like.jar if like is not None else ():
            browser.jar.set_cookie(cookie)
        return browser

    def visitor(self, path: str = "/acme/connect", *, account: str = ALICE, **choices: Any) -> Browser:
        """A new browser, which has gone through Google's consent."""
        browser = self.browser()
        browser.consent(path, account=account, **choices)
        return browser

    def admin(self) -> Browser:
        """Return the browser of an administrator who has signed in with Google, and has no account."""
        return self.visitor("/acme/signin", account=ROOT)

    def accounts(self) -> tuple[Account, ...]:
        return self.database.run(accounts.read_all)

    def account(self, address: str, tenant: str = "acme") -> Account:
        """Return the account of an address."""
        [found] = [one for one in self.accounts() if (one.tenant, one.address) == (tenant, address)]
        return found

    def do(self, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call a function of the store."""
        return self.database.run(function, *args, **kw)


class Browser:
    """One person's browser: it keeps cookies as RFC 6265 says, and follows no redirect unless it is told to."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._origin = PublicUrl.parse(stage.url).origin
        self.jar = IndexableCookieJar()
        self._agent = RequestTraversalAgent(Internet(web_resource(stage.gate), stage.google))
        self.http: Any = self._client()
        # Seconds for which the browser waits for an answer that does not come at once.
        self.patience = 0.0

    def _client(self) -> HTTPClient:
        return HTTPClient(self._agent, self.jar, data_to_body_producer=body_of)

    def go_to_gateway_of(self, other: Browser) -> None:
        """Ask the resource that another browser asks, whose limits both browsers meet."""
        self._agent = other._agent
        self.http = self._client()

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Seen:
        return self._request(method, path, headers or {}, None)

    def post(
        self, path: str, fields: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Seen:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request("POST", path, {**form, **(headers or {})}, urlencode(fields or {}).encode())

    def send(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Seen:
        """POST any octets."""
        return self._request("POST", path, headers or {}, body)

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Seen:
        """Ask by any method, as CardDAV has methods of its own."""
        return self._request(method, path, headers or {}, body)

    def submit(self, path: str, **fields: str) -> Seen:
        """Send a form of the page, with the token that is on it."""
        tenant = path.split("/")[1]
        return self.post(path, {"token": self.get(f"/{tenant}/privacy").token, **fields})

    def send_file(self, path: str, octets: bytes, **fields: str) -> Seen:
        """Send a form with a file, as browsers do, with the token that is on the page."""
        tenant = path.split("/")[1]
        given = {"token": self.get(f"/{tenant}/privacy").token, **fields}
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in given.items()
        ]
        head = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        body = "".join((*parts, head)).encode() + octets + b"\r\n--x--\r\n"
        return self.send(path, body, {"Content-Type": "multipart/form-data; boundary=x"})

    def consent(self, path: str = "/acme/connect", *, account: str = ALICE, **choices: Any) -> person.Visit:
        """Go through Google's consent, and follow to where it ends.

        :param path: of ours, or an address at Google.
        """
        url = self._origin + path if path.startswith("/") else path
        visit: person.Visit = result_of(person.consent(self.http, url, account=account, **choices))
        return visit

    def depart(self, path: str = "/acme/connect") -> dict[str, str]:
        """Begin a consent; what Google is asked for."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.get(path).location).query).items()}

    def code(self, path: str = "/acme/connect", account: str = ALICE) -> str:
        """Consent at Google, and stop before the callback: its address, with the code.

        :param path: of ours, or an address at Google.
        """
        seen = result_of(self.http.request("GET", self.get(path).location if path.startswith("/") else path))
        form = person.read_forms(result_of(seen.text()))[0]
        answer = result_of(
            self.http.request(
                "POST",
                f"{GOOGLE}{form.action}",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                data=urlencode(person.consent_fields(form, account)).encode(),
                allow_redirects=False,
            )
        )
        return str(answer.headers.getRawHeaders("location")[0]).removeprefix(self.stage.url)

    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self.jar}

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Seen:
        sent = {name: [value] for name, value in headers.items()}
        answering = self.http.request(method, self._origin + path, headers=sent, data=body, allow_redirects=False)
        if self.patience:
            self.stage.clock.advance(self.patience)
            self._agent.flush()
        answer = result_of(answering)
        # A zip has its files' names as they are, and is read as far as it is text.
        text = result_of(answer.content()).decode("utf-8", "replace")
        raw: Iterable[tuple[bytes, list[bytes]]] = answer.headers.getAllRawHeaders()
        seen = {name.decode().lower(): [value.decode() for value in values] for name, values in raw}
        return Seen(answer.code, seen, text)


class Recorder:
    """Calls functions at once in place of a thread.

    :ivar results: of the functions, in order.
    """

    def __init__(self) -> None:
        self.results: list[object] = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        self.results.append(result := function(*args))
        return succeed(result)


class Connection:
    """One connection to the server, in memory."""

    def __init__(self, site: WebSite, peer: str = "192.0.2.1") -> None:
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", peer, 5))
        self.channel: Any = site.buildProtocol(self.transport.getPeer())
        if not self.is_refused:
            self.channel.makeConnection(self.transport)

    @property
    def is_refused(self) -> bool:
        """Return True if the server has closed the connection at once."""
        return self.channel is None

    def send(self, octets: bytes) -> bytes:
        """Return the octets that come back at once."""
        self.transport.clear()
        self.channel.dataReceived(octets)
        return bytes(self.transport.value())

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        """Return the octets that come back at once for a request."""
        return self.send(request_of(method, path, headers, body))

    @property
    def ended(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)

    def close(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


def request_of(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return the octets of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: phonebook.example.com", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


BASE = "dc=acme,dc=example"


DESK1 = f"cn=desk1,ou=phones,{BASE}"


def add(browser: Browser, name: str = "desk1", **fields: str) -> Seen:
    return browser.submit("/acme/phones", name=name, **{"model": "other", **fields})


def owner(stage: Stage, account: str = ALICE, name: str = "desk1", **fields: str) -> Browser:
    """Somebody who has connected and added a phone."""
    browser = stage.visitor(account=account)
    assert add(browser, name, **fields).location == f"/acme/phones/{name}"
    return browser


def connect(stage: Stage, address: str, tenant: str = "acme", *, code: str = "", ends: float | None = None) -> int:
    """Connect an account without a consent, and sync it; return its id.

    :param code: of the error in which the sync ends; empty: the sync succeeds.
    :param ends: when the consent ends.
    """
    grant = NewGrant(address, address, frozenset(), "at", NOW + 3600, f"rt-{address}", ends)
    account_id: int = stage.do(accounts.connect, stage.secret_box, tenant, grant, ACME.sharing, NOW, shared_label="")
    stage.do(sync_state.begin, account_id)
    account = stage.do(accounts.read, account_id)
    if code:
        stage.do(sync_state.fail, account, code, NOW, None)
    else:
        stage.do(sync_state.end, account, NOW, NOW + 600)
    return account_id


def store_contacts(stage: Stage, account_id: int, people: Iterable[Contact], source: Source = Source.CONTACTS) -> None:
    """Store people as a sync of a source does."""
    records = [ContactRecord.from_contact(one.uid, one.source_id or one.uid, one) for one in people]
    stage.do(contacts.apply_changes, account_id, source, records, ())


def press_switch(browser: Browser, source: Source, switch: str = "on") -> Seen:
    """Press the switch of a source."""
    return browser.submit("/acme/source", source=source.value, switch=switch)


def switch_on(browser: Browser, source: Source, account: str = ALICE, **choices: Any) -> person.Visit:
    """Switch a source on, and go through Google's consent."""
    return browser.consent(next_address(press_switch(browser, source)), account=account, **choices)


def next_address(seen: Seen) -> str:
    """Return the address to which a page leads by itself."""
    return seen.headers["refresh"][0].partition("url=")[2]


def edited_code(stage: Stage, callback: str, **changes: Any) -> str:
    """The callback with another code, as if Google had decided otherwise: `refreshable`, `scopes`."""
    parts = urlsplit(callback)
    query = dict(parse_qsl(parts.query))
    consent = stage.world.grants.redeem_code(query["code"])
    assert consent is not None
    query["code"] = stage.world.grants.issue_code(replace(consent, **changes))
    return f"{parts.path}?{urlencode(query)}"


def add_phone(stage: Stage, name: str, owner: int | None = None, tenant: str = "acme", **more: Any) -> None:
    """Store a phone that nobody can log in as."""
    stage.do(phones.add, PhoneLogin(name, tenant, owner, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW, **more))


def by_link(stage: Stage) -> Browser:
    """An administrator whom Google does not know, in a browser that has opened a link."""
    stage.do(sign_ins.make_admin_link, ADMIN_KEY, "acme", stage.clock.seconds())
    browser = stage.browser()
    assert browser.post("/acme/link", {"key": ADMIN_KEY}).location == "/acme/admin"
    return browser


def act(browser: Browser, what: str, keys: Iterable[object], **fields: str) -> Seen:
    """Send the form of a table in the administration with some rows selected.

    If a field says that the act is ``confirmed``, the form is that of the page that asks.

    :param what: the table and the act, such as ``people remove``.
    """
    page, _, name = what.partition(" ")
    form = {"act": name, **{f"row-{key}": "1" for key in keys}}
    if "confirmed" in fields and "about" not in fields:
        fields["about"] = about(browser.submit(f"/acme/admin/{page}/act", **form))
    return browser.submit(f"/acme/admin/{page}/act", **form, **fields)


def about(asked: Seen) -> str:
    """Return the digest that a page of confirmation sends along with its form; empty if the page does not ask."""
    return asked.body.partition('name="about" value="')[2].partition('"')[0]


def visit_by(stage: Stage, address: str, **query: str) -> Visit:
    """A request for a page of Acme's, as its handler gets it from somebody who is signed in."""
    own = tuple(account for account in stage.accounts() if account.address == address)
    visitor = Visitor(SignIn("acme", address, address, hd="acme.example"), "session", None, own)
    return Visit(Layout.of(stage.gate), HttpRequest(query=query), ACME, visitor)


def words_on(page: Seen) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.body.partition("<main")[2])).split())


def search(
    stage: Stage,
    filter_text: str = "(|(cn=mue*)(sn=mue*))",
    entries: int = 2,
    *,
    login: str = DESK1,
    code: ResultCode = ResultCode.SUCCESS,
    controls: bytes = b"",
) -> None:
    """The phone searches, as the wire tells it."""
    request = pdu.search(BASE, 2, encode(read_filter(filter_text)), ("cn", "telephoneNumber", "mobile"), size=50)
    message = pdu.message(2, request, controls)
    stage.watch.search_log.observe(FinishedSearch(login, "192.0.2.7", message, entries, code, 0.0042))

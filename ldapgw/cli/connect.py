# SPDX-License-Identifier: MIT
"""``connect``: the OAuth consent for a gateway whose page no browser can reach, with the same checks as on the page.

Google redirects the browser to ``localhost``.  If the browser runs on this machine, the command listens there;
otherwise the administrator pastes the address to which the browser was redirected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click
from twisted.internet import defer
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.server import Site as HttpFactory

from ldapgw.cli.output import hint, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, get_reactor, google_clients, only_tenant, pass_site, run_in_reactor
from ldapgw.errors import UserError
from ldapgw.server.config.forms import is_loopback_url
from ldapgw.server.parts.web_parts import web_tenant
from ldapgw.server.state_dir import open_secret_box
from ldapgw.store import accounts, sign_ins
from ldapgw.store.database import Database
from ldapgw.store.sign_ins import FLOW_SECONDS
from ldapgw.store.worker import Store, on_threads
from ldapgw.web.consent import CONNECT, AuthorizationCodeFlow, AuthorizationRedirect, ConsentResult
from ldapgw.web.dependencies import ConsentDependencies
from ldapgw.web.error_pages import PAGES, PageError
from ldapgw.web.http import SECURITY_HEADERS, Cookie, HttpRequest, PublicUrl

_PORT = 8085


@click.command(epilog=examples("ldapgw connect", "ldapgw connect --tenant acme --paste"))
@only_tenant
@click.option(
    "--paste",
    is_flag=True,
    help="For a browser on another computer: at the end, paste the address that the browser shows.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"The port on localhost that Google sends the browser to. Default: the port of public_url if public_url is on "
    f"localhost, otherwise {_PORT}.",
)
@pass_site
def connect(site: Site, tenant: str | None, *, paste: bool, port: int | None) -> None:
    """Connect a Google account from the command line."""
    name = site.tenant(tenant).name
    with site.create_store() as database:
        dependencies = _consent_dependencies(site, database, port)
        try:
            redirect = _begin(dependencies, name)
            result = _paste(dependencies, redirect) if paste else _listen(dependencies, redirect)
        except PageError as error:
            raise UserError(describe_page_error(error)) from None
        address = _discard_session(database, result)
    print_line(f"Connected {address}. A running gateway starts to sync immediately.")


def _consent_dependencies(site: Site, database: Database, port: int | None) -> ConsentDependencies:
    public_url = site.config.web.public_url
    is_local = port is None and is_loopback_url(public_url) and urlsplit(public_url).scheme == "http"
    url = str(public_url) if is_local else f"http://localhost:{port or _PORT}"
    with database.begin() as connection:
        secret_box = open_secret_box(connection, site.state.key_source)
    clients = site.clients(database)
    google = google_clients(site.config)
    return ConsentDependencies(
        public_url=url,
        tenants={
            tenant.name: replace(web_tenant(tenant), client=clients.get(tenant.name)) for tenant in site.config.tenant
        },
        store=Store(on_threads(database, maybeDeferred, maybeDeferred)),
        secret_box=secret_box,
        oauth=google.oauth,
        endpoints=google.endpoints,
        clock=get_reactor(),
        random=os.urandom,
        changed=_change_nothing,
        count_misuse=lambda _kind, _address: None,  # no stranger can send requests to the command
    )


async def _change_nothing() -> None:
    """Do nothing after an account was connected, because a running gateway notices new accounts in the database."""


def _begin(dependencies: ConsentDependencies, tenant: str) -> AuthorizationRedirect:
    """Return the redirect to Google.

    The coroutine `AuthorizationCodeFlow.begin` never waits here, so its result is available at once.
    """
    outcome: list[Any] = []
    request = HttpRequest(query={"choose": ""})
    flow = AuthorizationCodeFlow(dependencies)
    Deferred.fromCoroutine(flow.begin(dependencies.tenants[tenant], CONNECT, request)).addBoth(outcome.append)
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    redirect: AuthorizationRedirect = outcome[0]
    return redirect


def _paste(dependencies: ConsentDependencies, redirect: AuthorizationRedirect) -> ConsentResult:
    """Ask for the address to which the browser was redirected.

    :raises PageError: when the consent fails, such as after a refusal; the web page shows the same error.
    :raises UserError: when the person enters another text.
    """
    _print_url(dependencies, redirect)
    hint("At the end, the browser shows an address on localhost, which the browser may not be able to open.")
    pasted = click.prompt("Paste that address here", err=True).strip()
    query: dict[str, str] = {}
    with suppress(ValueError):  # the text is no URL
        query = dict(parse_qsl(urlsplit(pasted).query))
    if "state" not in query:
        raise UserError(
            "this is not the right address: paste the address that begins with "
            f"{PublicUrl.parse(dependencies.public_url).redirect_uri}"
        )
    return run_in_reactor(lambda _: AuthorizationCodeFlow(dependencies).finish(callback_request(query, redirect)))


def _listen(dependencies: ConsentDependencies, redirect: AuthorizationRedirect) -> ConsentResult:
    """Wait for the browser to come back.

    :raises PageError: when the consent fails, such as after a refusal; the web page shows the same error.
    :raises UserError: when the port is not free, or the browser does not come back in time.
    """
    flow = AuthorizationCodeFlow(dependencies)
    announce = partial(_print_url, dependencies, redirect)
    return run_in_reactor(lambda reactor: wait_for_browser(reactor, flow, dependencies.public_url, redirect, announce))


def _print_url(dependencies: ConsentDependencies, redirect: AuthorizationRedirect) -> None:
    redirect_uri = PublicUrl.parse(dependencies.public_url).redirect_uri
    hint(f"This redirect URI must be registered with Google: {redirect_uri}")
    hint("Open this address in a browser and choose the account to connect:")
    print_line(redirect.url)


def _discard_session(database: Database, result: ConsentResult) -> str:
    """End the session that the consent began, because no browser uses the session; return the account's address."""
    with database.begin() as connection:
        sign_ins.sign_out(connection, result.session)
        account = accounts.read_by_sub(connection, result.tenant.name, result.sub)
    return account.address if account else "the account"


_DONE = "Connected. You may close this window and go back to the terminal."
# Seconds that the port stays open after the consent, so that the last response can be sent.
_FLUSH_SECONDS = 0.1


def callback_request(query: Mapping[str, str], redirect: AuthorizationRedirect) -> HttpRequest:
    """Return a request for the redirect URI, with the cookie of the browser in which the consent began."""
    return HttpRequest(query=query, cookies={Cookie.BROWSER: redirect.browser_secret}, address="the command line")


def describe_page_error(error: PageError) -> str:
    """Return the text of an error page in one line."""
    page = error.error_page
    return " ".join((f"{page.title}: {page.explanation}", *map(str, page.advice)))


async def wait_for_browser(
    reactor: Any,
    flow: AuthorizationCodeFlow,
    url: str,
    redirect: AuthorizationRedirect,
    announce: Callable[[], None],
) -> ConsentResult:
    """Listen on the port of a URL until the browser comes back.

    :param url: an http URL of a loopback address; the command listens on loopback addresses only.
    :param announce: called as soon as the command listens.
    :raises PageError: when the consent fails, such as after a refusal; the web page shows the same error.
    :raises UserError: when the port is not free, or the browser does not come back in time.
    """
    page = _Callback(flow, redirect, urlsplit(PublicUrl.parse(url).redirect_uri).path)
    port = urlsplit(url).port or 80
    ports = []
    try:
        for interface in ("127.0.0.1", "::1"):
            try:
                ports.append(reactor.listenTCP(port, HttpFactory(page), interface=interface))
            except CannotListenError as error:
                if interface == "127.0.0.1":
                    reason = getattr(error.socketError, "strerror", "")
                    raise UserError(
                        f"cannot listen on port {port} of localhost: {reason}; choose another port with --port, or "
                        "use --paste"
                    ) from None
        announce()
        try:
            return await page.result.addTimeout(FLOW_SECONDS, reactor)
        except defer.TimeoutError:
            raise UserError(f"the browser did not come back within {FLOW_SECONDS // 60} minutes") from None
    finally:
        if page.result.called:
            await deferLater(reactor, _FLUSH_SECONDS)
        for listening_port in ports:
            await listening_port.stopListening()


class _Callback(Resource):
    """The page at the redirect URI.

    :param path: the path of the redirect URI.
    :ivar result: fires once with the result of the consent, or with its error.
    """

    def __init__(self, flow: AuthorizationCodeFlow, redirect: AuthorizationRedirect, path: str) -> None:
        super().__init__()
        self._path = path.encode()
        self.isLeaf = True
        self._flow = flow
        self._redirect = redirect
        self.result: Deferred[ConsentResult] = Deferred()

    def render(self, request: Any) -> Any:
        for name, value in SECURITY_HEADERS:
            request.setHeader(name.encode(), value.encode())
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        if (request.method, request.path) != (b"GET", self._path):
            request.setResponseCode(404)
            return b"Nothing is here but the way back from Google.\n"
        query = {name.decode("latin-1"): values[0].decode("latin-1") for name, values in request.args.items()}
        finished = Deferred.fromCoroutine(self._flow.finish(callback_request(query, self._redirect)))
        finished.addCallbacks(self._succeeded, self._failed, callbackArgs=(request,), errbackArgs=(request,))
        return NOT_DONE_YET

    def _succeeded(self, result: ConsentResult, request: Any) -> None:
        _respond(request, 200, _DONE)
        if not self.result.called:
            self.result.callback(result)

    def _failed(self, failure: Failure, request: Any) -> None:
        error = failure.value
        if isinstance(error, PageError):
            _respond(request, error.error_page.status, describe_page_error(error))
            if error.error_page is PAGES.expired:
                return  # the request belongs to another or an earlier consent, and the awaited request may still come
        else:
            _respond(request, 500, "Something went wrong; the terminal says more.")
        if not self.result.called:
            self.result.errback(failure)


def _respond(request: Any, status: int, message: str) -> None:
    if request.channel is None:  # the browser has closed the connection
        return
    request.setResponseCode(status)
    request.write(f"{message}\n".encode())
    request.finish()

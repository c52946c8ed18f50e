# SPDX-License-Identifier: MIT
"""``connect``: the OAuth consent for a gateway whose page no browser can reach, with the same checks as on the page.

Google redirects the browser to ``localhost``.  If the browser runs on this machine, the command listens there;
otherwise the administrator pastes the address at which the browser ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ldapgw.cli.google import get_reactor, google_clients, run_in_reactor
from ldapgw.cli.help import examples
from ldapgw.cli.oauth_callback import callback_request, describe_page_error, wait_for_browser
from ldapgw.cli.output import hint, print_line
from ldapgw.cli.site import Site, only_tenant, pass_site
from ldapgw.errors import UserError
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.oauth import OAuth
from ldapgw.server.config.forms import is_loopback_url
from ldapgw.server.parts.web_parts import web_tenant
from ldapgw.server.state_dir import open_secret_box
from ldapgw.store import accounts, sign_ins
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store, StoreWorker
from ldapgw.web.consent import CONNECT, AuthorizationCodeFlow, AuthorizationRedirect, ConsentResult
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import PageError
from ldapgw.web.http import HttpRequest, PublicUrl

_PORT = 8085


@dataclass(frozen=True, slots=True)
class _ConsentDependencies:
    """The dependencies of a consent (`ldapgw.web.consent.ConsentDependencies`) outside a running gateway."""

    public_url: str
    tenants: Mapping[str, WebTenant]
    store: Store
    secret_box: SecretBox
    oauth: OAuth
    endpoints: Endpoints
    clock: IReactorTime

    def random(self, length: int, /) -> bytes:
        return os.urandom(length)

    async def changed(self) -> None:
        """Nothing to do: a running gateway notices the change in the database."""

    def count_misuse(self, kind: str, address: str, /) -> None:
        """Nothing to do: only the person at the command line sends requests."""

    def sharers(self, client: Client) -> list[str]:
        """The names of the tenants whose clients share their grants with a client."""
        return [
            tenant.name
            for tenant in self.tenants.values()
            if tenant.client and tenant.client.shares_grants_with(client)
        ]


@click.command(epilog=examples("ldapgw connect", "ldapgw connect --tenant acme --paste"))
@only_tenant
@click.option(
    "--paste", is_flag=True, help="For a browser on another computer: at the end, paste the address that it shows."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"The port on localhost that Google sends the browser to. Default: that of public_url if it is on localhost, "
    f"otherwise {_PORT}.",
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


def _consent_dependencies(site: Site, database: Database, port: int | None) -> _ConsentDependencies:
    public_url = site.config.web.public_url
    is_local = port is None and is_loopback_url(public_url) and urlsplit(public_url).scheme == "http"
    url = str(public_url) if is_local else f"http://localhost:{port or _PORT}"
    with database.begin() as connection:
        secret_box = open_secret_box(connection, site.key_source)
    clients = site.clients(database)
    google = google_clients(site.config)
    return _ConsentDependencies(
        public_url=url,
        tenants={
            tenant.name: replace(web_tenant(tenant), client=clients.get(tenant.name)) for tenant in site.config.tenant
        },
        store=StoreWorker(database, maybeDeferred, maybeDeferred),
        secret_box=secret_box,
        oauth=google.oauth,
        endpoints=google.endpoints,
        clock=get_reactor(),
    )


def _begin(dependencies: _ConsentDependencies, tenant: str) -> AuthorizationRedirect:
    """The redirect to Google; the coroutine completes without waiting."""
    outcome: list[Any] = []
    request = HttpRequest(query={"choose": ""})
    flow = AuthorizationCodeFlow(dependencies)
    Deferred.fromCoroutine(flow.begin(dependencies.tenants[tenant], CONNECT, request)).addBoth(outcome.append)
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    redirect: AuthorizationRedirect = outcome[0]
    return redirect


def _paste(dependencies: _ConsentDependencies, redirect: AuthorizationRedirect) -> ConsentResult:
    """Ask for the address at which the browser has ended.

    :raises PageError: as on the page.
    :raises UserError: when the text is not that address.
    """
    _print_url(dependencies, redirect)
    hint("At the end, the browser shows an address on localhost, which it may not be able to open.")
    pasted = click.prompt("Paste that address here", err=True).strip()
    query = dict(parse_qsl(urlsplit(pasted).query))
    if "state" not in query:
        raise UserError(
            f"that is not the address; it begins with {PublicUrl.parse(dependencies.public_url).redirect_uri}?"
        )
    return run_in_reactor(lambda _: AuthorizationCodeFlow(dependencies).finish(callback_request(query, redirect)))


def _listen(dependencies: _ConsentDependencies, redirect: AuthorizationRedirect) -> ConsentResult:
    """Wait for the browser to come back.

    :raises PageError: as on the page.
    :raises UserError: when the port is not free, or the browser does not come back in time.
    """
    flow = AuthorizationCodeFlow(dependencies)
    announce = partial(_print_url, dependencies, redirect)
    return run_in_reactor(lambda reactor: wait_for_browser(reactor, flow, dependencies.public_url, redirect, announce))


def _print_url(dependencies: _ConsentDependencies, redirect: AuthorizationRedirect) -> None:
    redirect_uri = PublicUrl.parse(dependencies.public_url).redirect_uri
    hint(f"This redirect URI must be registered with Google: {redirect_uri}")
    hint("Open this address in a browser and choose the account to connect:")
    print_line(redirect.url)


def _discard_session(database: Database, result: ConsentResult) -> str:
    """End the session that the consent has created for a browser; return the address of the account."""
    with database.begin() as connection:
        sign_ins.sign_out(connection, result.session)
        account = accounts.read_by_sub(connection, result.tenant.name, result.sub)
    return account.address if account else "the account"

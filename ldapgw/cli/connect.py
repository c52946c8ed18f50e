# SPDX-License-Identifier: MIT
"""``connect``: consent for a gateway whose page no browser can reach; the same checks as on the page.

Google sends the browser back to ``localhost``.  Where that is this machine, we listen there; where it is not, the
address that the browser ends at is pasted here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ldapgw.cli.google import endpoints, get_reactor, oauth, run_in_reactor
from ldapgw.cli.options import only_tenant, pass_site
from ldapgw.cli.output import hint, print_line
from ldapgw.cli.returning import callback_request, describe_ending, wait_for_browser
from ldapgw.cli.site import Site
from ldapgw.errors import UserError
from ldapgw.google.endpoints import Client, Endpoints
from ldapgw.google.oauth import OAuth
from ldapgw.server.config.forms import is_loopback_url
from ldapgw.server.state_dir import open_vault
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
    """What a consent needs (`ldapgw.web.consent.ConsentGate`), without a gateway."""

    public_url: str
    tenants: Mapping[str, WebTenant]
    store: Store
    vault: SecretBox
    oauth: OAuth
    endpoints: Endpoints
    clock: IReactorTime

    def random(self, length: int, /) -> bytes:
        """Random bytes."""
        return os.urandom(length)

    async def changed(self) -> None:
        """A gateway that runs notices by itself."""

    def sharers(self, client: Client) -> list[str]:
        """The tenants that a grant to a client counts for."""
        return [one.name for one in self.tenants.values() if one.client and one.client.shares_grants_with(client)]


@click.command()
@only_tenant
@click.option("--paste", is_flag=True, help="Listen nowhere; take the address of the page where the browser has ended.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Where Google sends the browser to on localhost; else that of a public_url on localhost, else {_PORT}.",
)
@pass_site
def connect(site: Site, tenant: str | None, *, paste: bool, port: int | None) -> None:
    """Connect a Google account without the page, by a browser that comes back to localhost."""
    name = site.tenant(tenant).name
    with site.create_store() as database:
        gate = _consent_dependencies(site, database, port)
        place = PublicUrl.parse(gate.public_url)
        try:
            departure = _begin(gate, name)
            hint(f"The redirect URI has to be registered with Google: {place.redirect_uri}")
            hint("Open this address in a browser, and choose the account to connect:")
            print_line(departure.url)
            arrival = _paste(gate, departure) if paste else _listen(gate, departure)
        except PageError as ended:
            raise UserError(describe_ending(ended)) from None
        address = _discard_session(database, arrival)
    print_line(f"{address} is connected; a gateway that runs begins to sync at once.")


def _consent_dependencies(site: Site, database: Database, port: int | None) -> _ConsentDependencies:
    from ldapgw.server.parts import web_tenant

    public_url = site.config.web.public_url
    is_ours = port is None and is_loopback_url(public_url) and urlsplit(public_url).scheme == "http"
    url = str(public_url) if is_ours else f"http://localhost:{port or _PORT}"
    with database.begin() as connection:
        vault = open_vault(connection, site.key_file)
    clients = site.clients(database)
    reactor = get_reactor()
    return _ConsentDependencies(
        public_url=url,
        tenants={one.name: replace(web_tenant(one), client=clients.get(one.name)) for one in site.config.tenant},
        store=StoreWorker(database, maybeDeferred),
        vault=vault,
        oauth=oauth(site.config, reactor),
        endpoints=endpoints(site.config),
        clock=reactor,
    )


def _begin(gate: _ConsentDependencies, tenant: str) -> AuthorizationRedirect:
    """Where the browser goes; nothing of that takes time."""
    outcome: list[Any] = []
    call = HttpRequest(query={"choose": ""})
    Deferred.fromCoroutine(AuthorizationCodeFlow(gate).begin(gate.tenants[tenant], CONNECT, call)).addBoth(
        outcome.append
    )
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    departure: AuthorizationRedirect = outcome[0]
    return departure


def _paste(gate: _ConsentDependencies, departure: AuthorizationRedirect) -> ConsentResult:
    """Take the address from whoever has seen it.

    :raises Ended: as on the page.
    :raises UserError: when it is another one.
    """
    hint("Afterwards the browser ends at an address on localhost that it may not be able to open.")
    pasted = click.prompt("Paste that address here", err=True).strip()
    query = dict(parse_qsl(urlsplit(pasted).query))
    if "state" not in query:
        raise UserError(f"that is not the address; it begins with {PublicUrl.parse(gate.public_url).redirect_uri}?")
    return run_in_reactor(lambda _: AuthorizationCodeFlow(gate).finish(callback_request(query, departure)))


def _listen(gate: _ConsentDependencies, departure: AuthorizationRedirect) -> ConsentResult:
    """Wait for the browser.

    :raises Ended: as on the page.
    :raises UserError: when nobody can listen there, or nobody comes.
    """
    return run_in_reactor(
        lambda reactor: wait_for_browser(reactor, AuthorizationCodeFlow(gate), gate.public_url, departure)
    )


def _discard_session(database: Database, arrival: ConsentResult) -> str:
    """Whose account it is; the session that the page would have begun ends."""
    with database.begin() as connection:
        sign_ins.sign_out(connection, arrival.session)
        account = accounts.read_by_sub(connection, arrival.tenant.name, arrival.sub)
    return account.address if account else "the account"

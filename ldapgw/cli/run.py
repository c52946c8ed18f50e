# SPDX-License-Identifier: MIT
"""``run``, ``demo`` and ``sandbox`` serve in the foreground; ``admin-link`` prints a link to the administration.

``sandbox`` runs a stand-in for Google, and ``demo`` runs the stand-in with a gateway, to try out ldapgw.  A gateway
must not load the stand-in, so only these two commands import the stand-in.
"""

from __future__ import annotations

import gc
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from ldapgw.cli.output import hint, print_json, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, act, as_json, now, only_tenant, pass_site
from ldapgw.errors import UserError
from ldapgw.server.config import LogLevels, load
from ldapgw.server.config.load import take
from ldapgw.server.state_dir import accept_lost_accounts
from ldapgw.store import activity, sign_ins
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Act
from ldapgw.store.database import Database
from ldapgw.store.sign_ins import LINK_SECONDS


@click.command(epilog=examples("ldapgw admin-link", "ldapgw admin-link --tenant acme --json"))
@only_tenant
@as_json
@pass_site
def admin_link(site: Site, tenant: str | None, *, as_json: bool) -> None:
    """Print a one-time link to the administration of a tenant.

    The link works once, and for an hour. Use the link for the first setup, while nobody can sign in yet. Later, the
    tenant's admins sign in on the tenant's page.
    """
    name = site.tenant(tenant).name
    created_at = now()
    with site.create_store() as database:
        link = make_admin_link(site, database, name, created_at)
    if as_json:
        print_json({"link": link, "tenant": name, "expires": timestamp(created_at + LINK_SECONDS)})
        return
    print_line(link)
    hint("Open the link in a browser. The link works once, within an hour.")


def make_admin_link(site: Site, database: Database, tenant: str, created_at: float) -> str:
    """Make a link that opens the administration of a tenant once, and that ends after an hour."""
    token = secrets.token_urlsafe(32)
    with database.begin() as connection:
        entry = act(tenant, Act.ADMIN_LINK_MADE)
        activity.recorded(connection, entry, sign_ins.make_admin_link, token, tenant, created_at)
    return f"{site.page(tenant)}link?key={token}"


@click.command(epilog=examples("ldapgw run", "ldapgw --config ldapgw.toml run", "ldapgw run --log-level sync=debug"))
@click.option(
    "--accept",
    is_flag=True,
    help="Start even if accounts that have cached books are missing from the database, and build all books anew.",
)
@click.option(
    "--log-level",
    "log_levels",
    multiple=True,
    metavar="LEVEL",
    callback=lambda _ctx, _option, levels: _read_levels(levels),
    help="Log from this level on, for all parts or one part: --log-level warning --log-level sync=debug.",
)
@pass_site
@click.pass_context
def run(ctx: click.Context, site: Site, log_levels: LogLevels, *, accept: bool) -> None:
    """Run the gateway in the foreground.

    SIGTERM or Ctrl-C stops the gateway. SIGHUP makes the gateway read its configuration again.
    """
    kept = take(os.environ)
    if kept is not None:
        site.config = kept
    elif accept:  # after a reload, which executes the program again, the option has no effect
        accept_lost_accounts(site.state.path)
    config = msgspec.structs.replace(site.config, log_level=site.config.log_level.followed_by(log_levels))
    # The first import of `twisted.internet.reactor` would install Twisted's default reactor.
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        from ldapgw.server.reactor import install

        install()
    # The imported modules live as long as the process, so a garbage collection during the import would free nothing.
    gc.disable()
    from ldapgw.server.foreground import run as run_gateway

    gc.enable()
    ctx.exit(run_gateway(config, site.file, lambda: load(site.file), lambda: _print_admin_links(site)))


def _read_levels(levels: Sequence[str]) -> LogLevels:
    for level in levels:
        try:
            LogLevels.read(level)
        except ValueError:
            raise click.BadParameter(f"{level!r}: expected {LogLevels.form}") from None
    return LogLevels(levels)


def _print_admin_links(site: Site) -> None:
    """Print a link to the administration of each tenant that has no Google client, if a person is at the terminal."""
    if not sys.stderr.isatty():
        return
    with site.open_store() as database:
        clients = site.clients(database)
        for tenant in site.config.tenant:
            if tenant.name not in clients:
                name = tenant.title or tenant.name
                hint(f"{name} has no Google client yet. Open this link within an hour to enter one:")
                hint(make_admin_link(site, database, tenant.name, now()))


# --- the stand-in for Google ------------------------------------------------------------------------------------------

_HOST = "127.0.0.1"
_PORT = click.IntRange(0, 65535)


@click.command(epilog=examples("ldapgw sandbox", "ldapgw sandbox --port 0"))
@click.option(
    "--port", type=_PORT, default=8090, show_default=True, help="The port to listen on; 0 stands for any free port."
)
@click.option("--people", metavar="FILE", help="Contacts to serve: persons as the People API returns them, in JSON.")
def sandbox(port: int, people: str | None) -> None:
    """Run a stand-in for Google on this machine.

    Ctrl-C stops the stand-in.
    """
    from twisted.internet import reactor as imported  # noqa: TID251  an entry point
    from twisted.internet.error import CannotListenError
    from twisted.web.server import Site as HttpSite

    from ldapgw.google.sandbox.app import sandbox as sandbox_resource
    from ldapgw.google.sandbox.fields import load_people
    from ldapgw.google.sandbox.tenant import demo_world

    reactor: Any = imported
    world = demo_world(
        now=reactor.seconds, random=os.urandom, people=load_people(people) if people is not None else None
    )
    try:
        listening = reactor.listenTCP(port, HttpSite(sandbox_resource(world)), interface=_HOST)
    except CannotListenError as error:
        reason = getattr(error.socketError, "strerror", "")
        raise UserError(f"--port {port}: cannot listen: {reason}") from None
    world.issuer = f"http://{_HOST}:{listening.getHost().port}"
    click.echo(_announcement(world.issuer))
    reactor.run()


@click.command(epilog=examples("ldapgw demo", "ldapgw demo --state .demo --port 8000", "ldapgw demo --workspace"))
@click.option(
    "--state", metavar="DIR", help="The folder for the demo's files, deleted at the end. Default: a temporary folder."
)
@click.option("--port", type=_PORT, default=0, help="The port of the page. Default: 8080, or another free port.")
@click.option("--ldap-port", type=_PORT, default=0, help="The port for LDAP. Default: 3389, or another free port.")
@click.option("--sandbox-port", type=_PORT, default=0, help="The sandbox's port. Default: 8090, or another free port.")
@click.option("--workspace", is_flag=True, help="Show a company whose Google Workspace lets a service account read.")
@click.pass_context
def demo(
    ctx: click.Context, state: str | None, port: int, ldap_port: int, sandbox_port: int, *, workspace: bool
) -> None:
    """Run a demo gateway with a stand-in for Google.

    Ctrl-C stops the demo.

    The demo connects an account, adds a phone, and prints how to use the other commands with the demo.  With
    --workspace, nobody has to connect: a service account reads the contacts of 200 people.
    """
    from ldapgw.server.demo import Ports, run_demo

    folder = Path(state if state is not None else tempfile.mkdtemp(prefix="ldapgw-demo-"))
    ports = Ports(web=port, ldap=ldap_port, sandbox=sandbox_port)
    ctx.exit(run_demo(folder, ports, click.echo, workspace=workspace))


def _announcement(url: str) -> str:
    """Return the sandbox's URL and the configuration of a gateway that uses the sandbox."""
    from ldapgw.google.sandbox.api import KEYS
    from ldapgw.google.sandbox.app import AUTHORIZATION
    from ldapgw.google.sandbox.tenant import CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS

    return f"""\
# The sandbox is on {url}/ until Ctrl-C. A gateway uses it with these values,
# which belong below [google] and [[tenant]] of ldapgw.toml:

[google]
authorization_endpoint = "{url}{AUTHORIZATION}"
token_endpoint = "{url}/token"
revocation_endpoint = "{url}/revoke"
people_api = "{url}"
admin_api = "{url}"
issuer = "{url}"
jwks_uri = "{url}{KEYS}"

[[tenant]]
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"

# Redirect URIs: {", ".join(REDIRECT_URIS)}; add others on {url}/sandbox/"""

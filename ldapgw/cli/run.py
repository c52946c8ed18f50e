# SPDX-License-Identifier: MIT
"""``run`` runs the gateway in the foreground; ``admin-link`` prints a one-time link that opens the administration."""

from __future__ import annotations

import gc
import os
import secrets
import sys
from collections.abc import Sequence

import click
import msgspec

from ldapgw.cli.output import hint, print_json, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, act, as_json, now, only_tenant, pass_site
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

    The link works once, and for an hour. Use the link before anybody can sign in. Later, the tenant's admins sign in on
    the tenant's page.
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
    elif accept:  # only at the start, and not when SIGHUP has executed the program again
        accept_lost_accounts(site.state.path)
    config = msgspec.structs.replace(site.config, log_level=site.config.log_level.followed_by(log_levels))
    # The first import of `twisted.internet.reactor` would install Twisted's default reactor.
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        from ldapgw.server.reactor import install

        install()
    # The modules live as long as the process, so that nothing is collected while they are imported.
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

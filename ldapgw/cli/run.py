# SPDX-License-Identifier: MIT
"""``run``: runs the gateway in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import msgspec

from ldapgw.cli.admin_link import make_admin_link
from ldapgw.cli.help import examples
from ldapgw.cli.output import hint
from ldapgw.cli.site import Site, now, pass_site
from ldapgw.server.config import LogLevels, load
from ldapgw.server.config.kept import take_config
from ldapgw.server.state_dir import accept_lost_accounts


@click.command(epilog=examples("ldapgw run", "ldapgw --config ldapgw.toml run", "ldapgw run --log-level sync=debug"))
@click.option(
    "--accept",
    is_flag=True,
    help="Start even if accounts are missing from the database whose cached books are there, and build all books anew.",
)
@click.option(
    "--log-level",
    "log_levels",
    multiple=True,
    metavar="LEVEL",
    callback=lambda _ctx, _option, levels: _read_levels(levels),
    help="Log from this level on, everything or a part: --log-level warning --log-level sync=debug.",
)
@pass_site
@click.pass_context
def run(ctx: click.Context, site: Site, log_levels: LogLevels, *, accept: bool) -> None:
    """Run the gateway in the foreground, until SIGTERM or Ctrl-C.

    SIGHUP makes the gateway read its configuration again.
    """
    kept = take_config(os.environ)
    if kept is not None:
        site.config = kept
    elif accept:  # not again when the program is executed anew to read its configuration
        accept_lost_accounts(site.state_dir)
    config = msgspec.structs.replace(site.config, log_level=site.config.log_level.followed_by(log_levels))
    # The first import of `twisted.internet.reactor`, such as klein's, installs the default reactor.
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        from ldapgw.server.reactor import install

        install()
    from ldapgw.server.foreground import run as run_gateway

    ctx.exit(run_gateway(config, site.file, lambda: load(site.file), lambda: _print_admin_links(site)))


def _read_levels(levels: Sequence[str]) -> LogLevels:
    for level in levels:
        try:
            LogLevels.read(level)
        except ValueError:
            raise click.BadParameter(f"{level!r}: expected {LogLevels.form}") from None
    return LogLevels(levels)


def _print_admin_links(site: Site) -> None:
    """Print a link to the administration of each tenant without a Google client, for a person at the terminal."""
    if not sys.stderr.isatty():
        return
    with site.open_store() as database:
        clients = site.clients(database)
        for tenant in site.config.tenant:
            if tenant.name not in clients:
                name = tenant.title or tenant.name
                hint(f"{name} has no Google client yet. Open this link within an hour to enter one:")
                hint(make_admin_link(site, database, tenant.name, now()))

# SPDX-License-Identifier: MIT
"""``run``: runs the gateway in the foreground."""

from __future__ import annotations

import sys

import click

from ldapgw.cli.help import examples
from ldapgw.cli.site import Site, pass_site


@click.command(epilog=examples("ldapgw run", "ldapgw --config ldapgw.toml run"))
@pass_site
@click.pass_context
def run(ctx: click.Context, site: Site) -> None:
    """Run the gateway in the foreground, until SIGTERM or Ctrl-C."""
    config = site.config
    # The first import of `twisted.internet.reactor`, such as klein's, installs the default reactor.
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        from ldapgw.server.reactor import install

        install()
    from ldapgw.server.foreground import run as run_gateway

    ctx.exit(run_gateway(config))

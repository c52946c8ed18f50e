# SPDX-License-Identifier: MIT
"""``gateways``: lists the gateways that share a PostgreSQL database."""

from __future__ import annotations

from typing import Any

import click

from ldapgw.cli.output import hint, local_time, print_json, print_table
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, as_json, now, pass_site
from ldapgw.store import gateways as store
from ldapgw.store.account_status import timestamp
from ldapgw.store.gateways import KnownGateway


@click.command(epilog=examples("ldapgw gateways", "ldapgw gateways --json"))
@as_json
@pass_site
def gateways(site: Site, *, as_json: bool) -> None:
    """Show the gateways that share a PostgreSQL database.

    Shows which of them run, which one syncs, and how far each one is behind the database.
    """
    with site.open_store() as database:
        if not database.runs_beside:
            if as_json:
                print_json([])
            hint("Only one gateway can use a SQLite database; ldapgw status shows it.")
            return
        with database.begin_read() as connection:
            known = store.read_all(connection)
    if as_json:
        print_json([_object(one) for one in known])
    elif not known:
        hint("No gateway has run on this database within a day.")
    else:
        rows = [
            (
                "✓" if one.is_alive else "✗",
                one.info.name,
                " ".join(one.info.roles),
                local_time(one.started_at, now()),
                f"{one.silent:.0f} s ago",
                f"{one.behind:.0f} s" if one.behind else "–",
                f"{one.info.contacts:,}",
                "✓" if one.info.is_leader and one.is_alive else "–",
            )
            for one in known
        ]
        print_table(("", "name", "roles", "started", "heartbeat", "behind#", "contacts#", "syncs"), rows)


def _object(one: KnownGateway) -> dict[str, Any]:
    return {
        "id": one.info.id,
        "name": one.info.name,
        "version": one.info.version,
        "alive": one.is_alive,
        "roles": one.info.roles,
        "started": timestamp(one.started_at),
        "silent_seconds": round(one.silent, 1),
        "behind_seconds": round(one.behind, 1),
        "accounts": one.info.accounts,
        "contacts": one.info.contacts,
        "syncs": one.info.is_leader and one.is_alive,
    }

# SPDX-License-Identifier: MIT
"""``activity export``: writes the activity log, for an archive or another program."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import click

from ldapgw.cli.output import print_json
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, as_json, pass_site
from ldapgw.store import activity as stored
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Entry

_COLUMNS = ("time", "tenant", "actor", "act", "subject", "detail", "address")
_SINCE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
# A cell that begins so is a formula for spreadsheets; others do not mind the apostrophe.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.group(epilog=examples("ldapgw activity export --since 2026-01-01 > activity.csv"))
def activity() -> None:
    """Export the log of who did what."""


@activity.command(
    epilog=examples("ldapgw activity export --since 2026-01-01 > activity.csv", "ldapgw activity export --json")
)
@click.option("--tenant", metavar="T", help="Only this tenant.")
@click.option(
    "--since",
    type=_SINCE,
    metavar="DATE",
    help="Only from this date on (UTC).",
)
@click.option(
    "--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="The format."
)
@as_json
@pass_site
def export(site: Site, tenant: str | None, since: datetime | None, form: str, *, as_json: bool) -> None:
    """Write the activity log to stdout, oldest first.

    The log has addresses of people and names of phones, and no names or numbers of contacts.
    """
    if tenant is not None:
        site.tenant(tenant)
    begin = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    with site.open_store() as database, database.begin() as connection:
        entries = stored.read_since(connection, tenant, begin)
    if as_json or form == "json":
        print_json([dict(zip(_COLUMNS, _values(one), strict=True)) for one in entries])
        return
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for one in entries:
        writer.writerow([f"'{value}" if value.startswith(_FORMULA) else value for value in _values(one)])
    click.echo(text.getvalue().encode(), nl=False)


def _values(one: Entry) -> tuple[str, ...]:
    return timestamp(one.when) or "", one.tenant, one.actor, one.act, one.subject, one.detail, one.address

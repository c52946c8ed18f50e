# SPDX-License-Identifier: MIT
"""``history``: shows the last syncs of an account, or how each account's syncs went in the last two weeks."""

from __future__ import annotations

from typing import Any

import click

from ldapgw.cli.help import examples
from ldapgw.cli.output import hint, local_time, print_json, print_line, print_table
from ldapgw.cli.site import Site, account_tenant, as_json, find_account, now, pass_site
from ldapgw.store import accounts, sync_history
from ldapgw.store.account_status import timestamp
from ldapgw.store.sync_history import SyncAttempt, SyncDay, SyncFigures

# A character for each day: all syncs good, some failed, all failed, none.
_LEGEND = "✓ all good · ! some failed · ✗ all failed · ○ all postponed · – none"


@click.command(epilog=examples("ldapgw history", "ldapgw history alice@acme.example"))
@click.argument("account", required=False)
@account_tenant
@as_json
@pass_site
def history(site: Site, account: str | None, tenant: str | None, *, as_json: bool) -> None:
    """Show the last syncs of ACCOUNT.

    Without ACCOUNT, it shows the last 14 days of each account.
    """
    if tenant is not None:
        site.tenant(tenant)
    with site.open_store() as database, database.begin() as connection:
        if account is None:
            known = [one for one in accounts.read_all(connection, tenant) if one.is_connected]
            days = [(one.address, sync_history.summarize_account(connection, one.id, now())) for one in known]
        else:
            chosen = find_account(connection, account, tenant)
            attempts = sync_history.read_attempts(connection, chosen.id)
    if account is not None:
        _print_attempts(attempts, chosen.address, as_json=as_json)
    elif as_json:
        print_json([{"account": address, "days": [_day(one) for one in of_account]} for address, of_account in days])
    elif not days:
        hint(f"No account is connected yet; connect one on {site.config.web.public_url}/")
    else:
        rows = [(address, "".join(map(_sign, each)), str(sum(one.failed for one in each))) for address, each in days]
        print_table(("account", "14 days", "failed#"), rows)
        print_line(_LEGEND)


def _print_attempts(attempts: tuple[SyncAttempt, ...], address: str, *, as_json: bool) -> None:
    if as_json:
        print_json([attempt_json(one) for one in attempts])
    elif not attempts:
        hint(f"{address} has not synced yet.")
    else:
        rows = [
            (
                "○" if one.is_postponed else "✗" if one.error else "✓",
                local_time(one.ended_at, now()),
                "full" if one.is_full else "update",
                f"{one.seconds:.1f}",
                f"postponed ({one.error})" if one.is_postponed else one.error or figures_text(one.figures),
            )
            for one in attempts
        ]
        print_table(("", "ended", "kind", "secs#", "result"), rows)


def figures_text(figures: SyncFigures) -> str:
    """What a sync changed: “3 changed, 1 added”."""
    counts = {
        "changed": figures.changed,
        "added": figures.added,
        "removed": figures.removed,
        "skipped": figures.skipped,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no changes"


def _sign(day: SyncDay) -> str:
    if not day.ok + day.failed:
        return "○" if day.is_postponed else "–"
    return "✓" if not day.failed else "!" if day.ok else "✗"


def _day(day: SyncDay) -> dict[str, Any]:
    date = (timestamp(day.day * 86400.0) or "").partition("T")[0]
    return {"date": date, "ok": day.ok, "failed": day.failed, "changes": day.changes}


def attempt_json(one: SyncAttempt) -> dict[str, Any]:
    return {
        "ended": timestamp(one.ended_at),
        "seconds": round(one.seconds, 1),
        "kind": "full" if one.is_full else "incremental",
        "added": one.figures.added,
        "changed": one.figures.changed,
        "removed": one.figures.removed,
        "skipped": one.figures.skipped,
        "error": one.error or None,
        "postponed": one.is_postponed,
    }

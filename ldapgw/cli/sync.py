# SPDX-License-Identifier: MIT
"""``sync`` requests syncs of the running gateway, and can wait for the outcome; ``history`` shows earlier syncs.

``sync`` stores its requests in the database.  ``history`` shows the last syncs of an account, or how each account's
syncs went in the last two weeks.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import Connection

from ldapgw.cli.output import confirm, console, hint, local_time, print_json, print_line, print_table, yes_option
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, account_tenant, act, as_json, find_account, now, pass_site
from ldapgw.errors import UserError
from ldapgw.server.state_dir import lock_holder_pid
from ldapgw.store import accounts, activity, sync_history, sync_state
from ldapgw.store.account_status import error_message, timestamp
from ldapgw.store.accounts import Account, SyncRequest
from ldapgw.store.activity import Act
from ldapgw.store.database import Database
from ldapgw.store.sync_history import SyncAttempt, SyncDay
from ldapgw.web.record_texts import figures_words

POLL_SECONDS = 0.5
# A first sync of 50,000 contacts takes two minutes; Google's quota can delay the sync by some more minutes.
WAIT_TIMEOUT_SECONDS = 600


@click.command(
    epilog=examples("ldapgw sync --wait", "ldapgw sync alice@acme.example --full", "ldapgw sync --accept-shrink")
)
@click.argument("addresses", metavar="[ACCOUNT]...", nargs=-1)
@account_tenant
@click.option("--full", is_flag=True, help="Fetch everything again, not only changes.")
@click.option(
    "--accept-shrink", is_flag=True, help="Accept the removal of more than half of the contacts (implies --full)."
)
@yes_option
@click.option("--wait", is_flag=True, help="Wait until the sync ends, and print the outcome.")
@as_json
@pass_site
def sync(
    site: Site,
    addresses: tuple[str, ...],
    tenant: str | None,
    *,
    full: bool,
    accept_shrink: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Sync the named accounts now, or all connected accounts.

    The gateway syncs immediately, even while it waits after a failure.
    """
    if as_json and not wait:
        raise click.UsageError("--json works only with --wait: without it, there is no outcome yet.")
    request = SyncRequest.ACCEPT if accept_shrink else SyncRequest.FULL if full else SyncRequest.INCREMENTAL
    with site.open_store() as database:
        if accept_shrink and not yes:
            with database.begin_read() as connection:
                names = _names(_requested_accounts(site, connection, addresses, tenant))
            confirm(f"This lets the next sync of {names} remove more than half of the contacts.", yes=yes)
        with database.begin() as connection:
            requested = _requested_accounts(site, connection, addresses, tenant)
            for account in requested.values():
                of = Act.SHRINK_ACCEPTED if accept_shrink else Act.SYNC_REQUESTED
                entry = act(account.tenant, of, account.address)
                activity.recorded(connection, entry, sync_state.request_sync, account.id, request)
        if lock_holder_pid(site.state.path) is None:
            raise UserError(f"no gateway is running on {site.state.path}; the sync begins when a gateway starts")
        if not wait:
            print_line(f"Syncing {_names(requested)}.")
            return
        outcomes = _outcomes(site, database, requested)
    if as_json:
        print_json([outcome.json for outcome in outcomes])
    else:
        for outcome in outcomes:
            if not outcome.problem:
                print_line(outcome.line)
    problems = [f"{outcome.account.address}: {outcome.problem}" for outcome in outcomes if outcome.problem]
    if problems:
        raise UserError(problems)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of a requested sync.

    :ivar account: the account after the sync, or before the sync if the sync has not ended.
    :ivar last: the sync that ended, or None if the sync has not ended.
    :ivar problem: the reason why the sync failed or has not ended; empty if the sync succeeded.
    :ivar code: an error code of ``status.json``; empty without an error.
    """

    account: Account
    last: SyncAttempt | None = None
    problem: str = ""
    code: str = ""

    @property
    def line(self) -> str:
        changes = f" ({figures_words(self.last.figures)})" if self.last else ""
        return f"✓ {self.account.address}: {self.account.contacts} contacts, {self.account.numbers} numbers{changes}"

    @property
    def json(self) -> dict[str, Any]:
        return {
            "account": self.account.address,
            "tenant": self.account.tenant,
            "ok": not self.problem,
            "contacts": self.account.contacts,
            "numbers": self.account.numbers,
            "error": {"code": self.code or None, "message": self.problem} if self.problem else None,
            "sync": attempt_json(self.last) if self.last else None,
        }


def _requested_accounts(
    site: Site, connection: Connection, addresses: tuple[str, ...], tenant: str | None
) -> dict[int, Account]:
    """Return the accounts to sync, by id.

    :raises UserError: when an account cannot be synced.
    """
    if tenant is not None:
        site.tenant(tenant)
    if not addresses:
        known = accounts.read_all(connection, tenant)
        connected = {account.id: account for account in known if not _obstacle(site, account)}
        if not connected:
            raise UserError(f"no account is connected; connect one on {site.config.web.public_url}/")
        return connected
    named = {account.id: account for account in (find_account(connection, address, tenant) for address in addresses)}
    problems = [problem for account in named.values() if (problem := _obstacle(site, account))]
    if problems:
        raise UserError(problems)
    return named


def _obstacle(site: Site, account: Account) -> str:
    """Return the reason why an account cannot be synced; empty if the account can be synced."""
    if site.find_tenant(account.tenant) is None:
        return f'{account.address}: its tenant "{account.tenant}" is not in {site.file} any more'
    return (
        "" if account.is_connected else f"{account.address} is not connected; connect it on {site.page(account.tenant)}"
    )


def _outcomes(site: Site, database: Database, requested: Mapping[int, Account]) -> list[_Outcome]:
    """Wait for the requested syncs; return the outcome of each sync."""
    ended: dict[int, _Outcome] = {}
    unended = f"the sync hasn't finished after {WAIT_TIMEOUT_SECONDS // 60} minutes; it continues in the background"
    with console(stderr=True).status("") as status:
        for _ in range(int(WAIT_TIMEOUT_SECONDS / POLL_SECONDS)):
            pending = {account_id: before for account_id, before in requested.items() if account_id not in ended}
            with database.begin() as connection:
                found = {account_id: _outcome(site, connection, before) for account_id, before in pending.items()}
            ended |= {account_id: outcome for account_id, outcome in found.items() if outcome is not None}
            if len(ended) == len(requested):
                break
            if lock_holder_pid(site.state.path) is None:
                unended = "the gateway has stopped; the sync begins when a gateway starts"
                break
            status.update(f"Syncing {_names({key: pending[key] for key in pending.keys() - ended.keys()})}")
            time.sleep(POLL_SECONDS)
    return [ended.get(account_id) or _Outcome(before, problem=unended) for account_id, before in requested.items()]


def _outcome(site: Site, connection: Connection, before: Account) -> _Outcome | None:
    """Return the outcome of a requested sync, or None if the sync has not ended.

    A sync that was running at the time of the request does not count, because the request is still pending afterwards.
    """
    account = accounts.read(connection, before.id)
    if account is None or not account.is_connected:
        return _Outcome(before, problem="was disconnected in the meantime")
    if account.attempts <= before.attempts or account.requested_sync is not None or account.syncing:
        return None
    last = next(iter(sync_history.read_attempts(connection, account.id, 1)), None)
    error = account.error
    problem = str(error_message(error, account, site.page(account.tenant))) if error else ""
    return _Outcome(account, last, problem, error.code if error else "")


def _names(requested: Mapping[int, Account]) -> str:
    """Return the addresses of the first three accounts, and the number of the other accounts."""
    first = [account.address for account in requested.values()][:3]
    more = len(requested) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


# The legend for the signs in the column "14 days", which has one sign for each day.
_LEGEND = "✓ all good · ! some failed · ✗ all failed · ○ all postponed · – none"


@click.command(epilog=examples("ldapgw history", "ldapgw history alice@acme.example"))
@click.argument("account", required=False)
@account_tenant
@as_json
@pass_site
def history(site: Site, account: str | None, tenant: str | None, *, as_json: bool) -> None:
    """Show the last syncs of ACCOUNT.

    Without ACCOUNT, the command shows the last 14 days of each account.
    """
    if tenant is not None:
        site.tenant(tenant)
    with site.open_store() as database, database.begin() as connection:
        if account is None:
            known = [stored for stored in accounts.read_all(connection, tenant) if stored.is_connected]
            days = [(stored.address, sync_history.summarize_account(connection, stored.id, now())) for stored in known]
        else:
            chosen = find_account(connection, account, tenant)
            attempts = sync_history.read_attempts(connection, chosen.id)
    if account is not None:
        _print_attempts(attempts, chosen.address, as_json=as_json)
    elif as_json:
        print_json([{"account": address, "days": [_day(day) for day in of_account]} for address, of_account in days])
    elif not days:
        hint(f"No account is connected yet; connect one on {site.config.web.public_url}/")
    else:
        rows = [(address, "".join(map(_sign, each)), str(sum(day.failed for day in each))) for address, each in days]
        print_table(("account", "14 days", "failed#"), rows)
        print_line(_LEGEND)


def _print_attempts(attempts: tuple[SyncAttempt, ...], address: str, *, as_json: bool) -> None:
    if as_json:
        print_json([attempt_json(attempt) for attempt in attempts])
    elif not attempts:
        hint(f"{address} has not synced yet.")
    else:
        rows = [
            (
                "○" if attempt.is_postponed else "✗" if attempt.error else "✓",
                local_time(attempt.ended_at, now()),
                "full" if attempt.is_full else "update",
                f"{attempt.seconds:.1f}",
                f"postponed ({attempt.error})"
                if attempt.is_postponed
                else attempt.error or str(figures_words(attempt.figures)),
            )
            for attempt in attempts
        ]
        print_table(("", "ended", "kind", "secs#", "result"), rows)


def _sign(day: SyncDay) -> str:
    if not day.ok + day.failed:
        return "○" if day.is_postponed else "–"
    return "✓" if not day.failed else "!" if day.ok else "✗"


def _day(day: SyncDay) -> dict[str, Any]:
    date = (timestamp(day.day * 86400.0) or "").partition("T")[0]
    return {"date": date, "ok": day.ok, "failed": day.failed, "changes": day.changes}


def attempt_json(attempt: SyncAttempt) -> dict[str, Any]:
    return {
        "ended": timestamp(attempt.ended_at),
        "seconds": round(attempt.seconds, 1),
        "kind": "full" if attempt.is_full else "incremental",
        "added": attempt.figures.added,
        "changed": attempt.figures.changed,
        "removed": attempt.figures.removed,
        "skipped": attempt.figures.skipped,
        "error": attempt.error or None,
        "postponed": attempt.is_postponed,
    }

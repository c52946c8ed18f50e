# SPDX-License-Identifier: MIT
"""``status`` shows the gateway's state on one screen; ``gateways`` lists the gateways that share a PostgreSQL database.

Both commands read the database and files, whether the gateway runs or not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from sqlalchemy import Connection

from ldapgw.cli.accounts import SIGNS, account_objects, problem_lines
from ldapgw.cli.output import NEVER, counted, hint, local_time, print_json, print_line, print_table, some
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, as_json, now, pass_site
from ldapgw.errors import StoreError, UserError
from ldapgw.google.delegation import REFUSAL_TEXTS, RESPONSIBLE, DelegationRefusal
from ldapgw.phones.summary import PhoneCondition, Summary, phone_condition, summarize
from ldapgw.server.config import BookFile, Tenant
from ldapgw.server.endpoints import ldap_url
from ldapgw.server.state_dir import LOCK_FILE, lock_holder_pid
from ldapgw.store import accounts, phones, provisioning, tenants
from ldapgw.store import gateways as store
from ldapgw.store.account_status import rejected_phones, timestamp
from ldapgw.store.accounts import Account
from ldapgw.store.files import status_of
from ldapgw.store.gateways import KnownGateway
from ldapgw.store.logins_file import LOGINS_FILE, age_in_words
from ldapgw.store.phones import PhoneLogin
from ldapgw.store.provisioning import Mistake, UnfitClient
from ldapgw.store.tenants import WorkspaceStatus

if TYPE_CHECKING:
    from ldapgw.files.reading import FileReport

_PHONE_WORDS = {
    PhoneCondition.WORKING: "working",
    PhoneCondition.PROBLEMS: "with settings to fix",
    PhoneCondition.REFUSED: "with a wrong password",
    PhoneCondition.WAITING: "waiting",
}

# The mistakes of clients that cannot connect, and what to change.
_MISTAKES = {
    Mistake.TLS_ON_PLAIN_PORT: (
        "speaks TLS to the port for LDAP without TLS",
        "Enter the port for LDAPS in the device.",
    ),
    Mistake.PLAIN_ON_TLS_PORT: (
        "speaks LDAP without TLS to the port for TLS",
        "Switch LDAPS on in the device, or enter the port for LDAP without TLS.",
    ),
    Mistake.UNKNOWN_AUTHORITY: (
        "does not know the authority of the gateway's certificate",
        "Load ca.crt into the device (ldapgw phones settings), and enter the gateway's host name there.",
    ),
    Mistake.PASSWORD_WITHOUT_TLS: (
        "sends a password without TLS, which ldap.require_tls refuses",
        "Switch LDAPS or StartTLS on in the device.",
    ),
}


_PROBLEMS = {
    "short_list": (
        "Google's list of users lacks most of the known users. The gateway ignores the list unless this lasts a week."
    ),
    "network": "The gateway can't reach Google. If this lasts, check its network and DNS.",
}


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored data that the command shows.

    :ivar error: the reason why the database cannot be used; empty if the database can be used.
    :ivar clients: the tenants that have an OAuth client.
    :ivar workspaces: the last read of the Workspace of each tenant that has a service account.
    :ivar files: the present state of each file, by the names of its tenant and of the file.
    """

    accounts: tuple[Account, ...] = ()
    phones: tuple[PhoneLogin, ...] = ()
    clients: Collection[str] = ()
    workspaces: Mapping[str, WorkspaceStatus] = field(default_factory=dict)
    unfit_clients: tuple[UnfitClient, ...] = ()
    files: Mapping[tuple[str, str], FileReport] = field(default_factory=dict)
    error: str = ""


@click.command(epilog=examples("ldapgw status", "ldapgw status --json"))
@as_json
@pass_site
def status(site: Site, *, as_json: bool) -> None:
    """Show how the gateway, accounts and phones are doing.

    The command shows whether the gateway runs, in which states accounts and phones are, and what needs action. It reads
    the database and the state directory, so it also works while the gateway is stopped.
    """
    held = _read(site)
    objects = account_objects(site, held.accounts, rejected_phones(held.phones, now()))
    actions = list(_actions(site, held, objects))
    values = _status(site, held, actions)
    if as_json:
        print_json(values)
    else:
        for line in _lines(site, values, held):
            print_line(line)
    if held.error:
        raise UserError(held.error)


def _read(site: Site) -> _Stored:
    files = _file_reports(site)
    try:
        with site.open_store() as database:
            clients = site.clients(database)
            with database.begin() as connection:
                return _Stored(
                    accounts.read_all(connection),
                    phones.read_all(connection),
                    clients.keys(),
                    _read_workspaces(site, connection),
                    provisioning.read_unfit_clients(connection, now()),
                    files,
                )
    except StoreError as error:
        return _Stored(files=files, error=error.problems[0])


def _read_workspaces(site: Site, connection: Connection) -> Mapping[str, WorkspaceStatus]:
    entered, statuses = tenants.read_delegated_tenants(connection), tenants.read_workspaces(connection)
    return {
        tenant.name: statuses.get(tenant.name, WorkspaceStatus())
        for tenant in site.config.tenant
        if tenant.delegation or tenant.name in entered
    }


def _status(site: Site, held: _Stored, actions: Collection[str]) -> dict[str, Any]:
    pid = lock_holder_pid(site.state.path)
    validity = site.certificate_validity
    summaries = summarize(held.accounts, held.phones, now())
    return {
        "running": pid is not None,
        "process": pid,
        "since": timestamp(_begun_at(site)) if pid is not None else None,
        "stale_since": timestamp(_stale_since(site)) if pid is not None else None,
        "page": f"{site.config.web.public_url}/",
        "ldap_url": ldap_url(site.config),
        "database": {
            "file": str(site.state.database_file or "") or None,
            "server": None if site.state.database_file else site.server_name,
            "size": _size(site),
            "error": held.error or None,
        },
        "certificate_expires": timestamp(validity.not_after.timestamp()) if validity else None,
        "tenants": [
            tenant_object(tenant, summaries.get(tenant.name, Summary()), held.workspaces, held.files)
            for tenant in site.config.tenant
        ],
        "wrong_ports": [
            {
                "address": client.address,
                "speaks_tls": client.mistake is Mistake.TLS_ON_PLAIN_PORT,
                "last": timestamp(client.at),
            }
            for client in held.unfit_clients
            if client.mistake in {Mistake.TLS_ON_PLAIN_PORT, Mistake.PLAIN_ON_TLS_PORT}
        ],
        **{
            mistake.value: [
                {"address": client.address, "last": timestamp(client.at)}
                for client in held.unfit_clients
                if client.mistake is mistake
            ]
            for mistake in (Mistake.UNKNOWN_AUTHORITY, Mistake.PASSWORD_WITHOUT_TLS)
        },
        "actions": list(actions),
    }


def tenant_object(
    tenant: Tenant,
    summary: Summary,
    reads: Mapping[str, WorkspaceStatus],
    files: Mapping[tuple[str, str], FileReport] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the object of a tenant in ``status --json``.

    :param reads: the last read of the Workspace of each tenant that has a service account.
    :param files: the present state of each file, by the names of its tenant and of the file.
    """
    return {
        "name": tenant.name,
        "title": tenant.title or tenant.name,
        "accounts": {state: summary.states.get(state, 0) for state in SIGNS},
        "phones": {condition.value: summary.phones_in(condition) for condition in _PHONE_WORDS},
        "contacts": summary.contacts,
        "last_sync": timestamp(summary.last_sync),
        "workspace": _workspace(reads[tenant.name]) if tenant.name in reads else None,
        "files": [_file_object(file, files[tenant.name, file.name]) for file in tenant.file],
    }


def _file_reports(site: Site) -> dict[tuple[str, str], FileReport]:
    """Read the files of all tenants; the gateway serves the last good contacts of a file that has a problem."""
    if not any(tenant.file for tenant in site.config.tenant):
        return {}
    # The module is imported here, because the readers of files are large, and few gateways have files.
    from ldapgw.sync.book_builder import examine

    return {
        (tenant.name, file.name): examine(Path(file.path), tenant.region)
        for tenant in site.config.tenant
        for file in tenant.file
    }


def _file_object(file: BookFile, report: FileReport) -> dict[str, Any]:
    from ldapgw.files.reading import MOST_LINES

    return {
        "name": file.name,
        "path": file.path,
        "sharing": file.sharing,
        "contacts": report.contacts if report.is_good else None,
        "problems": [
            {"line": problem.line or None, "message": str(problem.reason)} for problem in report.problems[:MOST_LINES]
        ],
        "error": report.summary or None,
    }


def _workspace(read: WorkspaceStatus) -> dict[str, Any]:
    error = {"code": read.error_code, "message": _problem(read), "since": timestamp(read.error_since)}
    return {"users": read.users, "last_read": timestamp(read.read_at), "error": error if read.error_code else None}


def _problem(read: WorkspaceStatus) -> str:
    """Return the reason why the last read of a Workspace failed."""
    if read.error_code in REFUSAL_TEXTS:
        return REFUSAL_TEXTS[DelegationRefusal(read.error_code)].what
    return _PROBLEMS.get(read.error_code, f"The users of Google Workspace can't be read ({read.error_code}).")


def _actions(site: Site, held: _Stored, objects: Collection[dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each thing that somebody has to do so that the gateway, accounts and phones work."""
    if lock_holder_pid(site.state.path) is None:
        yield "The gateway isn't running. Start it with: ldapgw run, or systemctl start ldapgw"
    for tenant in site.config.tenant:
        if not held.error and tenant.name not in held.clients:
            yield (
                f"{tenant.name}: no Google client yet, so nobody can connect. Enter one on the page that "
                f"ldapgw admin-link --tenant {tenant.name} opens."
            )
    connected = {account.tenant for account in held.accounts if account.is_connected}
    with_files = {tenant.name for tenant in site.config.tenant if tenant.file}
    for name in sorted({login.tenant for login in held.phones} - connected - with_files - held.workspaces.keys()):
        if name in held.clients:
            yield f"{name}: nobody has connected yet, so phones find nobody. People connect on {site.page(name)}"
    for name, read in held.workspaces.items():
        if read.error_code in REFUSAL_TEXTS:
            text = REFUSAL_TEXTS[DelegationRefusal(read.error_code)]
            yield f"{name}: {text.what} {RESPONSIBLE[text.who]}: {text.todo}"
    validity = site.certificate_validity
    if site.config.tls and validity and validity.urgency(now()):
        state = "has expired" if validity.days_left(now()) < 0 else "expires soon"
        yield f"The certificate {site.config.tls.certificate} {state}. Renew it."
    yield from _file_actions(site, held)
    concerned = [
        (account, item) for account, item in zip(held.accounts, objects, strict=True) if item["state"] == "attention"
    ]
    known, troubled = [account for account, _ in concerned], [{**item, "skipped": {}} for _, item in concerned]
    yield from (line.removeprefix("! ") for line in problem_lines(known, troubled))
    conditions = {login.name: phone_condition(login, now()) for login in held.phones}
    refused = [name for name, condition in conditions.items() if condition is PhoneCondition.REFUSED]
    wrong = [name for name, condition in conditions.items() if condition is PhoneCondition.PROBLEMS]
    if refused:
        yield f"Wrong password in {some(refused)}. See: ldapgw phones list"
    if wrong:
        yield f"Settings to fix in {some(wrong)}. See: ldapgw phones list"


def _file_actions(site: Site, held: _Stored) -> Iterator[str]:
    for tenant in site.config.tenant:
        for file in tenant.file:
            if problem := held.files[tenant.name, file.name].summary:
                yield (
                    f"{tenant.name}: fix the file {file.path}: {problem} Until then, phones find the last good "
                    "contacts of this file."
                )


def _lines(site: Site, values: Mapping[str, Any], held: _Stored) -> Iterator[str]:
    if values["running"]:
        yield f"✓ Gateway      running since {local_time(_begun_at(site), now())} (process {values['process']})"
    else:
        yield "✗ Gateway      not running; this is what its database says"
    if values["stale_since"]:
        yield f"! Directory    stale: cached books, and the logins of {local_time(_stale_since(site), now())}"
    if held.error:
        yield f"✗ Database     {held.error}"
    elif values["database"]["file"] and values["database"]["size"] is None:
        yield f"… Database     {values['database']['file']}, not created yet"
    else:
        size = values["database"]["size"]
        location = values["database"]["file"] or values["database"]["server"]
        yield f"✓ Database     {location}" + (f", {size / 2**20:.1f} MiB" if size else "")
    yield _certificate_line(site)
    yield f"  Page         {values['page']}"
    yield f"  LDAP         {values['ldap_url']}"
    for tenant in values["tenants"]:
        yield ""
        yield f"{tenant['title']} ({tenant['name']})"
        yield f"  Accounts     {_counts(tenant['accounts'])}"
        in_words = {_PHONE_WORDS[PhoneCondition(key)]: count for key, count in tenant["phones"].items()}
        yield f"  Phones       {_counts(in_words)}"
        of_tenant = [
            account.last_sync for account in held.accounts if account.tenant == tenant["name"] and account.last_sync
        ]
        last_sync = local_time(max(of_tenant), now()) if of_tenant else "never"
        yield f"  Contacts     {tenant['contacts']}, last synced {last_sync}"
        if tenant["name"] in held.workspaces:
            yield _workspace_line(held.workspaces[tenant["name"]])
        for file in tenant["files"]:
            state = "has a problem" if file["error"] else counted(file["contacts"], "contact")
            yield f"{'!' if file['error'] else '✓'} File         {file['name']}: {state}"
    yield ""
    if held.unfit_clients:
        yield "Devices that can't connect, within a day:"
        for client in held.unfit_clients:
            mistake, change = _MISTAKES[client.mistake]
            yield f"! {client.address} {mistake}, last at {local_time(client.at, now())}. {change}"
        yield ""
    if not values["actions"]:
        yield "✓ Nothing else needs action." if held.unfit_clients else "✓ Nothing needs action."
        return
    yield "Needs action:"
    for action in values["actions"]:
        yield f"! {action}"


def _workspace_line(read: WorkspaceStatus) -> str:
    if read.error_code:
        return f"! Workspace    {_problem(read)}"
    if read.read_at is None:
        return "… Workspace    not read yet"
    return f"✓ Workspace    reads {counted(read.users, 'user')}, last read {age_in_words(now() - read.read_at)} ago"


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join(shown) if shown else "none yet"


def _certificate_line(site: Site) -> str:
    if site.config.tls is None:
        return f"  Certificate  {NEVER} (no [tls]: phones connect without encryption)"
    validity = site.certificate_validity
    if validity is None:
        return f"✗ Certificate  {site.config.tls.certificate} can't be read; see: ldapgw check"
    days = validity.days_left(now())
    sign = "✗" if days < 0 else "!" if validity.urgency(now()) else "✓"
    return f"{sign} Certificate  " + (f"valid for {days} days" if days >= 0 else "expired")


def _begun_at(site: Site) -> float | None:
    """Return the time at which the running gateway wrote its process id, or None if unknown."""
    lock_file = status_of(site.state.path / LOCK_FILE)
    return lock_file.st_mtime if lock_file else None


def _stale_since(site: Site) -> float | None:
    """Return the time of the snapshot from which the gateway started; None if the gateway has read the database since.

    A gateway that has read the database writes a new snapshot at once.
    """
    snapshot, begun_at = status_of(site.state.path / LOGINS_FILE), _begun_at(site)
    if snapshot is None or begun_at is None or site.state.database_file is not None:
        return None
    return snapshot.st_mtime if snapshot.st_mtime < begun_at else None


def _size(site: Site) -> int | None:
    """Return the size of the database file in octets, or None if there is no such file."""
    file = status_of(site.state.database_file) if site.state.database_file else None
    return file.st_size if file else None


@click.command(epilog=examples("ldapgw gateways", "ldapgw gateways --json"))
@as_json
@pass_site
def gateways(site: Site, *, as_json: bool) -> None:
    """Show the gateways that share a PostgreSQL database.

    The command shows which gateways run, which gateway syncs, and how far each gateway is behind the database.
    """
    with site.open_store() as database:
        if not database.runs_beside:
            if as_json:
                print_json([])
            hint("Only one gateway can use a SQLite database; to see its state, run: ldapgw status")
            return
        with database.begin_read() as connection:
            known = store.read_all(connection)
    if as_json:
        print_json([_object(gateway) for gateway in known])
    elif not known:
        hint("No gateway has run on this database within a day.")
    else:
        rows = [
            (
                "✓" if gateway.is_alive else "✗",
                gateway.info.name,
                " ".join(gateway.info.roles),
                local_time(gateway.started_at, now()),
                f"{gateway.silent:.0f} s ago",
                f"{gateway.behind:.0f} s" if gateway.behind else "–",
                f"{gateway.info.contacts:,}",
                "✓" if gateway.info.is_leader and gateway.is_alive else "–",
            )
            for gateway in known
        ]
        print_table(("", "name", "roles", "started", "heartbeat", "behind#", "contacts#", "syncs"), rows)


def _object(gateway: KnownGateway) -> dict[str, Any]:
    return {
        "id": gateway.info.id,
        "name": gateway.info.name,
        "version": gateway.info.version,
        "alive": gateway.is_alive,
        "roles": gateway.info.roles,
        "started": timestamp(gateway.started_at),
        "silent_seconds": round(gateway.silent, 1),
        "behind_seconds": round(gateway.behind, 1),
        "accounts": gateway.info.accounts,
        "contacts": gateway.info.contacts,
        "syncs": gateway.info.is_leader and gateway.is_alive,
    }

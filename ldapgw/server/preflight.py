# SPDX-License-Identifier: MIT
"""The checks that ``ldapgw check``, a start and a reload run; the table `CHECKS` says when each check runs.

A start and a reload refuse a configuration if one of their checks fails, with the messages of ``ldapgw check``.  The
checks change nothing.  The checks may block, so a running gateway calls the checks off the reactor's thread.  A start
makes the checks of the folder, the database and the key under the lock, while opening the three (`opening`).

The module begins with the checks of the folder, the database and the key, and ends with `CHECKS`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, make_url

from ldapgw.contact import SYSTEM_LABELS
from ldapgw.errors import StoreError, UserError
from ldapgw.google.endpoints import Client
from ldapgw.peers.leadership import POOLED
from ldapgw.server.check_result import Check, CheckResult, CheckStatus, Moment, PreflightFailed, Subject
from ldapgw.server.config import Config
from ldapgw.server.endpoints import ListenAddress, configured_endpoints, ipv6_only_endpoints, reuses_port
from ldapgw.server.google import entered_delegations as read_delegations
from ldapgw.server.google import read_authorities
from ldapgw.server.listener import listening_socket
from ldapgw.server.state_dir import check_same_key, in_use, lock_holder_pid
from ldapgw.server.tls import load_certificate
from ldapgw.store import accounts
from ldapgw.store.database import Database, is_current, read_revision, revisions
from ldapgw.store.files import check_state_dir, is_missing, nearest_folder, status_of
from ldapgw.store.logins_file import age_in_words
from ldapgw.store.secrets import SecretBox, kept_key_files, read_keys
from ldapgw.store.sqlite import LOG_LIMIT
from ldapgw.sync.book_cache import FOLDER, BookCache
from ldapgw.sync.workspace import Delegation

# Octets that should be free on the disk of the state directory.  An upgrade keeps a copy of the database.  For some
# 100,000 contacts, the write-ahead log and the cached books together need as much space as the database.
MIN_FREE = 200_000_000
# Inodes that should be free.  A gateway has some dozens of files, and a cached book for each account.
MIN_INODES = 1000
# Seconds that this machine's clock may be behind the last sync, because the clock of the gateway that has synced may be
# ahead.
MAX_CLOCK_SECONDS = 120.0
# Queries for encrypted secrets.  A query also returns a name of each secret's owner; this name may be logged.
_SEALED_CLIENTS = "SELECT 'client of ' || tenant, client_secret FROM oauth_client"
_SEALED_DELEGATIONS = "SELECT 'service account of ' || tenant, key_file FROM delegation"
_GENERATIONS = "SELECT account.id, change.key, account.generation FROM account, change WHERE change.kind = 'epoch'"


def check_folder(subject: Subject) -> Iterator[CheckResult]:
    """Check the folder ``state_dir``.

    :raises StoreError: when the gateway cannot use the folder.
    """
    path = subject.state_dir.path
    item = f"state_dir = {path}"
    check_state_dir(path, create=subject.state_dir.may_be_created)
    if is_missing(path):
        yield CheckResult(CheckStatus.OK, item, "will be created", is_setting=True)
    elif os.access(path, os.W_OK):
        yield CheckResult(CheckStatus.OK, item, "can be written to", is_setting=True)
    else:
        yield CheckResult(CheckStatus.WARNING, item, "is on a disk that is read-only", is_setting=True)


def check_database(subject: Subject) -> Iterator[CheckResult]:
    """Check the database, which has to contain all accounts that have cached books.

    :raises StoreError: when the gateway cannot use the database.
    """
    # List the cached books first.  If the database were read first, the book of an account that connects afterwards
    # would seem to belong to no account.
    state_dir = subject.state_dir
    cached = state_dir.cached_accounts()
    with closing(state_dir.database()) as database:
        state_dir.check_database_not_lost(database.file)
        yield _database(subject, database)
        if database.file is not None and not is_missing(database.file):
            with database.look() as connection:
                if read_revision(connection, database.name) is not None:
                    state_dir.check_accounts_not_lost(cached, database, connection)


def check_key(subject: Subject) -> Iterator[CheckResult]:
    """Check that the key fits the database, and is a key of the other gateways on the database.

    :raises StoreError: when the gateway cannot use the key.
    """
    source = subject.state_dir.key_source
    item = source.name if source.configured else f"key file {source.file}"
    is_known = bool(subject.keys) and subject.keys <= set(source.read())
    secrets = [] if is_known else [*_read(subject, accounts.read_sealed_tokens)]
    if subject.moment is Moment.CHECK:
        # A start ignores an OAuth client or a service account that the key cannot decrypt, because an administrator can
        # enter the client or the service account again.
        secrets += (*rows(subject, _SEALED_CLIENTS), *rows(subject, _SEALED_DELEGATIONS))
    if not secrets and not source.configured and is_missing(source.file):
        yield CheckResult(CheckStatus.OK, item, "will be created")
        return
    secret_box = SecretBox.open(source, create=False)
    if (unfit := secret_box.find_unfit(secrets)) is not None:
        raise unfit
    if subject.state_dir.database_file is None and rows(subject, "SELECT 1 FROM schema_version"):
        with closing(subject.state_dir.database()) as database, database.look() as connection:
            check_same_key(connection, secret_box, source)
    message = "fits the database" if secrets else "readable"
    yield CheckResult(CheckStatus.OK, item, message, is_setting=bool(source.configured))


def _newer_books(subject: Subject) -> Iterator[CheckResult]:
    """Report cached books that are newer than the database, as after another tool has restored older data."""
    # List the cached books before reading the database.  A running gateway first stores contacts, and then caches the
    # contacts.  So contacts that are stored and cached during this check cannot seem to be newer than the database.
    cached = list(BookCache(subject.state_dir.path / FOLDER).generations())
    stored = {account_id: (epoch, generation) for account_id, epoch, generation in rows(subject, _GENERATIONS)}
    newer = 0
    for account_id, history, cached_generation in cached:
        epoch, generation = stored.get(account_id, ("", 0))
        newer += history.epoch == epoch and cached_generation > generation
    if newer:
        yield CheckResult(
            CheckStatus.WARNING,
            f"cached books in {subject.state_dir.path}",
            f"{'1 is' if newer == 1 else f'{newer} are'} newer than the database, whose numbers have gone back; stop "
            "all gateways, delete the folder images in each state_dir, and start them",
        )


def _kept_keys(subject: Subject) -> Iterator[CheckResult]:
    """Report the files with keys that were in use before a rotation of the keys."""
    for file in kept_key_files(subject.state_dir.key_source.file):
        status, day = CheckStatus.OK, file.suffix.removeprefix(".")
        message = (
            f"is for backups from before the rotation on {day}; delete the file when you have no such backups any more"
        )
        try:
            read_keys(file)
        except StoreError as error:
            status, message = CheckStatus.FAILED, error.problems[0].removeprefix(f"{file}: ")
        yield CheckResult(status, f"old key {file}", message)


def _disks(subject: Subject) -> Iterator[CheckResult]:
    """Check the free space on the file systems of the state directory and of a database file elsewhere."""
    file = subject.state_dir.database_file
    files = map(status_of, (file, file.with_name(f"{file.name}-wal")) if file else ())
    size = sum(status.st_size for status in files if status)
    seen = set()
    for folder in (subject.state_dir.path, *((file.parent,) if file else ())):
        nearest = nearest_folder(folder)
        try:
            device, room = nearest.stat().st_dev, os.statvfs(nearest)
        except OSError as error:
            yield CheckResult(CheckStatus.FAILED, f"disk of {folder}", f"cannot be examined: {error.strerror}")
            continue
        if device not in seen:
            seen.add(device)
            yield _disk(f"disk of {folder}", room, max(MIN_FREE, 2 * size))


def _disk(item: str, room: os.statvfs_result, needed: int) -> CheckResult:
    """Check the free space and the free inodes of a disk.

    :param needed: the octets that an upgrade may need.
    """
    free = room.f_bavail * room.f_frsize
    # Some file systems, such as btrfs, have no fixed number of inodes.
    has_few_inodes = room.f_files > 0 and room.f_favail < MIN_INODES
    found = f"{free / 1e6:.0f} MB{f' and {room.f_favail} inodes' if has_few_inodes else ''} free"
    if free < LOG_LIMIT or (has_few_inodes and not room.f_favail):
        return CheckResult(CheckStatus.FAILED, item, f"is full, the gateway cannot store anything: {found}; make room")
    if free < needed or has_few_inodes:
        message = f"{found}; make room: an upgrade may need {needed / 1e6:.0f} MB and {MIN_INODES} inodes"
        return CheckResult(CheckStatus.WARNING, item, message)
    return CheckResult(CheckStatus.OK, item, found)


def _clock(subject: Subject) -> Iterator[CheckResult]:
    """Report a clock that is behind the last sync, such as after a boot without a clock battery or a network."""
    for (last_sync,) in rows(subject, "SELECT max(last_sync) FROM account"):
        behind = (last_sync or 0) - subject.now
        if behind > MAX_CLOCK_SECONDS:
            message = (
                f"is {age_in_words(behind)} behind the last sync; synchronize it, such as with timedatectl set-ntp true"
            )
            yield CheckResult(CheckStatus.WARNING, "clock", message)


def has_entered_client(subject: Subject, tenant: str) -> bool:
    """Return whether an administrator has entered a tenant's OAuth client; false if the database is unreadable."""
    return any(row[0] == tenant for row in rows(subject, "SELECT tenant FROM oauth_client"))


def entered_clients(subject: Subject) -> Mapping[str, Client]:
    """Return the OAuth clients that administrators entered, by tenant; empty if a client cannot be read."""
    try:
        secret_box = SecretBox.open(subject.state_dir.key_source, create=False)
        found = rows(subject, "SELECT tenant, client_id, client_secret FROM oauth_client")
        return {tenant: Client(client_id, secret_box.unseal(sealed)) for tenant, client_id, sealed in found}
    except StoreError:
        return {}


def has_entered_delegation(subject: Subject, tenant: str) -> bool:
    """Return whether an administrator has entered a tenant's service account; false if the database is unreadable."""
    return any(row[0] == tenant for row in rows(subject, "SELECT tenant FROM delegation"))


def entered_delegations(subject: Subject) -> Mapping[str, Delegation]:
    """Return the service accounts that administrators entered on the page, by tenant.

    A service account that cannot be read or decrypted is left out.
    """
    try:
        secret_box = SecretBox.open(subject.state_dir.key_source, create=False)
        with closing(subject.state_dir.database()) as database:
            if database.file is not None and is_missing(database.file):
                return {}
            with database.look() as connection:
                return read_delegations(connection, secret_box)[0]
    except StoreError:
        return {}


def connected_accounts(subject: Subject) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return the address and the value of `Sharing` of each connected account, by tenant.

    The result is empty if the database is unreadable.
    """
    connected: dict[str, list[tuple[str, str]]] = {}
    query = "SELECT tenant, address, sharing FROM account WHERE connected_at IS NOT NULL ORDER BY 1, 2"
    for tenant, address, sharing in rows(subject, query):
        connected.setdefault(tenant, []).append((address, sharing))
    return connected


def label_names(subject: Subject) -> Mapping[str, frozenset[str]]:
    """Return the case-folded labels of synced accounts, by tenant; empty if the database is unreadable."""
    names: dict[str, set[str]] = {}
    query = (
        "SELECT tenant, name FROM account LEFT JOIN label ON account_id = id "
        "WHERE connected_at IS NOT NULL AND last_sync IS NOT NULL"
    )
    for tenant, name in rows(subject, query):
        names.setdefault(tenant, {label.rpartition("/")[2].casefold() for label in SYSTEM_LABELS})
        names[tenant].add((name or "").casefold())
    return {tenant: frozenset(known) for tenant, known in names.items()}


def rows(subject: Subject, query: str) -> Sequence[Any]:
    """Return the rows that a query finds; empty if the database is missing or cannot be read."""
    return _read(subject, lambda connection: connection.exec_driver_sql(query))


def _read(subject: Subject, read: Callable[[Connection], Iterable[Any]]) -> Sequence[Any]:
    """Return all results of a function that reads; empty if the database is missing or cannot be read."""
    try:
        with closing(subject.state_dir.database()) as database:
            if database.file is not None and is_missing(database.file):
                return ()
            with database.look() as connection:
                return list(read(connection))
    except StoreError:
        return ()


def _database(subject: Subject, database: Database) -> CheckResult:
    """Check the database itself.

    :raises StoreError: when the gateway cannot use the database.
    """
    item, file = f"database {database.name}", database.file
    if file is None and not database.runs_beside:
        message = "is in memory: everything is forgotten when the gateway stops"
        return CheckResult(CheckStatus.WARNING, "database", message, is_setting=True)
    if file is not None and is_missing(file):
        return CheckResult(CheckStatus.OK, item, "will be created")
    is_check = subject.moment is Moment.CHECK
    session = database.leader_session() if is_check else None
    if session is not None and session.is_pooled():
        return CheckResult(CheckStatus.FAILED, item, POOLED)
    subject.state_dir.check_server_not_empty(database)
    with database.look() as connection:
        # The check reads the whole file, which takes too long for a start or a reload.
        if is_check and file and connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
            return CheckResult(CheckStatus.FAILED, item, "is damaged; put it back from a backup")
        revision = read_revision(connection, database.name)
        is_newest = is_current(connection, database)
    if is_check and file and not os.access(file, os.R_OK | os.W_OK):
        return CheckResult(CheckStatus.FAILED, item, "cannot be written to by this user")
    is_elsewhere = file is not None and file.parent != subject.state_dir.path
    if is_check and file and is_elsewhere and file.stat().st_mode & 0o007 and file.parent.stat().st_mode & 0o001:
        return CheckResult(CheckStatus.FAILED, item, f"everybody can read it; run: chmod 600 {file}")
    if revision is None:
        return CheckResult(CheckStatus.OK, item, "is empty; will be set up")
    if not is_newest:
        copy = " and keeps a copy" if file else ""
        message = f"is from an older version; the next start upgrades it{copy}"
        return CheckResult(CheckStatus.WARNING, item, message)
    if revision not in revisions():
        return CheckResult(CheckStatus.OK, item, "is from a newer version, and this version can use it")
    return CheckResult(CheckStatus.OK, item, f"version {revision}")


_RESTART: Final = "cannot change while the gateway runs; restart the gateway"
_NOT_TRIED: Final = "only TCP ports can be added while the gateway runs; restart the gateway"
# bind() checks the user's rights before it checks whether another program uses the port.
_NOT_ALLOWED: Final = (errno.EACCES, errno.EPERM)
# Seconds within which a program on this machine should accept a connection.
_PATIENCE: Final = 5.0
_ROLES: Final = {"ldap.listen": "serve", "ldap.listen_tls": "serve", "web.listen": "web", "web.listen_tls": "web"}


def run(subject: Subject, checks: Collection[Check] = ()) -> Iterator[CheckResult]:
    """Run the checks of one moment: ``ldapgw check``, a start or a reload (`Moment`).

    :param checks: further checks, which run after the checks of the table.
    """
    for check in (*CHECKS, *checks):
        if subject.moment not in check.moments:
            continue
        has_failed = False
        for result in _find(check, subject):
            has_failed |= result.status is CheckStatus.FAILED
            yield result
        if has_failed and check.ends:
            return


def _find(check: Check, subject: Subject) -> Iterator[CheckResult]:
    try:
        yield from check.find(subject)
    except UserError as error:
        yield from subject.failures(error)


def require(subject: Subject) -> None:
    """Run the checks of one moment (`Moment`), and raise an error if a check fails.

    :raises PreflightFailed: with all checks that have failed.
    """
    failed = [result for result in run(subject) if result.status is CheckStatus.FAILED]
    if failed:
        raise PreflightFailed(failed)


def require_start(config: Config, ports: Collection[str] = ()) -> None:
    """Run the checks of a start, except `opening`.

    :param ports: the endpoints whose listening sockets this process has already.
    :raises PreflightFailed: with all checks that have failed.
    """
    gateway = lock_holder_pid(Path(config.state_dir))
    require(Subject(Moment.START, config, gateway=gateway, ports=frozenset(ports)))


@contextmanager
def opening(subject: Subject) -> Iterator[None]:
    """Run the last check of a start, which opens the state directory.

    :raises PreflightFailed: when the state directory cannot be opened.
    """
    try:
        yield
    except UserError as error:
        raise PreflightFailed(subject.failures(error)) from None


def _check_gateway(subject: Subject) -> Iterator[CheckResult]:
    """Look for another process that serves from the state directory."""
    if subject.gateway is None:
        return
    if subject.moment is Moment.START:
        raise in_use(subject.state_dir.path, subject.gateway)
    yield CheckResult(CheckStatus.OK, "gateway", f"is running (process {subject.gateway})")


def _check_restart(subject: Subject) -> Iterator[CheckResult]:
    """Report changed settings that a reload cannot change."""
    config, current = subject.config, subject.current
    assert current is not None
    changed = {
        "state_dir": config.state_dir != current.state_dir,
        "roles": config.roles != current.roles,
        "ldap.reuse_port": config.ldap.reuse_port != current.ldap.reuse_port,
        "database": _without_password(config) != _without_password(current),
    }
    for key in (key for key, has_changed in changed.items() if has_changed):
        yield CheckResult(CheckStatus.FAILED, key, _RESTART, is_setting=True)


def _without_password(config: Config) -> str:
    return make_url(config.database).set(password=None).render_as_string() if config.database else ""


def _check_certificate(subject: Subject) -> Iterator[CheckResult]:
    """Load the certificate, its private key, and the authority for phones' certificates."""
    if subject.config.tls:
        load_certificate(subject.config.tls)
        item = f"tls.private_key = {subject.config.tls.private_key}"
        yield CheckResult(CheckStatus.OK, item, "fits the certificate", is_setting=True)


def _check_authorities(subject: Subject) -> Iterator[CheckResult]:
    """Read the authority of a proxy that inspects TLS."""
    file = subject.config.google.ca_file
    if file:
        read_authorities(file)
        yield CheckResult(CheckStatus.OK, f"google.ca_file = {file}", "can be read", is_setting=True)


def role_endpoints(config: Config) -> list[tuple[str, str]]:
    """Return the endpoints of the gateway's roles, as pairs of the setting's key and the endpoint."""
    return [pair for pair in configured_endpoints(config) if _ROLES[pair[0]] in config.roles]


def _check_ports(subject: Subject) -> Iterator[CheckResult]:
    """Listen on all new ports at the same time, which also shows if two endpoints have the same port."""
    if subject.gateway is not None:
        return
    config, current = subject.config, subject.current
    served = {endpoint for _, endpoint in role_endpoints(current)} if current else subject.ports
    with ExitStack() as sockets:
        for setting, endpoint in role_endpoints(config):
            item, address = f'{setting} "{endpoint}"', ListenAddress.parse(endpoint)
            problem = _reload_problem(endpoint, address, config, current) if current else ""
            if problem:
                yield CheckResult(CheckStatus.FAILED, item, problem, is_setting=True)
            elif address is None:
                yield CheckResult(CheckStatus.OK, item, "not tried: not a TCP port", is_setting=True)
            elif endpoint not in served:
                is_ipv6_only, is_shared = endpoint in ipv6_only_endpoints(config), reuses_port(config, setting)
                try:
                    sockets.enter_context(
                        listening_socket(address, ipv6_only=is_ipv6_only, reuse_port=is_shared, listens=False)
                    )
                except OSError as error:
                    yield _unavailable(item, address, error, subject.moment)
                else:
                    yield CheckResult(CheckStatus.OK, item, f"{address} is free", is_setting=True)


def _reload_problem(endpoint: str, address: ListenAddress | None, config: Config, current: Config) -> str:
    """Return the reason why a reload cannot serve an endpoint; empty if there is no such reason."""
    served = {endpoint for _, endpoint in role_endpoints(current)}
    own = {address.port for address in map(ListenAddress.parse, served) if address is not None}
    changed = ipv6_only_endpoints(config) ^ ipv6_only_endpoints(current)
    if endpoint.startswith("systemd:"):
        return f"the sockets of systemd {_RESTART}"
    if address is None:
        return "" if endpoint in served else _NOT_TRIED
    if (endpoint in changed and endpoint in served) or (endpoint not in served and address.port in own - {0}):
        return f"the address of a port {_RESTART}"
    return ""


def _unavailable(item: str, address: ListenAddress, error: OSError, moment: Moment) -> CheckResult:
    status, message = CheckStatus.FAILED, f"{address}: {os.strerror(error.errno or 0)}"
    if error.errno == errno.EADDRINUSE or (error.errno in _NOT_ALLOWED and _accepts(address)):
        message = f"{address} is in use by another program; end that program, or set another port"
    elif error.errno in _NOT_ALLOWED:
        # The gateway may have CAP_NET_BIND_SERVICE even if the user of the command does not have this capability.
        status = CheckStatus.WARNING if moment is Moment.CHECK else CheckStatus.FAILED
        message = (
            f"{address} needs the capability CAP_NET_BIND_SERVICE, which this user does not have; the systemd unit "
            "gives the capability to the gateway, but ldapgw run by this user cannot start"
        )
    elif isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        message = f"{address.interface} is not an address of this machine"
    return CheckResult(status, item, message, is_setting=True)


def _accepts(address: ListenAddress) -> bool:
    """Return whether a program accepts connections on a port that this user may not open."""
    try:
        socket.create_connection((address.reachable_host, address.port), _PATIENCE).close()
    except OSError:
        return False
    return True


_ALWAYS: Final = frozenset(Moment)
CHECKS: Final = (
    Check(frozenset({Moment.CHECK, Moment.START}), _check_gateway, ends=True),
    Check(frozenset({Moment.RELOAD}), _check_restart, ends=True),
    # At a start, `opening` makes the next three checks.
    Check(frozenset({Moment.CHECK, Moment.RELOAD}), check_folder),
    Check(frozenset({Moment.CHECK, Moment.RELOAD}), check_database),
    Check(frozenset({Moment.CHECK, Moment.RELOAD}), check_key),
    Check(frozenset({Moment.CHECK}), _newer_books),
    Check(frozenset({Moment.CHECK}), _kept_keys),
    Check(frozenset({Moment.CHECK}), _disks),
    Check(frozenset({Moment.CHECK}), _clock),
    Check(_ALWAYS, _check_certificate),
    Check(_ALWAYS, _check_authorities),
    Check(_ALWAYS, _check_ports),
)

# SPDX-License-Identifier: MIT
"""The checks that ``ldapgw check``, a start and a reload run before they act: one table, which says what runs when.

A start and a reload refuse a configuration if one of their checks fails, in the words of ``ldapgw check``.  The checks
change nothing.  They may block, so a running gateway calls them off the reactor's thread.  A start checks the folder,
the database and the key as it opens them (`opening`), under the lock, by the same functions, and reads nothing twice.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from ldapgw.errors import UserError
from ldapgw.server.check_result import Check, CheckResult, CheckStatus, Moment, PreflightFailed, Subject
from ldapgw.server.config import Config
from ldapgw.server.google import read_authorities
from ldapgw.server.listener import (
    ListenAddress,
    configured_endpoints,
    ipv6_only_endpoints,
    listening_socket,
    reuses_port,
)
from ldapgw.server.state_dir import in_use, lock_holder_pid
from ldapgw.server.store_checks import check_database, check_folder, check_key, check_surroundings
from ldapgw.server.tls import load_certificate

_RESTART: Final = "cannot change while the gateway runs; restart the gateway"
_NOT_TRIED: Final = "only TCP ports can be added while the gateway runs; restart the gateway"
# bind() refuses the user before it looks at who else uses the port.
_NOT_ALLOWED: Final = (errno.EACCES, errno.EPERM)
# Seconds in which a program of this machine accepts a connection.
_PATIENCE: Final = 5.0
_ROLES: Final = {"ldap.listen": "serve", "ldap.listen_tls": "serve", "web.listen": "web"}


def run(subject: Subject, checks: Collection[Check] = ()) -> Iterator[CheckResult]:
    """Run the checks of the subject's moment.

    :param checks: further checks, which run behind those of the table.
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
    """Run the checks of the subject's moment, and refuse to act if one of them fails.

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
    """Look for another process that runs the gateway."""
    if subject.gateway is None:
        return
    if subject.moment is Moment.START:
        raise in_use(subject.state_dir, subject.gateway)
    yield CheckResult(CheckStatus.OK, "gateway", f"is running (process {subject.gateway})")


def _check_restart(subject: Subject) -> Iterator[CheckResult]:
    """Name the settings that have changed and that a reload cannot change."""
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
    """The endpoints that the gateway's roles listen on, each after the key of its setting."""
    return [pair for pair in configured_endpoints(config) if _ROLES[pair[0]] in config.roles]


def _check_ports(subject: Subject) -> Iterator[CheckResult]:
    """Listen on all new ports at the same time, which also finds two endpoints on one port."""
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
    """Return the reason why a reload cannot serve an endpoint; empty if a reload can."""
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
        # The gateway may have the capability that the user of the command does not have.
        status = CheckStatus.WARNING if moment is Moment.CHECK else CheckStatus.FAILED
        message = (
            f"{address} needs the capability CAP_NET_BIND_SERVICE, which this user does not have; the systemd unit "
            "gives the capability to the gateway, but ldapgw run by this user cannot start"
        )
    elif isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        message = f"{address.interface} is not an address of this machine"
    return CheckResult(status, item, message, is_setting=True)


def _accepts(address: ListenAddress) -> bool:
    """Return whether a program listens on a port that this user may not listen on."""
    try:
        socket.create_connection((address.reachable_host, address.port), _PATIENCE).close()
    except OSError:
        return False
    return True


_ALWAYS: Final = frozenset(Moment)
CHECKS: Final = (
    Check("the gateway", frozenset({Moment.CHECK, Moment.START}), _check_gateway, ends=True),
    Check("settings that need a restart", frozenset({Moment.RELOAD}), _check_restart, ends=True),
    # At a start, `opening` does the next three.
    Check("the folder", frozenset({Moment.CHECK, Moment.RELOAD}), check_folder),
    Check("the database", frozenset({Moment.CHECK, Moment.RELOAD}), check_database),
    Check("the key", frozenset({Moment.CHECK, Moment.RELOAD}), check_key),
    Check("old keys, disks and clock", frozenset({Moment.CHECK}), check_surroundings),
    Check("the certificate", _ALWAYS, _check_certificate),
    Check("the authorities for Google", _ALWAYS, _check_authorities),
    Check("the ports", _ALWAYS, _check_ports),
)

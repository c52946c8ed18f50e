# SPDX-License-Identifier: MIT
"""The part of ``check`` that examines files: how long certificates are valid, and who can read secrets."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from sqlalchemy import make_url

from ldapgw.server.check_result import CheckResult, CheckStatus, Subject
from ldapgw.server.config import Config, read_settings
from ldapgw.server.tls import WARN_DAYS, ValidityPeriod, read_certificates


def check_validity(subject: Subject) -> Iterator[CheckResult]:
    """Check when the certificates expire, and for which host the gateway's certificate is."""
    config, tls = subject.config, subject.config.tls
    files = {
        "tls.certificate": tls.certificate if tls else None,
        "tls.client_ca": tls.client_ca if tls else None,
        "google.ca_file": config.google.ca_file,
    }
    for key, file in files.items():
        try:
            chain = read_certificates(Path(file).read_bytes()) if file else ()
        except (OSError, ValueError):
            continue  # the preflight reports the file
        if chain:
            item = f"{key} = {file}"
            yield replace(_lifetime(item, chain, subject.now), is_setting=True)
            if key == "tls.certificate":
                for result in _names(item, chain[0], urlsplit(config.web.public_url).hostname or ""):
                    yield replace(result, is_setting=True)


def _lifetime(item: str, chain: Sequence[x509.Certificate], now: float) -> CheckResult:
    """A chain is valid until its first certificate expires."""
    validity = ValidityPeriod.of(chain)
    days = validity.days_left(now)
    if days < 0:
        return CheckResult(CheckStatus.FAILED, item, f"has expired on {validity.not_after:%Y-%m-%d}; renew it")
    if now < validity.not_before.timestamp():
        return CheckResult(
            CheckStatus.FAILED, item, f"is valid from {validity.not_before:%Y-%m-%d} on; check the machine's clock"
        )
    if days < WARN_DAYS[0]:
        return CheckResult(
            CheckStatus.WARNING, item, f"expires on {validity.not_after:%Y-%m-%d}, in {days} days; renew it"
        )
    return CheckResult(CheckStatus.OK, item, f"valid until {validity.not_after:%Y-%m-%d}")


def _names(item: str, certificate: x509.Certificate, host: str) -> Iterator[CheckResult]:
    """Warn about names that phones will refuse if they compare names (RFC 6125 6.4: a star is one whole label)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        yield CheckResult(
            CheckStatus.WARNING, item, "names no host (subjectAltName); phones that compare names will refuse it"
        )
        return
    known = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    known += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    if host.lower() not in known and "*." + host.lower().partition(".")[2] not in known:
        message = f"is for {', '.join(known)}, not for {host}; phones that compare names will refuse it"
        yield CheckResult(CheckStatus.WARNING, item, message)


def check_secret_files(subject: Subject, file: Path) -> Iterator[CheckResult]:
    """Check the configuration file, the environment, and the files with secrets that either of them names.

    The key files of the state directory are checked where their content is.

    :param file: the configuration file.
    """
    config, settings = subject.config, read_settings(os.environ)
    if file.exists():
        item = f"configuration {file}"
        secrets = _secrets_in_file(config, {setting.path for setting in settings})
        problem = readable_for_others(file, subject.state_dir.path) if secrets else ""
        if problem:
            yield CheckResult(CheckStatus.WARNING, item, f"has a {' and a '.join(secrets)}, and {problem}")
        else:
            yield CheckResult(CheckStatus.OK, item)
    if settings:
        names = ", ".join(setting.name for setting in settings)
        yield CheckResult(CheckStatus.OK, "environment", f"sets {names}")
    named = (config.database_password_file, *(tenant.client_secret_file for tenant in config.tenant))
    by_variables = (setting.file for setting in settings if setting.is_secret and setting.file)
    for secret in (*(Path(name) for name in named if name), *by_variables):
        if problem := readable_for_others(secret, subject.state_dir.path):
            yield CheckResult(CheckStatus.WARNING, f"secret {secret}", problem)
    if config.tls and (problem := readable_for_others(Path(config.tls.private_key), subject.state_dir.path)):
        item = f"tls.private_key = {config.tls.private_key}"
        yield CheckResult(CheckStatus.WARNING, item, problem, is_setting=True)


def readable_for_others(file: Path, state_dir: Path) -> str:
    """Return who can use a file besides its owner and the gateway, and what to do; empty if nobody can.

    The gateway's user is the owner of its state directory.  A group of that user may read a file, and so may root's.
    """
    try:
        status = file.stat()
    except OSError:
        return ""
    if status.st_mode & 0o007:
        return f"everybody can read it; run: chmod o= {file}"
    if status.st_mode & 0o070 and status.st_gid not in _groups_of_owner(state_dir if state_dir.exists() else file):
        return f"the group {_group_name(status.st_gid)} can read it; run: chmod g= {file}"
    return ""


def _secrets_in_file(config: Config, elsewhere: Collection[tuple[str, ...]]) -> list[str]:
    """The kinds of secrets that the configuration file itself has.

    :param elsewhere: the paths of the settings that are from the environment.
    """
    has_client_secret = any(
        ("tenant", tenant.name.replace("-", "_"), "client_secret") not in elsewhere
        for tenant in config.tenant
        if tenant.client_secret and not tenant.client_secret_file
    )
    has_password = ("database",) not in elsewhere and not config.database_password_file
    proxy = config.google.configured_proxy if ("google", "proxy") not in elsewhere else None
    found = {
        "client_secret": has_client_secret,
        "password of the database": has_password and bool(make_url(config.database or "sqlite://").password),
        "password of a proxy": proxy is not None and bool(proxy.authorization),
        "key": bool(config.encryption_key) and ("encryption_key",) not in elsewhere,
    }
    return [kind for kind, is_there in found.items() if is_there]


def _groups_of_owner(path: Path) -> Collection[int]:
    status = path.stat()
    try:
        user = pwd.getpwuid(status.st_uid)
    except KeyError:  # a container's user may have no name
        return {0, status.st_gid}
    return {0, *os.getgrouplist(user.pw_name, user.pw_gid)}


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)

# SPDX-License-Identifier: MIT
"""The part of ``check`` that finds files with secrets that other users of the machine can read."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Collection, Iterator
from pathlib import Path

from sqlalchemy import make_url

from ldapgw.cli.check_result import CheckResult, CheckStatus
from ldapgw.cli.site import Site
from ldapgw.server.config import Config, read_settings


def check_secret_files(site: Site) -> Iterator[CheckResult]:
    """Check the configuration file, the environment, and the files with secrets that either of them names.

    The key files of the state directory and of ``[tls]`` are checked where their content is.
    """
    file, config, settings = Path(site.file), site.config, read_settings(os.environ)
    if file.exists():
        item = f"configuration {file}"
        secrets = _secrets_in_file(config, {setting.path for setting in settings})
        problem = readable_for_others(file, site.state_dir) if secrets else ""
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
        if problem := readable_for_others(secret, site.state_dir):
            yield CheckResult(CheckStatus.WARNING, f"secret {secret}", problem)


def readable_for_others(file: Path, state_dir: Path) -> str:
    """Who can use a file besides its owner and the gateway, and what to do; empty: nobody.

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

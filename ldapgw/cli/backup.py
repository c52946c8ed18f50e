# SPDX-License-Identifier: MIT
"""``backup``, ``restore``, ``rotate-key`` and ``database copy``: save, restore and move the database; renew its key."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ldapgw.cli.output import confirm, counted, hint, print_line, yes_option
from ldapgw.cli.root import examples
from ldapgw.cli.site import TEXT_FILE, Site, act, now, pass_site, read_file
from ldapgw.errors import UserError
from ldapgw.server.certificates import AuthorityFiles
from ldapgw.server.state_dir import BACKUP_NOTE, DATABASE_FILE, StateDirLock, lock_holder_pid
from ldapgw.store import activity, gateways, key_rotation
from ldapgw.store.activity import Act
from ldapgw.store.backup import (
    back_up,
    back_up_server,
    holds_anything,
    is_unfinished,
    mark_complete,
    mark_unfinished,
    restore_server,
    resume_copy,
)
from ldapgw.store.backup import restore as put_back
from ldapgw.store.copies import MAX_AGE_SECONDS
from ldapgw.store.database import Database
from ldapgw.store.engines import database_at
from ldapgw.store.files import is_missing, note_backup, prepare_state_dir, status_of
from ldapgw.store.key_rotation import open_with_kept_keys, rotate, rotate_configured
from ldapgw.store.secrets import new_key

# A backup in a folder is named after the time in UTC, so that sorting by name is sorting by time.
_DATED_NAME = "ldapgw-%Y%m%dT%H%M%SZ.db"
_DATED_PATTERN = re.compile(r"ldapgw-\d{8}T\d{6}Z\.db")
# The name of a backup that is not complete.  If such a file is older than `_INCOMPLETE_SECONDS`, the command that wrote
# the file was killed.
_INCOMPLETE_PATTERN = re.compile(_DATED_PATTERN.pattern + r"\.new")
_INCOMPLETE_SECONDS = 24 * 3600


@click.command(epilog=examples("ldapgw backup /var/backups/ldapgw.db", "ldapgw backup /var/backups/ldapgw --keep 14"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Treat FILE as a folder that only this gateway uses: add a backup with the time in its name, and delete all "
    "but the last N backups.",
)
@yes_option
@pass_site
def backup(site: Site, file: Path, keep: int | None, *, yes: bool) -> None:
    """Copy the database to FILE, even while the gateway runs.

    The command asks before it replaces an existing FILE, except with --keep. FILE does not contain the key. FILE still
    has the contacts of people who disconnect later, so delete FILE when you no longer need it.
    """
    database, folder = site.state.database_file, file
    if keep is not None:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be a folder for backups: {error.strerror}") from None
        file = folder / datetime.fromtimestamp(now(), UTC).strftime(_DATED_NAME)
    else:
        _confirm_replacement(file, yes=yes)
    if database is None:
        with site.open_store() as on_server:
            if not on_server.runs_beside:
                raise UserError(f"{site.server_name}: there is no database yet")
            back_up_server(on_server, file)
    elif is_missing(database):
        raise UserError(f"{database}: there is no database yet")
    else:
        back_up(database, file)
    try:
        note_backup(site.state.path / BACKUP_NOTE, now())
    except OSError as error:
        hint(f"{site.state.path}: cannot be written to, so the metrics do not have this backup: {error.strerror}")
    size = file.stat().st_size / (1 << 20)
    print_line(
        f"Saved the database to {file} ({size:.1f} MiB), without its key: keep a copy of {site.state.key_source.name} "
        "elsewhere."
    )
    own_authority = site.config.tls and AuthorityFiles.of(site.config.tls)
    if own_authority:
        print_line(f"Phones trust the authority in {own_authority.authority.parent}: keep a copy of this folder, too.")
    if keep is None:
        print_line(
            "The file keeps the contacts of people who disconnect later. Delete the file when you no longer need it."
        )
        return
    # The new backup is never deleted, even if the clock was once ahead and older backups therefore have later names.
    dated = (path for path in folder.iterdir() if _DATED_PATTERN.fullmatch(path.name))
    former = sorted(path for path in dated if path != file)
    surplus = former[: max(len(former) - keep + 1, 0)]
    for path in (*surplus, *filter(_is_left_incomplete, folder.iterdir())):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be deleted: {error.strerror}") from None
    left = counted(len(former) - len(surplus) + 1, "backup")
    print_line(f"{folder} has {left}; deleted: {len(surplus)}.")


def _confirm_replacement(file: Path, *, yes: bool) -> None:
    """Ask before a backup replaces an existing file.

    :raises UserError: when the answer is no, or when `file` is a folder, a pipe or a device such as ``/dev/stdout``,
        because a backup would replace any of these by a file.
    """
    status = status_of(file)
    if _is_open_file(file) or (status is not None and not stat.S_ISREG(status.st_mode)):
        raise UserError(f"{file}: is no regular file; name a file, or a folder with --keep")
    if os.path.lexists(file):
        confirm(f"This replaces the existing file {file}.", yes=yes)


def _is_open_file(file: Path) -> bool:
    """Return whether a path names an open file of a process, such as ``/dev/stdout``; the file may be of any kind."""
    is_link = os.path.islink(file)  # noqa: PTH114  `Path.is_symlink` fails if the name is too long
    names = (file.parent.resolve(), file.readlink() if is_link else file)
    return any(name.is_relative_to("/proc") for name in names)


def _is_left_incomplete(path: Path) -> bool:
    """Return whether a file was left by a backup that was killed."""
    return bool(_INCOMPLETE_PATTERN.fullmatch(path.name)) and now() - path.stat().st_mtime > _INCOMPLETE_SECONDS


@click.command(
    epilog=examples(
        "ldapgw restore /var/backups/ldapgw.db", "ldapgw restore /var/lib/ldapgw/ldapgw.db.before-restore --yes"
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@yes_option
@pass_site
def restore(site: Site, file: Path, *, yes: bool) -> None:
    """Restore a backup.

    Accounts, contacts and phones will be as they are in FILE. A running gateway continues with this data. The present
    database is kept for 30 days, in the folder of the database or, if the database is on a server, in state_dir.
    """
    confirm(f"This replaces all accounts, contacts and phones with those in {file}.", yes=yes)
    database = site.state.database_file
    prepare_state_dir(site.state.path)
    secret_box = open_with_kept_keys(site.state.key_source)
    if database is None:
        with closing(site.state.database()) as on_server:
            on_server.open()
            restore_server(file, on_server, secret_box, site.state.path / DATABASE_FILE)
    else:
        put_back(file, database, secret_box)
    # The cached books do not belong to the restored database.  A gateway even refuses to start if it has the
    # cached book of an account that is not in the database.  The books are deleted last, because the next start needs
    # the books if the restore fails.
    site.book_cache.prune()
    with site.open_store() as opened, opened.begin() as connection:
        activity.record(connection, *(act(tenant.name, Act.BACKUP_RESTORED) for tenant in site.config.tenant))
    running = lock_holder_pid(site.state.path) is not None
    ending = (
        "The gateway uses this data within 2 seconds, and builds all books again."
        if running
        else "Now start the gateway."
    )
    print_line(f"Restored {file}. {ending}")


# The command fails if a gateway has not published the new key after `_TELL_SECONDS`, or if a gateway does not use the
# new key after `_READY_SECONDS`.  Both times count from the beginning of the wait.  A gateway publishes its keys with
# each heartbeat, every three seconds.  After all gateways have the new key, each gateway uses the key within three
# heartbeats.
_TELL_SECONDS = 8.0
_READY_SECONDS = 20.0
_POLL_SECONDS = 0.5


@click.command(epilog=examples("ldapgw rotate-key"))
@pass_site
def rotate_key(site: Site) -> None:
    """Encrypt all secrets with a new key. A running gateway continues with the new key.

    Older backups need the old key, which stays in a file beside the key file, with the date in its name. If several
    gateways share the database, the command first adds the new key to the key file and asks you to copy the key file to
    the other gateways; then run the command again.

    If the key is in the setting encryption_key, first put a new key in front of the old key, and restart the gateway.
    """
    moment = now()
    if site.state.key_source.configured:
        _rotate_configured(site)
        return
    key_file = site.state.key_source.file
    with site.open_store() as database:
        key = _key_of_all_gateways(database, key_file) if database.runs_beside else new_key()
        count, former_key = rotate(database, key_file, key, datetime.fromtimestamp(moment, UTC).date())
        with database.begin() as connection:
            activity.record(connection, *(act(tenant.name, Act.KEY_ROTATED) for tenant in site.config.tenant))
            living = (
                [gateway for gateway in gateways.read_all(connection) if gateway.is_alive]
                if database.runs_beside
                else []
            )
    last = datetime.fromtimestamp(moment + MAX_AGE_SECONDS, UTC).date()
    print_line(f"Encrypted {count} secrets with a new key in {key_file}. Keep a copy of this file elsewhere.")
    print_line(
        f"The old key is in {former_key}. Delete that file after {last}, when the gateway has deleted its older copies "
        "of the database, and when you no longer have backups from before this rotation."
    )
    if len(living) > 1:
        hint(
            "The key files of the other gateways still have the old key beside the new key. "
            f"Copy {key_file} to these gateways again."
        )


def _rotate_configured(site: Site) -> None:
    """Encrypt all secrets with the first key of the setting ``encryption_key``.

    :raises UserError: when the setting has only one key, or a gateway does not have the first key.
    """
    source = site.state.key_source
    keys = source.read()
    if len(keys) == 1:
        raise UserError(
            "encryption_key: ldapgw cannot replace a key in a setting; put a new key in front of the present one, "
            "with a blank between them, restart the gateway, and run rotate-key again",
            is_setting=True,
        )
    with site.open_store() as database:
        if database.runs_beside:
            _wait_for_gateways(database, keys[0], "set the same encryption_key there, restart it")
        count = rotate_configured(database, keys)
        with database.begin() as connection:
            activity.record(connection, *(act(tenant.name, Act.KEY_ROTATED) for tenant in site.config.tenant))
    print_line(f"Encrypted {count} secrets with the first key of encryption_key. Now remove its other keys.")
    print_line("Keep a copy of the other keys as long as you have backups from before this rotation.")


def _key_of_all_gateways(database: Database, key_file: Path) -> bytes:
    """Make a new key, wait until all running gateways use the new key, and return the new key.

    :raises UserError: when a gateway does not have the key; the next run of the command continues with the same key.
    """
    key = key_rotation.prepare(database, key_file)
    _wait_for_gateways(database, key, f"copy {key_file} to its state_dir, readable only for its user")
    return key


def _wait_for_gateways(database: Database, key: bytes, advice: str) -> None:
    """Wait until all running gateways use a key.

    :param advice: the advice for a gateway that does not have the key.
    :raises UserError: when a gateway does not have the key, or does not use the key yet.
    """
    began = time.monotonic()
    while True:
        with database.begin_read() as connection:
            unready = key_rotation.find_unready(connection, key)
        if not unready:
            return
        if time.monotonic() - began > (_TELL_SECONDS if unready.lacking else _READY_SECONDS):
            break
        time.sleep(_POLL_SECONDS)
    if unready.lacking:
        raise UserError(
            f"the gateway on {_listed(unready.lacking)} does not have the new key yet: {advice}, and run "
            "ldapgw rotate-key again; until then all gateways use the old key"
        )
    raise UserError(
        f"the gateway on {_listed(unready.waiting)} has the new key and does not use it yet: run ldapgw rotate-key "
        "again"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(set(names)))


@click.group(epilog=examples("ldapgw database copy --to postgresql+psycopg://ldapgw@db.example.net/ldapgw"))
def database() -> None:
    """Move the gateway to another database."""


@database.command(
    epilog=examples(
        "ldapgw database copy --to postgresql+psycopg://ldapgw@db.example.net/ldapgw --password-file db.password",
        "ldapgw database copy --to sqlite:////var/lib/ldapgw/ldapgw.db",
    )
)
@click.option("--to", "url", metavar="URL", required=True, help="The database to copy to; it must be empty.")
@click.option(
    "--password-file",
    type=TEXT_FILE,
    help="A file with the password for the database in --to. Without it, PGPASSWORD or .pgpass can have the password.",
)
@pass_site
def copy(site: Site, url: str, password_file: TextIO | None) -> None:
    """Copy everything from the configured database to another database.

    Stop the gateway first. The configured database is not changed. If the command is interrupted, run it again to copy
    the rest. The gateway refuses a database that is only partly copied.
    """
    target_url = _url(url, password_file)
    file = site.state.database_file
    if file is not None and is_missing(file):
        raise UserError(f"{file}: there is no database yet")
    lock = StateDirLock(site.state.path)  # no gateway can start during the copy
    try:
        with site.open_store() as source, closing(database_at(target_url)) as target:
            if source.url == target.url:
                raise UserError(f"--to: {target.name} is the configured database")
            if file is None and not source.runs_beside:
                raise UserError(f"{site.server_name}: there is no database yet")
            target.unfinished_copy_of = source.name
            target.open()
            with target.begin() as connection:
                if not is_unfinished(connection):
                    if holds_anything(connection):
                        raise UserError(f"--to: {target.name} is in use; name an empty database")
                    mark_unfinished(connection)
            with source.begin_read() as snapshot:
                rows = resume_copy(snapshot, target, lambda table, count: print_line(f"✓ {table}: {count}"))
                with target.begin() as connection:
                    mark_complete(snapshot, connection)
    finally:
        lock.release()
    print_line(f"Copied {rows} rows to {target.name}, and compared each of them.")
    print_line("Now set database in the configuration to the URL of the new database, and start the gateway.")


def _url(url: str, password_file: TextIO | None) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise click.BadParameter("expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME") from None
    return parsed if password_file is None else parsed.set(password=read_file(password_file).rstrip("\r\n"))

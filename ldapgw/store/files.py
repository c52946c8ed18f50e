# SPDX-License-Identifier: MIT
"""The state directory and the files in it: private, replaced atomically, flushed to the disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldapgw.errors import StoreError


def prepare_state_dir(path: Path, *, create: bool = True) -> None:
    """Create the folder for the database and the key file, which only the gateway's user can read.

    A folder on a read-only disk is accepted, because the gateway can serve the stored contacts.

    :param create: whether to create the folder if it is missing.
    :raises StoreError: if the folder cannot be created, or everybody may read it, or this user may not use it.
    """
    check_state_dir(path, create=create)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"state_dir = {path}: cannot be created: {error.strerror}", is_setting=True) from None
    check_state_dir(path)


def check_state_dir(path: Path, *, create: bool = True) -> None:
    """Check the folder for the database and the key file, or the folder in which it would be created.

    :param create: whether a missing folder may be created.
    :raises StoreError: when the folder cannot be created, or everybody may read it, or this user may not use it.
    """
    problem = _folder_problem(path, create=create)
    if problem:
        raise StoreError(f"state_dir = {path}: {problem}", is_setting=True)


def _folder_problem(path: Path, *, create: bool) -> str:
    """Return the reason why the gateway cannot use a folder, or empty if the gateway can use the folder."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if not create:
            return (
                "is not there, and new_store is false; mount the disk with this folder, or set new_store = true to "
                "start with a new database"
            )
        nearest = nearest_folder(path)
        is_usable = os.access(nearest, os.W_OK | os.X_OK)
        return "" if is_usable else f"cannot be created: {nearest} cannot be written to by this user"
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_mode & 0o007:
        return f"everybody can read it; run: chmod 700 {path}"
    is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    is_usable = os.access(path, os.R_OK | os.X_OK | (0 if is_read_only else os.W_OK))
    return "" if is_usable else "cannot be written to by this user"


def nearest_folder(path: Path) -> Path:
    """Return the first existing path among `path` and the folders above it; an inaccessible path counts as existing."""
    return next(folder for folder in (path, *path.absolute().parents) if not is_missing(folder))


def is_missing(path: Path) -> bool:
    """Return whether a path does not exist; False if permissions hide the path, which another check reports."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def replace_file(path: Path, like: Path | None = None) -> Iterator[Path]:
    """Open a new file of mode 0600, which replaces `path` atomically at the end of the block.

    After an exception or a power cut `path` has either its old content or the complete new content.

    :param like: a file or folder whose owner the new file gets, or None for the current user.
    :raises OSError: if the file cannot be written; `path` is unchanged then.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield new
        if like is not None:
            copy_owner(new, like)
        flush_to_disk(new)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    flush_to_disk(path.parent)


def status_of(path: Path) -> os.stat_result | None:
    """Return the result of ``stat`` for a file, or None if the file is missing or cannot be examined."""
    try:
        return path.stat()
    except OSError:
        return None


def note_backup(note: Path, when: float) -> None:
    """Store the time of a backup as the modification time of an empty file in the state directory.

    :param when: the time of the backup, in seconds since the epoch.
    :raises OSError: when the file cannot be written.
    """
    with replace_file(note, like=note.parent) as new:
        os.utime(new, (when, when))


def backup_time(note: Path) -> float | None:
    """Return the time of the last backup, in seconds since the epoch, or None if the time is not known."""
    status = status_of(note)
    return status.st_mtime if status else None


@contextmanager
def acting_as_owner(folder: Path) -> Iterator[None]:
    """Act as the owner of a folder until the block ends, if root runs a command for a gateway of another user.

    The owner may have planted links in the folder.  A process that acts as the owner cannot write through such a link
    to files that the owner must not write.

    :raises OSError: when the folder cannot be examined.
    """
    status = folder.stat()
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def copy_owner(file: Path, like: Path) -> None:
    """Give a file the owner of another file or folder, if root runs a command for a gateway of another user."""
    if os.geteuid() == 0:
        status = like.stat()
        os.chown(file, status.st_uid, status.st_gid)


def flush_to_disk(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

# SPDX-License-Identifier: MIT
"""One gateway a state_dir: a locked file that names the process which holds it.

The kernel lets go of the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import select
from pathlib import Path

from ldapgw.errors import StoreError

NAME = "ldapgw.pid"
TRIES = 3
WAIT = 0.05


class Lock:
    """The right to serve from a state_dir; held until `release`.

    :raises StoreError: when another gateway holds it.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / NAME
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from None
        if not any(_is_locked(self._file) for _ in range(TRIES)):
            pid = _read(self._file)
            os.close(self._file)
            raise StoreError(f"state_dir = {state_dir}: another gateway runs on it (process {pid})")

    def name_process(self) -> None:
        """Write down which process holds it; to be done once twistd has forked."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another gateway have it."""
        os.close(self._file)


def holder(state_dir: Path) -> int | None:
    """The process id of the gateway that runs on a state_dir, None where none does."""
    try:
        file = os.open(state_dir / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(file)
    finally:
        os.close(file)
    return None


def _is_locked(file: int) -> bool:
    """Whether the lock was got; if not, it was waited for: a command that looks (`holder`) has it for a moment."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        select.select([], [], [], WAIT)
        return False
    return True


def _read(file: int) -> int:
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else 0

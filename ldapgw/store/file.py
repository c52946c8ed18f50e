# SPDX-License-Identifier: MIT
"""Files that are there whole or not at all, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace(path: Path, like: Path | None = None) -> Iterator[Path]:
    """A new file, mode 0600, which takes the place of `path` at the end of the block; not when an exception leaves it.

    :param like: it is to belong to whom this file or folder belongs to; None: it is ours.
    :raises OSError: when it cannot be written; `path` is as it was then.
    """
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield new
        if like is not None:
            own(new, like)
        flush(new)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    flush(path.parent)


def own(file: Path, like: Path) -> None:
    """Have a file belong to whom another one belongs to: root writes for a gateway that is another user."""
    if os.geteuid() == 0:
        status = like.stat()
        os.chown(file, status.st_uid, status.st_gid)


def flush(path: Path) -> None:
    """Have the disk keep a file, or that there are the files of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

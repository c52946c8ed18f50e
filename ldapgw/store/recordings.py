# SPDX-License-Identifier: MIT
"""Recordings of what phones send and get: which phones are recorded, until when, and whether the file is written.

A phone has one recording at most: a new one takes the place of the one before.  The files are not in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.store.tables import recording

# Phones that are recorded at a time: each takes memory.
MAX_RUNNING = 8


class NotBegun(StrEnum):
    """Why a recording was not begun."""

    RUNS = "runs"
    TOO_MANY = "too many"


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """The recording of a phone.  Times are seconds since the epoch.

    :ivar phone: the phone's name.
    :ivar is_plain: whether names and numbers are kept, without stand-ins.
    :ivar written_at: when the file was written; None: there is none yet.
    :ivar searches: how many searches the file has; None: there is no file yet.
    """

    phone: str
    begun_at: float
    until: float
    is_plain: bool
    written_at: float | None = None
    searches: int | None = None

    def is_running(self, now: float) -> bool:
        return self.written_at is None and self.until > now


def begin(connection: Connection, phone: str, now: float, until: float, *, is_plain: bool) -> NotBegun | None:
    """Have a phone recorded from now on, in place of an earlier recording.

    :param phone: its name, as it is stored.
    :returns: why it is not; None: it is.
    """
    running = [one.phone for one in read_all(connection) if one.is_running(now)]
    if phone in running:
        return NotBegun.RUNS
    if len(running) >= MAX_RUNNING:
        return NotBegun.TOO_MANY
    remove(connection, phone)
    connection.execute(insert(recording).values(phone=phone, begun_at=now, until=until, plain=is_plain))
    return None


def end(connection: Connection, phone: str, now: float) -> None:
    """End a recording that runs; the gateway then writes its file."""
    runs = (recording.c.phone == phone) & recording.c.written_at.is_(None) & (recording.c.until > now)
    connection.execute(update(recording).where(runs).values(until=now))


def set_written(connection: Connection, stored: StoredRecording, now: float, searches: int) -> bool:
    """Store that the file of a recording is written; False: the recording was removed, or replaced by another one."""
    same = (recording.c.phone == stored.phone) & (recording.c.begun_at == stored.begun_at)
    return connection.execute(update(recording).where(same).values(written_at=now, searches=searches)).rowcount > 0


def remove(connection: Connection, phone: str) -> None:
    """Delete a phone's recording; the gateway then deletes its file."""
    connection.execute(delete(recording).where(recording.c.phone == phone))


def remove_older(connection: Connection, than: float) -> None:
    """Delete the recordings whose files were written before a time."""
    connection.execute(delete(recording).where(recording.c.written_at < than))


def read(connection: Connection, phone: str) -> StoredRecording | None:
    """Read the recording of a phone."""
    return next((one for one in read_all(connection) if one.phone == phone), None)


def read_all(connection: Connection) -> tuple[StoredRecording, ...]:
    """Read all recordings, ordered by the phone's name."""
    rows = connection.execute(select(recording).order_by(recording.c.phone))
    return tuple(
        StoredRecording(row.phone, row.begun_at, row.until, row.plain, row.written_at, row.searches) for row in rows
    )

# SPDX-License-Identifier: MIT
"""Recordings of what phones send and get: which phones are recorded, until when, what was recorded, and the files.

A phone has one recording at most: a new one takes the place of the one before.  While a phone is recorded, each gateway
stores what it records as parts; afterwards one of them makes the file of all parts.  Parts and files are sealed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, true, update

from ldapgw.store.database import mark_erased
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import phone as phone_table
from ldapgw.store.tables import recording, recording_part

# Phones that are recorded at a time: each takes memory.
MAX_RUNNING = 8
# Seconds after the end until which a file is made as a rule.
OVERDUE_SECONDS = 60.0


class NotBegun(StrEnum):
    """Why a recording was not begun."""

    RUNS = "runs"
    TOO_MANY = "too many"


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """The recording of a phone.  Times are seconds since the epoch.

    :ivar phone: the phone's name.
    :ivar is_plain: whether names and numbers are kept, without stand-ins.
    :ivar has_file: whether the file is there.
    :ivar searches: how many searches the file has; None: there is no file yet.
    :ivar writer: the id of the gateway that writes the file, or has written it; None: none does yet.
    """

    phone: str
    begun_at: float
    until: float
    is_plain: bool
    has_file: bool = False
    searches: int | None = None
    writer: str | None = None

    def is_running(self, now: float) -> bool:
        return not self.has_file and self.until > now

    def is_overdue(self, now: float) -> bool:
        """Whether the file should be there, and perhaps never will be: no gateway may serve the phone any more."""
        return not self.has_file and self.until + OVERDUE_SECONDS <= now


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """What a gateway has recorded for a moment.

    :ivar gateway: its id.
    :ivar content: text that only the recorder knows.
    """

    gateway: str
    content: str = field(repr=False)


_TABLES = (recording.name, recording_part.name)
# Not `written_at`: a gateway of the version before sets that without a file.
_HAS_FILE = recording.c.content.is_not(None)
_COLUMNS = (
    recording.c.phone,
    recording.c.begun_at,
    recording.c.until,
    recording.c.plain,
    _HAS_FILE,
    recording.c.searches,
    recording.c.writer,
)


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
    runs = and_(recording.c.phone == phone, ~_HAS_FILE, recording.c.until > now)
    connection.execute(update(recording).where(runs).values(until=now))


def store_part(
    connection: Connection, secret_box: SecretBox, stored: StoredRecording, gateway_id: str, number: int, content: str
) -> None:
    """Store what a gateway has recorded, unless the recording was removed, or its file is written.

    :param number: grows with each part of the gateway; a part with the same number is replaced.
    """
    if connection.execute(select(recording.c.phone).where(_is_unwritten(stored))).first() is None:
        return
    key = {"phone": stored.phone, "gateway": gateway_id, "number": number}
    connection.execute(delete(recording_part).where(*(recording_part.c[name] == value for name, value in key.items())))
    connection.execute(insert(recording_part).values(**key, content=secret_box.seal(content)))


def claim(
    connection: Connection, secret_box: SecretBox, stored: StoredRecording, gateway_id: str, others: Collection[str]
) -> Sequence[RecordingPart] | None:
    """Have one gateway write the file of a recording, unless another one that lives does.

    :param others: the ids of the other gateways that live.
    :returns: all parts, those of each gateway in the order in which they were recorded; None: the gateway must not
        write the file.
    :raises UnfitKey: when a part was sealed under a key that this gateway does not have; the transaction must not be
        committed then, so that another gateway can claim the recording.
    """
    is_free = or_(recording.c.writer.is_(None), recording.c.writer.not_in(others))
    claimed = update(recording).where(_is_unwritten(stored), is_free).values(writer=gateway_id)
    if not connection.execute(claimed).rowcount:
        return None
    part = recording_part.c
    query = select(part.gateway, part.content).where(part.phone == stored.phone).order_by(part.gateway, part.number)
    return [RecordingPart(row.gateway, secret_box.unseal(row.content)) for row in connection.execute(query)]


def set_written(
    connection: Connection,
    secret_box: SecretBox,
    stored: StoredRecording,
    gateway_id: str,
    now: float,
    content: str,
    searches: int,
) -> bool:
    """Store the file of a recording, and delete its parts.

    :returns: False, and nothing is stored, when the recording was removed, replaced by another one, or claimed by
        another gateway.
    """
    written = (
        update(recording)
        .where(_is_unwritten(stored), recording.c.writer == gateway_id)
        .values(written_at=now, searches=searches, content=secret_box.seal(content))
    )
    if not connection.execute(written).rowcount:
        return False
    connection.execute(delete(recording_part).where(recording_part.c.phone == stored.phone))
    mark_erased(connection, _TABLES)
    return True


def read_file(connection: Connection, secret_box: SecretBox, phone: str, *, is_plain: bool = False) -> str | None:
    """Read the file of a phone's recording.

    :param is_plain: which kind of recording the caller may have.
    :returns: None: there is no file of this kind.
    :raises UnfitKey: when the file was sealed under a key that this gateway does not have.
    """
    query = select(recording.c.content).where(recording.c.phone == phone, recording.c.plain.is_(is_plain))
    content = connection.execute(query).scalar()
    return secret_box.unseal(content) if content is not None else None


def remove(connection: Connection, phone: str, begun_at: float | None = None) -> None:
    """Delete a phone's recording.

    :param begun_at: deletes only the recording that began then; None: whichever there is.
    """
    is_meant = recording.c.begun_at == begun_at if begun_at is not None else true()
    _delete(connection, recording.c.phone == phone, is_meant)


def give_up(connection: Connection, stored: StoredRecording, gateway_id: str) -> None:
    """Delete a recording whose file cannot be made, unless another gateway has claimed it."""
    _delete(connection, _is_unwritten(stored), recording.c.writer == gateway_id)


def remove_of_account(connection: Connection, account_id: int) -> None:
    """Delete the recordings of an account's phones."""
    phones = select(phone_table.c.name).where(phone_table.c.account_id == account_id)
    _delete(connection, recording.c.phone.in_(phones))


def remove_older(connection: Connection, than: float) -> None:
    """Delete the recordings that ended, or whose files were written, before a time."""
    _delete(connection, or_(recording.c.written_at < than, recording.c.until < than))


def read(connection: Connection, phone: str) -> StoredRecording | None:
    """Read the recording of a phone."""
    row = connection.execute(select(*_COLUMNS).where(recording.c.phone == phone)).first()
    return _stored(row) if row is not None else None


def read_all(connection: Connection) -> tuple[StoredRecording, ...]:
    """Read all recordings, ordered by the phone's name."""
    return tuple(map(_stored, connection.execute(select(*_COLUMNS).order_by(recording.c.phone))))


def _delete(connection: Connection, *which: ColumnElement[bool]) -> None:
    if connection.execute(delete(recording).where(*which)).rowcount:
        mark_erased(connection, _TABLES)


def _stored(row: Any) -> StoredRecording:
    return StoredRecording(*row)


def _is_unwritten(stored: StoredRecording) -> ColumnElement[bool]:
    """Whether a row is this recording, and not another one of the phone, and has no file yet."""
    is_same = and_(recording.c.phone == stored.phone, recording.c.begun_at == stored.begun_at)
    return and_(is_same, ~_HAS_FILE)

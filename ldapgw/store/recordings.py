# SPDX-License-Identifier: MIT
"""Recordings of the messages of phones: the recorded phones, the ends of recordings, and the gateways' encrypted parts.

A phone has at most one recording, because a new recording replaces an earlier recording.  A gateway that has recorded
searches stores its part when the recording ends or the gateway stops.  The file of a recording consists of all its
parts, one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, true, update

from ldapgw.store.database import mark_erased
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import further_account, recording, recording_part, value_of
from ldapgw.store.tables import phone as phone_table

# The largest number of phones that are recorded at the same time, because each recording takes memory.
MAX_RUNNING = 8
# The seconds after the end of a recording within which all gateways have usually stored their parts.
STORE_SECONDS = 5.0


class NotBegun(StrEnum):
    """The reason why a recording did not begin."""

    NO_PHONE = "no phone"
    RUNS = "runs"
    TOO_MANY = "too many"


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """The recording of a phone, a row of the table ``recording``.

    :ivar is_plain: whether the recording has the real names and numbers, without pseudonyms.
    :ivar searches: the number of searches in the parts, or None if there is no part yet.
    """

    phone: str
    begun_at: float
    until: float
    is_plain: bool
    searches: int | None = None

    def is_running(self, now: float) -> bool:
        return self.until > now


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """The part of a recording that one gateway has recorded.

    :ivar content: the part of the recording's file.
    """

    searches: int
    content: str = field(repr=False)


_TABLES = (recording.name, recording_part.name)
_IS_PART_OF_RECORDING = recording_part.c.phone == recording.c.phone
_QUERY = (
    select(*recording.c, func.sum(recording_part.c.searches).label("searches"))
    .outerjoin(recording_part, _IS_PART_OF_RECORDING)
    .group_by(*recording.c)
    .order_by(recording.c.phone)
)


def begin(connection: Connection, phone: str, now: float, until: float, *, is_plain: bool) -> NotBegun | None:
    """Begin the recording of a phone, and delete an earlier recording.

    :param phone: the phone's name, as it is stored.
    :returns: the reason why the recording did not begin, or None if the recording began.
    """
    if connection.execute(select(phone_table.c.name).where(phone_table.c.name == phone)).first() is None:
        return NotBegun.NO_PHONE
    running = [stored.phone for stored in read_all(connection) if stored.is_running(now)]
    if phone in running:
        return NotBegun.RUNS
    if len(running) >= MAX_RUNNING:
        return NotBegun.TOO_MANY
    remove(connection, phone)
    connection.execute(insert(recording).values(phone=phone, begun_at=now, until=until, plain=is_plain))
    return None


def end(connection: Connection, phone: str, now: float) -> bool:
    """End a running recording, and return whether a recording was running; the gateways then store their parts."""
    runs = and_(recording.c.phone == phone, recording.c.until > now)
    return connection.execute(update(recording).where(runs).values(until=now)).rowcount > 0


def store_part(
    connection: Connection, secret_box: SecretBox, stored: StoredRecording, gateway_id: str, part: RecordingPart
) -> bool:
    """Store the part of a recording that a gateway has written, in place of an earlier part of the same gateway.

    :returns: False if the recording was deleted or replaced; nothing is stored then.
    """
    is_same = and_(recording.c.phone == stored.phone, recording.c.begun_at == stored.begun_at)
    if connection.execute(select(recording.c.phone).where(is_same)).first() is None:
        return False
    key = {"phone": stored.phone, "gateway": gateway_id}
    connection.execute(delete(recording_part).where(*(recording_part.c[name] == value for name, value in key.items())))
    content = secret_box.seal(part.content)
    connection.execute(insert(recording_part).values(**key, searches=part.searches, content=content))
    return True


def read_file(connection: Connection, secret_box: SecretBox, phone: str, *, is_plain: bool = False) -> str | None:
    """Read the file of a phone's recording: the parts of all gateways.

    :param is_plain: whether the caller wants a recording with the real names and numbers, not a recording with
        pseudonyms.
    :returns: the file, or None if no part is stored, or `is_plain` does not fit the recording.
    :raises UnfitKey: if a part was encrypted with a key that this gateway does not have.
    """
    query = (
        select(recording_part.c.content)
        .join(recording, _IS_PART_OF_RECORDING)
        .where(recording.c.phone == phone, recording.c.plain.is_(is_plain))
        .order_by(recording_part.c.gateway)
    )
    return "".join(map(secret_box.unseal, connection.execute(query).scalars())) or None


def remove(connection: Connection, phone: str, begun_at: float | None = None) -> bool:
    """Delete a phone's recording, and return whether there was a recording.

    :param begun_at: the beginning of the recording to delete, or None to delete any recording of the phone.
    """
    is_meant = recording.c.begun_at == begun_at if begun_at is not None else true()
    return _delete(connection, recording.c.phone == phone, is_meant)


def remove_of_account(connection: Connection, account_id: int) -> None:
    further = select(further_account.c.phone).where(further_account.c.account_id == account_id)
    phones = select(phone_table.c.name).where(phone_table.c.account_id == account_id)
    _delete(connection, recording.c.phone.in_(phones.union(further)))


def remove_older(connection: Connection, than: float) -> None:
    """Delete the recordings that ended before a time."""
    _delete(connection, recording.c.until < than)


def read(connection: Connection, phone: str) -> StoredRecording | None:
    row = connection.execute(_QUERY.where(recording.c.phone == phone)).first()
    return value_of(StoredRecording, row, is_plain=row.plain) if row is not None else None


def read_all(connection: Connection) -> tuple[StoredRecording, ...]:
    """Read all recordings, ordered by the phone's name."""
    return tuple(value_of(StoredRecording, row, is_plain=row.plain) for row in connection.execute(_QUERY))


def _delete(connection: Connection, *which: ColumnElement[bool]) -> bool:
    is_deleted = connection.execute(delete(recording).where(*which)).rowcount > 0
    if is_deleted:
        mark_erased(connection, _TABLES)
    return is_deleted

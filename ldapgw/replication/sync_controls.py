# SPDX-License-Identifier: MIT
"""Converts controls and messages of content synchronization (RFC 4533) between BER and values.

A cookie has OpenLDAP's format: ``rid=001,csn=CSN``.  A replica stores only the CSN and makes the next cookie from the
CSN, so a cookie can hold nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ldapgw.ber import BOOLEAN, ENUMERATED, OCTET_STRING, SEQUENCE, SET, BerReader, boolean, integer, octets, tlv
from ldapgw.errors import ProtocolViolation
from ldapgw.ldap.messages import Control
from ldapgw.replication.replica_entry import Csn

SYNC_REQUEST: Final = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE: Final = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE: Final = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO: Final = "1.3.6.1.4.1.4203.1.9.1.4"

REFRESH_ONLY, REFRESH_AND_PERSIST = 1, 3

# The longest cookie that is read, in octets.  A cookie of OpenLDAP has one CSN of 40 octets for each server id.
MAX_COOKIE: Final = 4096

# RFC 4511 4.13: IntermediateResponse ::= [APPLICATION 25] SEQUENCE
_INTERMEDIATE_RESPONSE, _RESPONSE_NAME, _RESPONSE_VALUE = 0x79, 0x80, 0x81
_CONTROLS: Final = 0xA0
_REFRESH_DELETE, _REFRESH_PRESENT, _SYNC_ID_SET = 0xA1, 0xA2, 0xA3

_RID: Final = re.compile(r"rid=([0-9]{1,3})(?:,|$)", re.ASCII)
_CSNS: Final = re.compile(r"(?:^|,)csn=([^,]*)", re.ASCII)


class SyncState(IntEnum):
    """The states of an entry in a Sync State control (RFC 4533 2.3)."""

    PRESENT = 0
    ADD = 1
    MODIFY = 2
    DELETE = 3


@dataclass(frozen=True, slots=True)
class SyncCookie:
    """The content of a replica's cookie.

    :ivar replica_id: the replica's own number for this provider, which is sent back to the replica; empty if the cookie
        has no number.
    :ivar csn: the CSN up to which the replica has the changes of our server id, or None if the replica has no CSN.
    """

    replica_id: str = ""
    csn: Csn | None = None

    @classmethod
    def parse(cls, cookie: bytes) -> SyncCookie:
        """Read a cookie; without a CSN that can be read, the replica gets the whole content."""
        try:
            text = cookie[:MAX_COOKIE].decode("ascii")
        except UnicodeDecodeError:
            return cls()
        replica_id = _RID.match(text)
        # OpenLDAP separates the CSNs of several server ids by a semicolon.
        parts = [part for csns in _CSNS.findall(text) for part in csns.split(";")]
        found = [csn for part in parts if (csn := Csn.parse(part)) is not None]
        return cls(replica_id[1] if replica_id else "", max(found, default=None))

    def at(self, csn: Csn) -> bytes:
        """Return the cookie that this replica gets when it has all changes up to a CSN."""
        rid = f"rid={self.replica_id}," if self.replica_id else ""
        return f"{rid}csn={csn}".encode()


@dataclass(frozen=True, slots=True)
class SyncRequestValue:
    """A request for content synchronization (RFC 4533 2.2).

    :ivar persist: whether to send changes until the search is abandoned.
    :ivar cookie: the cookie, or None if the replica has no cookie.
    """

    persist: bool
    critical: bool
    cookie: bytes | None = field(default=None, repr=False)


def read_sync(control: Control) -> SyncRequestValue:
    """Decode the value of a Sync Request control.

    :raises ProtocolViolation: if the value is malformed.
    """
    value = BerReader.over(control.value or b"")
    content = value.enter(SEQUENCE, "syncRequestValue")
    value.finish("syncRequestValue")
    mode = content.integer("mode", ENUMERATED)
    if mode not in (REFRESH_ONLY, REFRESH_AND_PERSIST):
        raise ProtocolViolation("mode: unknown")
    cookie = content.octets("cookie") if content.peek() == OCTET_STRING else None
    if content.peek() == BOOLEAN:
        # The hint is ignored, because a replica whose cookie is unknown always gets the whole content.
        content.boolean("reloadHint")
    content.finish("syncRequestValue")
    return SyncRequestValue(mode == REFRESH_AND_PERSIST, control.critical, cookie)


def sync_entry(message_id: int, entry: bytes, state: SyncState, entry_uuid: bytes, cookie: bytes | None) -> bytes:
    """Encode the LDAPMessage of an entry with a Sync State control (RFC 4533 2.3).

    :param entry: an encoded SearchResultEntry.
    """
    value = integer(state, ENUMERATED) + octets(entry_uuid) + (octets(cookie) if cookie is not None else b"")
    control = octets(SYNC_STATE.encode()) + octets(tlv(SEQUENCE, value))
    content = integer(message_id) + entry + tlv(_CONTROLS, tlv(SEQUENCE, control))
    return tlv(SEQUENCE, content)


def sync_done(cookie: bytes, *, refresh_deletes: bool) -> Control:
    """Make the Sync Done control (RFC 4533 2.4).

    :param refresh_deletes: whether deleted entries were named; otherwise the replica deletes all entries that were not
        sent.
    """
    deletes = boolean(True) if refresh_deletes else b""  # noqa: FBT003 - the boolean is the value to encode
    return Control(SYNC_DONE, value=tlv(SEQUENCE, octets(cookie) + deletes))


def refresh_end(message_id: int, cookie: bytes, *, refresh_deletes: bool) -> bytes:
    """Encode the message between refresh and persist stage, refreshDelete or refreshPresent (RFC 4533 2.5)."""
    return _information(message_id, tlv(_REFRESH_DELETE if refresh_deletes else _REFRESH_PRESENT, octets(cookie)))


def deleted_entries(message_id: int, uuids: Iterable[bytes]) -> bytes:
    """Encode the message that names deleted entries in the refresh stage, syncIdSet (RFC 4533 2.5)."""
    names = tlv(SET, b"".join([octets(entry_uuid) for entry_uuid in uuids]))
    return _information(message_id, tlv(_SYNC_ID_SET, boolean(True) + names))  # noqa: FBT003 - refreshDeletes


def _information(message_id: int, value: bytes) -> bytes:
    response = octets(SYNC_INFO.encode(), _RESPONSE_NAME) + octets(value, _RESPONSE_VALUE)
    content = integer(message_id) + tlv(_INTERMEDIATE_RESPONSE, response)
    return tlv(SEQUENCE, content)

# SPDX-License-Identifier: MIT
"""The record of a stored person: a contact, or the reason why the person is skipped.

Child processes make the records, so this module does not import SQLAlchemy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from typing import Self

import msgspec

from ldapgw.contact import Contact, Flaw

# The reasons why a person is skipped although the person has a contact: the contact lacks the labels of the
# configuration, or has an excluded label.
LEFT_OUT_BY_LABEL = NO_LABEL, EXCLUDED_LABEL = "label", "excluded_label"

# U+FFFD, the replacement for an unreadable character, in UTF-8.
_REPLACEMENT = b"\xef\xbf\xbd"

_encoder = msgspec.json.Encoder()


class ContactRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stored person, a row of the table ``contact``: a contact, or the reason why the person is skipped.

    There may be 50,000 records.  The garbage collector, which stops all threads, need not track the records, because
    the records contain no reference cycles (``gc=False``).

    :ivar digest: digest of the record without Google's time of change, because this time also changes with details that
        phones never get.
    :ivar flaws: the values of `Flaw` that the person has, separated by blanks.
    """

    uid: str
    source_id: str
    content: bytes | None
    skipped: str
    numbers: int
    unreadable: int
    digest: bytes
    photo_url: str = ""
    flaws: str = ""

    def __repr__(self) -> str:
        """Omit the contact, which a log must not contain."""
        return f"<ContactRecord {self.uid}>"

    @classmethod
    def from_contact(
        cls,
        uid: str,
        source_id: str,
        contact: Contact | None,
        skipped: str = "",
        unreadable: int = 0,
        photo_url: str = "",
        flaws: Collection[Flaw] = (),
    ) -> Self:
        """Encode a contact, or the reason why the person is skipped."""
        without_time = replace(contact, updated=0.0) if contact else None
        content, numbers = (_encoder.encode(contact), len(contact.phones)) if contact else (None, 0)
        if content is not None and _REPLACEMENT in content:
            flaws = {*flaws, Flaw.CHARACTERS}
        if contact is not None and contact.numbers_not_understood:
            flaws = {*flaws, Flaw.NUMBERS}
        flaw_text = " ".join(sorted(flaws))
        often_empty = filter(None, (photo_url, flaw_text))
        digested = _encoder.encode((source_id, without_time, skipped, unreadable, *often_empty))
        digest = hashlib.blake2b(digested, digest_size=16).digest()
        return cls(uid, source_id, content, skipped, numbers, unreadable, digest, photo_url, flaw_text)

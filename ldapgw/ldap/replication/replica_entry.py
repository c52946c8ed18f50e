# SPDX-License-Identifier: MIT
"""The entries of a replica (contacts, containers and logins of phones), and the change sequence numbers (CSN).

A replica matches values literally.  Depending on the configuration, entries get more values: each number also in E.164
and in the national format, and each name also in the variants of `ldapgw.directory.name_folding`.  The access rules of
the replica need further values.  The entry of a container says with whom the container is shared.  The login of a phone
lists the books that the phone may see besides the books shared with everybody.

A replica gets only values that have the attribute's syntax, and no value twice.  Otherwise, OpenLDAP would refuse the
entry, and ask for the same entry again and again.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, NamedTuple, Self

from ldapgw import ber
from ldapgw.directory import name_folding
from ldapgw.directory.access import ReplicaAccess
from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.entry import SEARCH_RESULT_ENTRY, Attributes, Entry, NumberFormatter
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import decoded, encoded_set, octets_of
from ldapgw.directory.passwords import ldap_password
from ldapgw.directory.schema import ATTRIBUTE_TYPES, NUMBER_TYPES, AttributeType, Family
from ldapgw.numbers.phone_number import NumberFormat

# The server id.  OpenLDAP uses 1 to 4095 for servers that accept writes, and 0 for a server without an id.
SERVER_ID: Final = 1

_PATTERN: Final = re.compile(r"([0-9]{14})\.([0-9]{6})Z#([0-9a-f]{6})#([0-9a-f]{3})#([0-9a-f]{6})", re.ASCII)
_MICROSECONDS: Final = 1_000_000


class Csn(NamedTuple):
    """A change sequence number of our server id, in the format of OpenLDAP's entryCSN and cookies.

    ``20261125013000.123456Z#0123ab#001#cdef45`` is a time in microseconds, a change count, a server id, and a
    modification number.  The gateway orders changes only by their times.  The change count and the modification number
    hold 48 bits that identify the content after the change.  All gateways of a site share one server id, because a
    replica may take its next changes from another gateway.

    :ivar microseconds: microseconds since the epoch.
    :ivar state: the 48 bits that identify the content.
    """

    microseconds: int
    state: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a CSN; return None if the CSN is malformed, or has another server id."""
        matched = _PATTERN.fullmatch(text)
        if matched is None or int(matched[4], 16) != SERVER_ID:
            return None
        try:
            moment = datetime.strptime(matched[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        microseconds = int(moment.timestamp()) * _MICROSECONDS + int(matched[2])
        return cls(microseconds, int(matched[3], 16) << 24 | int(matched[5], 16))

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.microseconds // _MICROSECONDS, UTC)
        fraction = self.microseconds % _MICROSECONDS
        high, low = self.state >> 24, self.state & 0xFFFFFF
        return f"{moment:%Y%m%d%H%M%S}.{fraction:06}Z#{high:06x}#{SERVER_ID:03x}#{low:06x}"


# The attributes that hold names.  Each of these attributes gets at most `_MAX_FOLDED` folded variants.
_NAMES: Final = ("cn", "givenName", "sn")
_MAX_FOLDED: Final = 4
_NUMBER_FORMATS: Final = (NumberFormat.E164, NumberFormat.NATIONAL)
_NUMBER_TYPES: Final = {kind.name: kind for kind in NUMBER_TYPES}
_USER_TYPES: Final = {kind.name: kind for kind in ATTRIBUTE_TYPES if not kind.operational}
# Patterns of the values that OpenLDAP accepts for a syntax (RFC 4517 3.3).  The key is the last number of the syntax's
# OID.
_PRINTABLE: Final = rb"[A-Za-z0-9'()+,./:?= -]"
_VALID: Final = {
    "11": re.compile(_PRINTABLE + rb"{2}"),  # Country String
    "15": re.compile(rb".+", re.DOTALL),  # Directory String
    "22": re.compile(_PRINTABLE + rb"+"),  # Facsimile Telephone Number
    "26": re.compile(rb"[\x00-\x7f]+"),  # IA5 String
    "28": re.compile(rb"\xff\xd8.*\xff\xd9", re.DOTALL),  # JPEG
    "41": re.compile(rb"(?:[^\\]|\\24|\\5[Cc])+", re.DOTALL),  # Postal Address
    "50": re.compile(_PRINTABLE + rb"+"),  # Telephone Number
}
# The operational attributes that are replicated; a replica makes the other operational attributes itself.
_OPERATIONAL: Final = ("structuralObjectClass", "entryUUID", "createTimestamp", "modifyTimestamp")
# The timestamps of entries for which the gateway knows no times; without timestamps, a replica would use the time of
# storing the entry.
_UNKNOWN_TIMES: Final = dict.fromkeys(("createTimestamp", "modifyTimestamp"), encoded_set((b"19700101000000Z",)))

# The number of bits of a digest.  The digest of a content is the sum of the digests of its settings and entries.
DIGEST_BITS: Final = 48


class ReplicaEncoding(NamedTuple):
    """The values that decide, besides the entries themselves, how a replica's entries are encoded.

    :ivar wanted: the names of the user attributes to encode, in lower case, or None for all attributes.
    """

    context: NamingContext
    access: ReplicaAccess
    wanted: frozenset[str] | None = None


class ReplicaEntry:
    """The entry of a contact in a replica, and the base class of all other entries.

    :ivar entry: the entry in the gateway's directory.
    """

    __slots__ = ("_own", "entry")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self._own: Attributes | None = None

    @property
    def depth(self) -> int:
        """Return a number that is greater for children than for parents."""
        return 9

    def entry_uuid(self) -> bytes:
        """Return the 16 octets of the entry's entryUUID, which is the syncUUID too."""
        return bytes.fromhex(self._own_attributes()["entryUUID"][0].decode().replace("-", ""))

    def dn(self) -> bytes:
        return octets_of(self.entry.dn)

    def digest(self) -> int:
        """Return a digest, of `DIGEST_BITS` bits, of the data from which the entry is encoded."""
        values, _, _ = self.entry.to_record()
        return digest_of(self._place(), values)

    def encode(self, encoding: ReplicaEncoding, csn: Csn) -> bytes:
        """Encode the entry as a SearchResultEntry."""
        sets = self.entry.sets()
        if encoding.access.extra_values:
            sets |= _more_numbers(self.entry, sets, encoding.context)
            sets |= _more_names(sets)
        return _encode(self.dn(), _acceptable(sets, encoding.wanted), self._operational().items(), csn)

    def _place(self) -> bytes:
        parent = self.entry.parent
        return octets_of(parent.uuid_namespace) + b"\0" + parent.entry_dn(b"")

    def _own_attributes(self) -> Attributes:
        if self._own is None:
            self._own = self.entry.operational()
        return self._own

    def _operational(self) -> dict[str, bytes]:
        own = self._own_attributes()
        return _UNKNOWN_TIMES | {name: encoded_set(own[name]) for name in _OPERATIONAL if name in own}


class ContainerEntry(ReplicaEntry):
    """The entry of a tenant, a book or a label.

    :ivar sharing: the value of businessCategory, which says with whom the container is shared; empty without such a
        value.
    """

    __slots__ = ("_depth", "sharing")

    def __init__(self, entry: Entry, depth: int, sharing: bytes) -> None:
        super().__init__(entry)
        self._depth = depth
        self.sharing = sharing

    @property
    def depth(self) -> int:
        return self._depth

    def digest(self) -> int:
        values, _, _ = self.entry.to_record()
        return digest_of(self.dn(), values, self.sharing)

    def encode(self, encoding: ReplicaEncoding, csn: Csn) -> bytes:
        attributes = _acceptable(self.entry.sets(), encoding.wanted)
        if self.sharing and _is_wanted("businessCategory", encoding.wanted):
            attributes.append(("businessCategory", encoded_set((self.sharing,))))
        return _encode(self.dn(), attributes, self._operational().items(), csn)


class LoginEntry(ReplicaEntry):
    """The login of a phone, as an entry of the object class device, or the container of all logins.

    :ivar access: the login, or None for the container.
    :ivar books: the DNs of books that the phone may see, besides books that are shared with everybody.
    """

    __slots__ = ("_dn", "_uuid", "access", "books")

    def __init__(
        self, parent: Entry, tenant: str, dn: bytes, access: PhoneAccess | None, books: tuple[bytes, ...]
    ) -> None:
        super().__init__(parent)
        name = "" if access is None else f"/{access.name.lower()}"
        # The UUID differs from the UUIDs of books, because the hashed text has a blank, and the keys of books have no
        # blanks.
        self._uuid = uuid.uuid5(uuid.NAMESPACE_OID, f"ldapgw/{tenant}/phones of{name}").bytes
        self._dn = dn
        self.access = access
        self.books = books

    @property
    def depth(self) -> int:
        return 1 if self.access is None else 2

    def entry_uuid(self) -> bytes:
        return self._uuid

    def dn(self) -> bytes:
        return self._dn

    def digest(self) -> int:
        return digest_of(self._dn, *self._passwords(), *self.books)

    def _passwords(self) -> tuple[bytes, ...]:
        """Return the values of userPassword; each value is the hash of a valid password (RFC 4519 2.41)."""
        access = self.access
        hashes = () if access is None else (access.password_hash, access.next_password_hash)
        return tuple(ldap_password(stored) for stored in hashes if stored)

    def encode(self, encoding: ReplicaEncoding, csn: Csn) -> bytes:
        classes = [b"top"]
        attributes: list[tuple[str, tuple[bytes, ...]]] = []
        if self.access is None:
            structural = b"organizationalUnit"
            attributes.append(("ou", (b"phones",)))
        else:
            structural = b"device"
            attributes.append(("cn", (self.access.name.encode(),)))
            if _is_wanted("userPassword", encoding.wanted):
                classes.append(b"simpleSecurityObject")
                attributes.append(("userPassword", self._passwords()))
            else:
                # OpenLDAP lets the gateway check the password, and binds to the gateway with the DN in `owner`.
                attributes.append(("owner", (self._dn,)))
            if self.books and _is_wanted("seeAlso", encoding.wanted):
                attributes.append(("seeAlso", self.books))
        attributes.insert(0, ("objectClass", (*classes, structural)))
        operational = {
            "structuralObjectClass": encoded_set((structural,)),
            "entryUUID": encoded_set((str(uuid.UUID(bytes=self._uuid)).encode(),)),
            **_UNKNOWN_TIMES,
        }
        return _encode(self._dn, [(name, encoded_set(values)) for name, values in attributes], operational.items(), csn)


def digest_of(*parts: bytes) -> int:
    """Return a digest, of `DIGEST_BITS` bits, of octet strings and their lengths.

    Because of the lengths, the strings ``ab`` and ``c`` have another digest than the strings ``a`` and ``bc``.
    """
    hashed = blake2b(digest_size=DIGEST_BITS // 8)
    for part in parts:
        hashed.update(len(part).to_bytes(4, "big") + part)
    return int.from_bytes(hashed.digest(), "big")


def _is_wanted(name: str, wanted: frozenset[str] | None) -> bool:
    return wanted is None or name == "objectClass" or name.lower() in wanted


def _more_numbers(entry: Entry, sets: dict[str, bytes], context: NamingContext) -> dict[str, bytes]:
    """Encode the attributes that hold numbers, with the numbers in other formats after the existing values."""
    formatters = [
        NumberFormatter(form, context.number_format, context.region, context.outside_line)
        for form in _NUMBER_FORMATS
        if form is not context.number_format
    ]
    more: dict[str, bytes] = {}
    for name, kind in _NUMBER_TYPES.items():
        if name in sets:
            values, text = decoded(sets[name]), entry.search_text(kind) or ""
            formatted = [value for formatter in formatters for value in formatter.values(values, text)]
            more[name] = encoded_set(dict.fromkeys((*values, *formatted)))
    return more


def _more_names(sets: dict[str, bytes]) -> dict[str, bytes]:
    """Encode the attributes that hold names, with folded values after the existing values."""
    more: dict[str, bytes] = {}
    for name in _NAMES:
        if name in sets:
            values = decoded(sets[name])
            folded = list(_folded(values))[:_MAX_FOLDED]
            if folded:
                more[name] = encoded_set((*values, *folded))
    return more


def _folded(values: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the folded variants of names, without variants that differ from a name only by case."""
    known = {value.decode().lower() for value in values}
    for value in values:
        for variant in name_folding.variants(value.decode()):
            if variant and variant not in known:
                known.add(variant)
                yield octets_of(variant)


def _acceptable(sets: dict[str, bytes], wanted: frozenset[str] | None) -> list[tuple[str, bytes]]:
    """Return the wanted attributes, with only the values that OpenLDAP accepts."""
    found: list[tuple[str, bytes]] = []
    for name, encoded in sets.items():
        if _is_wanted(name, wanted):
            kind = _USER_TYPES[name]
            values = decoded(encoded)
            valid = _VALID.get(kind.comparison.syntax.rpartition(".")[2])
            accepted = [value for value in values if valid is None or valid.fullmatch(value)]
            if len(accepted) > 1:
                first: dict[str, bytes] = {}
                for value in accepted:
                    first.setdefault(_equality_key(kind, value), value)
                accepted = list(first.values())
            if accepted:
                found.append((name, encoded if len(accepted) == len(values) else encoded_set(accepted)))
    return found


def _equality_key(kind: AttributeType, value: bytes) -> str:
    """Return a key that is the same for all values that OpenLDAP treats as equal (RFC 4517 4.2).

    Some values that OpenLDAP treats as different have the same key, too.
    """
    text = value.decode()
    match kind.comparison.family:
        case Family.NUMBER:
            return text.replace(" ", "").replace("-", "")
        case Family.EXACT:
            return " ".join(unicodedata.normalize("NFKC", text).split())
        case _:
            # U+0130 has a lower case of two characters in Unicode, and of one character in OpenLDAP.
            folded = text.replace("\u0130", "i").casefold()
            words = " ".join(unicodedata.normalize("NFKC", folded).split())
            # Blanks around the lines of a postal address do not count.
            return words.replace(" $", "$").replace("$ ", "$")


def _encode(
    dn: bytes, attributes: Iterable[tuple[str, bytes]], operational: Iterable[tuple[str, bytes]], csn: Csn
) -> bytes:
    all_attributes = (*attributes, *operational, ("entryCSN", encoded_set((str(csn).encode(),))))
    content = [ber.tlv(ber.SEQUENCE, ber.octets(name.encode()) + values) for name, values in all_attributes]
    return ber.tlv(SEARCH_RESULT_ENTRY, ber.octets(dn) + ber.tlv(ber.SEQUENCE, b"".join(content)))

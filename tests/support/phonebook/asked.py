# SPDX-License-Identifier: MIT
"""Requests as hypothesis makes them: filters of all kinds and depths, bases, scopes, attribute selections, limits.

Values are drawn from what the tree holds, then spoilt in the ways in which people and programs spoil them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from ldapgw.directory.dit import Dit
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Scope,
    SearchRequest,
    Substrings,
)
from ldapgw.directory.schema import ATTRIBUTE_TYPES, MATCHING_RULES
from ldapgw.directory.search import search
from tests.support.phonebook.awkward import BASE, VIEWER

# Attributes that entries have, with all their names; those of the root DSE and the subschema are in no entry here.
SERVED = (
    *("objectClass", "cn", "displayName", "givenName", "sn", "initials", "o", "ou", "title", "uid", "mail", "dc"),
    *("telephoneNumber", "mobile", "homePhone", "facsimileTelephoneNumber", "pager"),
    *("street", "l", "st", "postalCode", "postalAddress", "c", "labeledURI", "name"),
    *("entryUUID", "entryDN", "createTimestamp", "modifyTimestamp", "structuralObjectClass", "hasSubordinates"),
    "subschemaSubentry",
)
_NAMES = tuple(
    name for kind in ATTRIBUTE_TYPES if kind.name in SERVED for name in (kind.name, kind.oid, *kind.other_names)
)  # fmt: skip
UNKNOWN = ("nosuch", "cn;lang-de", "cn;x-none", "1.2.3.4", "telephoneNumber;lang-en-GB", "CN;x-a;x-b")
# No attribute descriptions at all (RFC 4512 2.5).
MALFORMED = ("", "c n", "2.5.4.", "cn;", "-cn", "cn_", "cn;a b", "ä")
_CASES = (str, str, str.upper, str.lower)

CLASSES = ("top", "person", "inetOrgPerson", "organizationalUnit", "ORGANIZATION", "dcObject", "2.5.6.6", "2.5.6.14",
           "device", "nosuch", "1.2.3", "", "p erson")  # fmt: skip
_DNS = (
    *(BASE, "DC=Acme , dc=EXAMPLE", "cn=nobody", "cn=subschema", "", "nodn", "uid=c1,ou=nobody," + BASE),
    "domainComponent=acme,0.9.2342.19200300.100.1.25=example",
)
_TIMES = ("20231115221320Z", "20200101000000Z", "202311152213Z", "20231115231320+0100", "20231115221320.0Z", "2023",
          "20231315000000Z", "20231115221320", "now", "")  # fmt: skip
_ODD = (b"", b" ", b"  ", b"*", b"a", b"\xff\xfe", b"\xc3", b"\x00", "\u00a0".encode(), b"TRUE", b"FALSE", b"true",
        b"1", b"\xe2\x80\x8b", "ﬁne 123".encode(), "e\u0301".encode(), b"a" * 300)  # fmt: skip


@dataclass(frozen=True)
class Held:
    """The content of the tree.

    :ivar values: of each attribute, by its name.
    :ivar names: of entries.
    """

    values: dict[str, tuple[str, ...]]
    names: tuple[str, ...]


def held(dit: Dit) -> Held:
    """Take the values out of a tree."""
    everything = SearchRequest(BASE, Scope.WHOLE_SUBTREE, Present("objectClass"))
    entries = [entry for entry in search(dit, VIEWER, everything) if entry is not None]
    values = {
        name: tuple(dict.fromkeys(value.decode() for entry in entries for value in entry.attribute(name)))
        for name in SERVED
    }
    values["objectClass"] += CLASSES
    values["structuralObjectClass"] += CLASSES
    values["entryDN"] += _DNS
    values["subschemaSubentry"] += _DNS
    values["createTimestamp"] += _TIMES
    values["modifyTimestamp"] += _TIMES
    values["entryUUID"] += (*map(str.upper, values["entryUUID"][:3]), "0", "{urn}")
    return Held(values, tuple(entry.dn for entry in entries))


STRANGE_BASES = ("", " ", "dc=nowhere", "nodn", "dc=acme", "dc=example", ",", BASE + ",", "cn=x\\", "=", "ou=" + BASE,
                 "nosuch=x," + BASE, "uid=,ou=x," + BASE, "cn=a\\zz," + BASE, "cn=#04," + BASE)  # fmt: skip

# Known names in some case, mostly.
DESCRIPTIONS = st.sampled_from(
    [change(name) for name in _NAMES for change in _CASES] + [*UNKNOWN, *MALFORMED] * (len(_NAMES) // 20)
)


def _swap(text: str) -> str:
    """The other case of each letter that has exactly one."""
    return "".join(sign.swapcase() if sign.swapcase().swapcase() == sign else sign for sign in text)


def _hyphens(text: str) -> str:
    return "-".join(text)


SPOILT = (
    *[lambda text: text] * 6,
    _swap,
    str.upper,
    lambda text: f"  {text} ",
    lambda text: text.replace(" ", "   "),
    lambda text: text.replace(" ", ""),
    lambda text: text[:-1],
    lambda text: text[1:],
    lambda text: text + "x",
    lambda text: text[: len(text) // 2],
    lambda text: text[::-1],
    lambda text: text.replace("$", " $  ").replace("\\5C", "\\5c"),
    _hyphens,
)  # fmt: skip


class Asked:
    """Strategies over what one tree holds."""

    def __init__(self, found: Held) -> None:
        self._held = found
        every = tuple(dict.fromkeys(value for values in found.values.values() for value in values))
        self._anything = st.sampled_from(every)
        self.terms = cache(self._terms)
        self._of = {
            name.lower(): st.sampled_from(values) if values else self._anything
            for kind in ATTRIBUTE_TYPES
            if (values := found.values.get(kind.name)) is not None
            for name in (kind.name, kind.oid, *kind.other_names)
        }

    def texts(self, attribute: str) -> st.SearchStrategy[str]:
        """A value, mostly of this attribute, mostly as it is."""
        own = self._of.get(attribute.partition(";")[0].lower(), self._anything)
        return st.builds(lambda text, spoil: spoil(text), _mostly(own, self._anything), st.sampled_from(SPOILT))

    def octets(self, attribute: str) -> st.SearchStrategy[bytes]:
        """As `texts`, and now and then anything at all."""
        texts = self.texts(attribute).map(str.encode)
        return _mostly(texts, st.one_of(st.sampled_from(_ODD), st.text(max_size=3).map(_encoded)))

    def parts(self, attribute: str) -> st.SearchStrategy[Substrings]:
        """A substring assertion: pieces of one value, mostly, or of two."""

        def cut(first: str, second: str, cuts: Sequence[float], stars: tuple[bool, bool], mixed: bool) -> Substrings:
            at = sorted(round(cut * len(first)) for cut in cuts)
            pieces = [first[a:b] for a, b in zip([0, *at], [*at, len(first)], strict=True)]
            if mixed and pieces:
                pieces[-1] = second[: 1 + len(second) // 2]
            kept = [piece.encode() for piece in pieces[::2]] or [b"x"]
            initial = kept.pop(0) if stars[0] and kept else None
            final = kept.pop() if stars[1] and kept else None
            if initial is None and final is None and not kept:
                kept = [first[:2].encode()]
            return Substrings(attribute, initial or None, tuple(filter(None, kept)) or (b"a",), final or None)

        return st.builds(
            cut,
            self.texts(attribute),
            self.texts(attribute),
            st.lists(st.floats(0, 1), max_size=4),
            st.tuples(st.booleans(), st.booleans()),
            st.sampled_from((False, False, False, True)),
        )

    def _terms(self, attribute: str) -> st.SearchStrategy[Filter]:
        """One term on an attribute."""
        values = self.octets(attribute)
        rules = st.sampled_from((*(rule.name for rule in MATCHING_RULES), "2.5.13.2", "CASEEXACTMATCH", "nosuchMatch",
                                 "1.2.3"))  # fmt: skip
        some = st.one_of(st.none(), rules)
        return st.one_of(
            st.just(Present(attribute)),
            values.map(lambda value: Equality(attribute, value)),
            values.map(lambda value: GreaterOrEqual(attribute, value)),
            values.map(lambda value: LessOrEqual(attribute, value)),
            values.map(lambda value: Approximate(attribute, value)),
            self.parts(attribute),
            st.builds(Extensible, some, st.just(attribute), values, st.booleans()),
            st.builds(Extensible, rules, st.none(), values, st.booleans()),
        )

    def filters(self) -> st.SearchStrategy[Filter]:
        """A filter: one term, or several under and, or, not."""
        terms = DESCRIPTIONS.flatmap(self.terms)
        return st.recursive(
            terms,
            lambda inner: st.one_of(
                st.lists(inner, max_size=3).map(lambda several: And(tuple(several))),
                st.lists(inner, max_size=3).map(lambda several: Or(tuple(several))),
                inner.map(Not),
            ),
            max_leaves=6,
        )

    def denied(self) -> st.SearchStrategy[Filter]:
        """The opposite of one term."""
        return DESCRIPTIONS.flatmap(self.terms).map(Not)

    def bases(self) -> st.SearchStrategy[str]:
        """The DN of an entry in some spelling, or of none."""
        names = st.sampled_from(self._held.names)
        others = st.one_of(
            names,
            names.map(_swap),
            names.map(lambda name: name.replace(",", " , ").replace("=", " = ")),
            names.map(lambda name: "uid=nobody," + name),
            names.map(lambda name: "ou=a,uid=b+cn=c," + name),
            st.sampled_from(STRANGE_BASES),
        )
        return st.sampled_from((True, True, False)).flatmap(lambda usual: st.just(BASE) if usual else others)

    def compares(self) -> st.SearchStrategy[tuple[str, str, bytes]]:
        """Entry, attribute description and value of a Compare."""
        names = st.sampled_from(self._held.names)
        nobody = names.map(lambda name: "uid=nobody," + name)
        others = st.one_of(names.map(_swap), nobody, st.sampled_from(("dc=nowhere", ",", "nodn")))
        entries = _mostly(names, others)
        return DESCRIPTIONS.flatmap(lambda name: st.tuples(entries, st.just(name), self.octets(name)))

    def selections(self) -> st.SearchStrategy[tuple[str, ...]]:
        """An attribute selection."""
        special = st.sampled_from(
            ("*", "+", "1.1", "@inetOrgPerson", "@person", "@nosuch", "@2.5.6.6", "@top", "@", "")
        )
        return st.lists(st.one_of(DESCRIPTIONS, special), max_size=4).map(tuple)

    def requests(self) -> st.SearchStrategy[SearchRequest]:
        """A whole search."""
        return st.builds(
            SearchRequest,
            self.bases(),
            st.sampled_from((Scope.WHOLE_SUBTREE, Scope.WHOLE_SUBTREE, Scope.SINGLE_LEVEL, Scope.BASE_OBJECT)),
            self.filters(),
            size_limit=st.sampled_from((0, 0, 0, 0, 1, 2, 5, 30)),
            types_only=st.sampled_from((False, False, False, True)),
            attributes=self.selections(),
        )


def _mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual, and one time in ten or so the rare."""
    return st.integers(0, 9).flatmap(lambda count: rare if count == 7 else usual)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")

# SPDX-License-Identifier: MIT
"""A filter as a phone has it in its settings: "(|(telephoneNumber=%)(mobile=%))", with a value to be filled in.

Once a filter with one value is known, one with another value of the same length is made ready without being read: cut
where the value stands, both leave the same octets, so all but the value is the same.
"""

from __future__ import annotations

from ldapgw.directory.filters import Equality, Filter, Or, Substrings
from ldapgw.directory.matcher import Matcher
from ldapgw.directory.matching import Alike, with_value
from ldapgw.directory.naming import NamingContext
from ldapgw.ldap.filter import read_quickly

# The value of the first term, and the octets around the values.
Cut = tuple[bytes, tuple[bytes, ...]]

_OR, _EQUALITY, _SUBSTRINGS = 0xA1, 0xA3, 0xA4


class Pattern:
    """A filter without its value; never changed once it is made.

    :ivar context: where it is asked.
    """

    __slots__ = ("_alike", "context")

    def __init__(self, alike: Alike, context: NamingContext) -> None:
        self._alike = alike
        self.context = context

    @staticmethod
    def cut(sought: bytes) -> Cut | None:
        """Take the value out of a filter; None where it is none that a pattern could have.

        :param sought: its BER, or anything.
        :raises IndexError: when it is cut off.
        """
        at = 0
        if sought[0] == _OR:
            at = 2 if sought[1] < 0x80 else 3
        if sought[at] == _EQUALITY:
            value = at + 5 + sought[at + 3]
        elif sought[at] == _SUBSTRINGS:
            value = at + 7 + sought[at + 3]
        else:
            return None
        octets = sought[value + 1 : value + 1 + sought[value]]
        return (octets, tuple(sought.split(octets))) if octets else None

    @classmethod
    def of(cls, cut: Cut, sought: Filter, context: NamingContext) -> Pattern | None:
        """The pattern of a filter; None if there is more in it than one value.

        :param sought: what the octets that were cut say.
        """
        terms = sought.terms if isinstance(sought, Or) else (sought,)
        alike = Alike.of(terms, context)
        if alike is None:
            return None
        # What was cut out may stand elsewhere too, in the name of an attribute: with another value in its place, all
        # else has to be the same.
        value, between = cut
        other = bytes(octet ^ 0x15 for octet in value)
        again = read_quickly(other.join(between), 0, len(other.join(between)))
        expected = tuple(with_value(term, other) for term in terms if isinstance(term, Equality | Substrings))
        return cls(alike, context) if again == (Or(expected) if isinstance(sought, Or) else expected[0]) else None

    def matcher(self, value: bytes) -> Matcher:
        """The filter with a value, made ready."""
        return self._alike.asking(value)

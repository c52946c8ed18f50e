# SPDX-License-Identifier: MIT
"""Reads the directory for phones and PBXs that ask over HTTP, with the search that LDAP clients use.

What is asked for, is found, limited and logged as the same search over LDAP would be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ldapgw.ber import ENUMERATED, SEQUENCE, boolean, integer, octets, tlv
from ldapgw.directory.access import Access, NamingContext, Viewer
from ldapgw.directory.caller_id import CallerIdBudget, matching_numbers
from ldapgw.directory.dit import ContactFlags, Directory, Dit, search_scopes
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Equality, Filter, Or, Scope
from ldapgw.directory.filter_matcher import NamedNumber, prepare
from ldapgw.directory.search import SearchCursor
from ldapgw.errors import ResultCode
from ldapgw.ldap.session import Observer

# The longest number that is looked up, in characters: an address of SIP with a number has fewer.
MAX_NUMBER = 256

# The kind of a number, by its attribute.  telephoneNumber comes last: it repeats the best number of another kind.
_KINDS = {
    "mobile": "mobile",
    "homePhone": "home",
    "facsimileTelephoneNumber": "fax",
    "pager": "pager",
    "telephoneNumber": "work",
}


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """A contact with a number that was looked up.

    Most PBXs ask for the name alone, so the rest is read on request.

    :param entry: the contact's entry.
    :param numbers: the number that was looked up, as `PreparedFilter.numbers` has it.
    :param access: of the login that has looked it up.
    """

    entry: Entry
    numbers: Sequence[NamedNumber]
    directory: Directory
    access: Access

    @property
    def name(self) -> str:
        return self.text("cn")

    def text(self, attribute: str) -> str:
        """The first value of an attribute; empty if there is none, or none that the login may see."""
        return next((value.decode("utf-8", "replace") for value in self.entry.attribute(attribute)), "")

    @property
    def number(self) -> tuple[str, str]:
        """The number as phones get it, and its kind: mobile, home, fax, pager or work."""
        numbers = matching_numbers(self.entry, self.numbers)
        return next((numbers[attribute][0], kind) for attribute, kind in _KINDS.items() if attribute in numbers)

    @property
    def book(self) -> str:
        """The name of the contact's book; empty for a contact of a caller-ID book, of which only the name shows."""
        rdns = Dn.parse(self.entry.dn).rdns
        kind, name = rdns[-len(self.directory.context.base.rdns) - 1][0]
        return name if kind == "ou" else ""

    @property
    def flags(self) -> ContactFlags:
        return self.directory.flags(self.entry, self.access)


class BookReader:
    """Reads the served directory for logins of phones.

    :param dit: returns the directory tree that phones are served now.
    :param budget: the budget of a login at a client address (`ldapgw.ldap.admission.CallerIdLimits`).
    :param observers: called for each search, as for searches over LDAP.
    :param clock: measures searches, and schedules the rest of a search after a slice of work.
    """

    def __init__(
        self,
        dit: Callable[[], Dit],
        budget: Callable[[Viewer, str], CallerIdBudget],
        observers: Sequence[Observer],
        clock: IReactorTime,
    ) -> None:
        self._dit = dit
        self._budget = budget
        self._observers = observers
        self._clock = clock

    async def find_caller(self, viewer: Viewer, address: str, number: str) -> Caller | None:
        """The first contact with a number, as a phone's search for the whole number finds it; None: nobody has it.

        :param viewer: the login of a phone.
        :param address: the client's.
        """
        started = self._clock.seconds()
        dit, access = self._dit(), viewer.access[0]
        directory = dit.directory(access.tenant)
        if directory is None or len(number) > MAX_NUMBER:
            return None
        base, value = directory.context.base, number.encode()
        prepared = prepare(_number_filter(value, directory.context), directory.context)
        scopes = search_scopes(dit, viewer, str(base), Scope.WHOLE_SUBTREE)
        cursor = SearchCursor(scopes, [prepared], budget=self._budget(viewer, address))
        found: Entry | None = None
        while found is None and not cursor.finished:
            for batch in cursor.next(1):
                found = batch.segment.entries[batch.documents[0]]
            if found is None and not cursor.finished:
                await deferLater(self._clock, 0)
        seconds = self._clock.seconds() - started
        message = _search_message(str(base), value)
        for observe in self._observers:
            observe(viewer.login, address, message, int(found is not None), ResultCode.SUCCESS, seconds)
        return None if found is None else Caller(found, prepared.numbers, directory, access)


def _number_filter(number: bytes, context: NamingContext) -> Filter:
    """Lenient matching looks for a whole number in all attributes that hold numbers."""
    terms = tuple(Equality(attribute, number) for attribute in _KINDS)
    return terms[0] if context.lenient else Or(terms)


# The tags of a SearchRequest, of an OR and of an equality assertion (RFC 4511 4.5.1).
_SEARCH_REQUEST, _OR, _EQUALITY = 0x63, 0xA1, 0xA3


_ENCODED_KINDS = tuple(octets(attribute.encode()) for attribute in _KINDS)
# What a phone asks for that shows a caller: all matches are one entry, without a limit of time.
_NO_LIMITS = (
    integer(2, ENUMERATED)  # wholeSubtree
    + integer(0, ENUMERATED)  # neverDerefAliases
    + integer(1)
    + integer(0)
    + boolean(False)  # noqa: FBT003 - typesOnly
)
_SHOWN = tlv(SEQUENCE, b"".join(octets(name.encode()) for name in ("cn", "givenName", "sn", "o", *_KINDS)))


def _search_message(base: str, number: bytes) -> bytes:
    """The LDAPMessage of the search for a number, for the log of searches."""
    value = octets(number)
    terms = b"".join([tlv(_EQUALITY, attribute + value) for attribute in _ENCODED_KINDS])
    request = octets(base.encode()) + _NO_LIMITS + tlv(_OR, terms) + _SHOWN
    return tlv(SEQUENCE, integer(1) + tlv(_SEARCH_REQUEST, request))

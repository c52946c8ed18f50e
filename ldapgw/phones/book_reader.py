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
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.caller_id import CallerIdBudget, matching_numbers
from ldapgw.directory.dit import Directory, Dit, search_scopes
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Equality, Or, Scope
from ldapgw.directory.filter_matcher import PreparedFilter, prepare
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
_SHOWN = ("cn", "givenName", "sn", "o", *_KINDS)


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """A contact with a number that was looked up.

    :ivar number: the number as phones get it.
    :ivar kind: the kind of that number: mobile, home, fax, pager or work.
    :ivar book: the name of the contact's book; empty for a contact of a caller-ID book, of which only the name shows.
    :ivar labels: the names of the contact's labels, as far as the login sees them.
    :ivar is_favourite: whether the login's own account has starred the contact.
    :ivar is_blocked: whether the contact has the label of blocked contacts.
    """

    name: str
    given_name: str
    family_name: str
    company: str
    number: str
    kind: str
    book: str
    labels: tuple[str, ...] = ()
    is_favourite: bool = False
    is_blocked: bool = False


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
        number_filter = Or(tuple(Equality(attribute, value) for attribute in _KINDS))
        prepared = prepare(number_filter, directory.context)
        scopes = search_scopes(dit, viewer, str(base), Scope.WHOLE_SUBTREE)
        cursor = SearchCursor(scopes, [prepared], budget=self._budget(viewer, address))
        found: Entry | None = None
        while found is None and not cursor.finished:
            for batch in cursor.next(1):
                found = batch.segment.entries[batch.documents[0]]
            if found is None and not cursor.finished:
                await deferLater(self._clock, 0)
        seconds = self._clock.seconds() - started
        for observe in self._observers:
            observe(
                viewer.login,
                address,
                _search_message(str(base), value),
                int(found is not None),
                ResultCode.SUCCESS,
                seconds,
            )
        return None if found is None else _caller(found, prepared, directory, access)


def _caller(entry: Entry, prepared: PreparedFilter, directory: Directory, access: Access) -> Caller:
    numbers = matching_numbers(entry, prepared.numbers)
    attribute = next((attribute for attribute in _KINDS if numbers.get(attribute)), "telephoneNumber")
    rdn_type, book = Dn.parse(entry.dn).rdns[: -len(directory.context.base.rdns)][-1][0]
    flags = directory.flags(entry, access)
    return Caller(
        name=_text(entry, "cn"),
        given_name=_text(entry, "givenName"),
        family_name=_text(entry, "sn"),
        company=_text(entry, "o"),
        number=next(iter(numbers.get(attribute, ())), ""),
        kind=_KINDS[attribute],
        book=book if rdn_type == "ou" else "",
        labels=directory.label_names(entry, access),
        is_favourite=flags.favourite,
        is_blocked=flags.blocked,
    )


def _text(entry: Entry, attribute: str) -> str:
    return next((value.decode("utf-8", "replace") for value in entry.attribute(attribute)), "")


# The tags of a SearchRequest, of an OR and of an equality assertion (RFC 4511 4.5.1).
_SEARCH_REQUEST, _OR, _EQUALITY = 0x63, 0xA1, 0xA3


def _search_message(base: str, number: bytes) -> bytes:
    """The LDAPMessage of the search for a number, for the log of searches."""
    terms = (tlv(_EQUALITY, octets(attribute.encode()) + octets(number)) for attribute in _KINDS)
    request = b"".join(
        (
            octets(base.encode()),
            integer(2, ENUMERATED),  # wholeSubtree
            integer(0, ENUMERATED),  # neverDerefAliases
            integer(1),
            integer(0),
            boolean(False),  # noqa: FBT003 - typesOnly
            tlv(_OR, b"".join(terms)),
            tlv(SEQUENCE, b"".join(octets(name.encode()) for name in _SHOWN)),
        )
    )
    return tlv(SEQUENCE, integer(1) + tlv(_SEARCH_REQUEST, request))

# SPDX-License-Identifier: MIT
"""Searches of phones in the form that pages show and that gateways send to each other.

The module is not compiled (``setup.py``), because msgspec needs the annotations, which mypyc drops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ldapgw.errors import ResultCode

# A search that ends with one of these result codes returns the entries that were found.
SUCCESS_CODES = frozenset((ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED))


@dataclass(frozen=True, slots=True)
class LoggedSearch:
    """A search of a phone.

    :ivar login: the DN that the phone is bound as; empty for an anonymous search.
    :ivar message: the octets of the LDAPMessage; empty if the message is longer than
        `ldapgw.phones.search_log.MAX_MESSAGE_BYTES`.
    :ivar seconds: the duration of the search in seconds.
    :ivar when: end of the search, in seconds since the epoch.
    """

    login: str = field(repr=False)
    address: str
    message: bytes = field(repr=False)
    entries: int
    code: ResultCode
    seconds: float
    when: float

    @property
    def has_entries(self) -> bool:
        return self.entries > 0 and self.code in SUCCESS_CODES


@dataclass(frozen=True, slots=True)
class SearchUpdate:
    """The searches of a phone since the previous update.

    :ivar last_found: the last search that returned entries; None if no search returned entries.
    """

    last: LoggedSearch
    last_found: LoggedSearch | None = None


@dataclass(frozen=True, slots=True)
class NewSearches:
    """The searches that another gateway has answered since its previous message.

    :ivar searches: the searches, `ldapgw.phones.search_log.SEARCHES_PER_PHONE` of each phone at most.
    :ivar refusals: for each address, the time at which a search from this address was last refused because nobody had
        logged in.
    """

    searches: tuple[LoggedSearch, ...] = ()
    refusals: Mapping[str, float] = field(default_factory=dict)

# SPDX-License-Identifier: MIT
"""What phones are seen to do: the wire's octets, read when somebody looks, and judged by what is known of the phone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ldapgw.directory.dn import Dn
from ldapgw.directory.filters import SearchRequest
from ldapgw.directory.naming import phone_dn
from ldapgw.errors import ProtocolViolation
from ldapgw.hints import Habits, Seen, hints
from ldapgw.ldap.decode import decode
from ldapgw.searches import Fresh, Search, Searches
from ldapgw.store.phones import Numbers, PhoneLogin, SearchNote


class PhoneWatch:
    """Over the searches of all phones.

    :param bases: the search base of each tenant.
    :param now: seconds since the epoch.
    :ivar searches: the wire tells it of each.
    """

    def __init__(self, bases: Mapping[str, str], now: Callable[[], float]) -> None:
        self.searches = Searches(now)
        self._bases = {tenant: (base, Dn.parse(base)) for tenant, base in bases.items()}

    def base_dn(self, tenant: str) -> str:
        """A tenant's search base; empty for one that is gone."""
        return self._bases[tenant][0] if tenant in self._bases else ""

    def bind_dn(self, login: PhoneLogin) -> str:
        """The DN that a phone is bound as; empty for one whose tenant is gone."""
        return str(phone_dn(login.name, self._bases[login.tenant][1])) if login.tenant in self._bases else ""

    def seen(self, login: PhoneLogin) -> tuple[Seen, ...]:
        """A phone's last searches, the newest first."""
        return tuple(map(read, self.searches.of(self.bind_dn(login))))

    def judge(self, login: PhoneLogin, fresh: Fresh) -> SearchNote:
        """What is remembered of them: nothing of what was searched for."""
        habits = Habits.of(self.base_dn(login.tenant), login.model, per_number=login.numbers is Numbers.ENTRIES)
        found = hints(read(fresh.last), habits)
        works = fresh.found is not None and read(fresh.found).works
        worked_at = fresh.found.when if fresh.found is not None and works else None
        return SearchNote(fresh.last.when, found[0].value if found else "", worked_at)


def read(search: Search) -> Seen:
    """A search as the wire has read it."""
    try:
        message = decode(search.message)
    except ProtocolViolation:
        return Seen(search)
    request = message.request if isinstance(message.request, SearchRequest) else None
    return Seen(search, request, tuple(control.type for control in message.controls))

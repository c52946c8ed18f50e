# SPDX-License-Identifier: MIT
"""The condition of a phone, and the figures of a tenant's people and phones, for pages, commands and the metrics.

Only this module computes the conditions and the figures, so that pages, commands and the metrics cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ldapgw.phones.hints import TO_FIX
from ldapgw.store.account_status import state
from ldapgw.store.accounts import Account, AlikeAccounts
from ldapgw.store.phones import PhoneLogin, wrong_password


class PhoneCondition(StrEnum):
    """The states of a phone, as far as the database knows."""

    WORKING = "working"
    PROBLEMS = "problems"  # somebody has to change a setting
    REFUSED = "refused"  # the phone's password is wrong
    WAITING = "waiting"  # the phone has not found anybody yet, or has not logged in with its new password


def phone_condition(login: PhoneLogin, now: float) -> PhoneCondition:
    """Return the state of a phone.

    :param now: seconds since the epoch.
    """
    if wrong_password(login, now) is not None:
        return PhoneCondition.REFUSED
    if login.has_unused_password:
        return PhoneCondition.WAITING
    if login.search_hint in TO_FIX:
        return PhoneCondition.PROBLEMS
    return PhoneCondition.WORKING if login.worked_at is not None else PhoneCondition.WAITING


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one tenant.

    :ivar states: the number of accounts in each state of `ldapgw.store.account_status.STATES`; a state without accounts
        may be missing.
    :ivar conditions: the number of phones in each condition; a condition without phones may be missing.
    :ivar contacts: the number of contacts of all accounts.
    :ivar last_sync: the last successful sync of a connected account, in seconds since the epoch, or None.
    """

    states: Mapping[str, int] = field(default_factory=dict)
    conditions: Mapping[PhoneCondition, int] = field(default_factory=dict)
    contacts: int = 0
    last_sync: float | None = None

    @property
    def people(self) -> int:
        """Return the number of accounts."""
        return sum(self.states.values())

    @property
    def connected(self) -> int:
        """Return the number of accounts that sync: the connected accounts that need no attention."""
        return self.people - self.states.get("disconnected", 0) - self.states.get("attention", 0)

    @property
    def phones(self) -> int:
        """Return the number of phones."""
        return sum(self.conditions.values())

    def phones_in(self, condition: PhoneCondition) -> int:
        """Return the number of phones in a condition."""
        return self.conditions.get(condition, 0)


def summarize(accounts: Iterable[Account], phones: Iterable[PhoneLogin], now: float) -> Mapping[str, Summary]:
    """Return the figures of each tenant that has an account or a phone, by the tenant's name.

    :param now: seconds since the epoch.
    """
    alone = (AlikeAccounts(each, 1, each.contacts, each.last_sync, each.last_sync) for each in accounts)
    return summarize_alike(alone, ((login, 1) for login in phones), now)


def summarize_alike(
    accounts: Iterable[AlikeAccounts], phones: Iterable[tuple[PhoneLogin, int]], now: float
) -> Mapping[str, Summary]:
    """Return the figures of each tenant from groups of accounts and phones that are alike.

    :param phones: one phone of each group, and the number of phones in the group.
    :param now: seconds since the epoch.
    """
    states: dict[str, Counter[str]] = {}
    conditions: dict[str, Counter[PhoneCondition]] = {}
    contacts: Counter[str] = Counter()
    last_syncs: dict[str, float] = {}
    for alike in accounts:
        tenant, latest = alike.account.tenant, alike.latest_sync
        states.setdefault(tenant, Counter())[state(alike.account, now)] += alike.size
        contacts[tenant] += alike.contacts
        if alike.account.is_connected and latest is not None:
            last_syncs[tenant] = max(latest, last_syncs.get(tenant, latest))
    for login, size in phones:
        conditions.setdefault(login.tenant, Counter())[phone_condition(login, now)] += size
    return {
        tenant: Summary(
            states.get(tenant, Counter()), conditions.get(tenant, Counter()), contacts[tenant], last_syncs.get(tenant)
        )
        for tenant in {*states, *conditions}
    }

# SPDX-License-Identifier: MIT
"""The figures of a tenant's people and phones, for the overview page, ``ldapgw status`` and the metrics.

The figures are computed in this module alone, so that the page, the command and the metrics cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ldapgw.phones.hints import PhoneCondition, phone_condition
from ldapgw.store.account_status import state
from ldapgw.store.accounts import Account
from ldapgw.store.phones import PhoneLogin


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one tenant.

    :ivar states: the number of accounts in each state of `ldapgw.store.account_status.STATES`; zeros may be missing.
    :ivar conditions: the number of phones in each condition; zeros may be missing.
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
    states: dict[str, Counter[str]] = {}
    conditions: dict[str, Counter[PhoneCondition]] = {}
    contacts: Counter[str] = Counter()
    last_syncs: dict[str, float] = {}
    for account in accounts:
        tenant = account.tenant
        states.setdefault(tenant, Counter())[state(account, now)] += 1
        contacts[tenant] += account.contacts
        if account.is_connected and account.last_sync is not None:
            last_syncs[tenant] = max(account.last_sync, last_syncs.get(tenant, account.last_sync))
    for login in phones:
        conditions.setdefault(login.tenant, Counter())[phone_condition(login, now)] += 1
    return {
        tenant: Summary(
            states.get(tenant, Counter()), conditions.get(tenant, Counter()), contacts[tenant], last_syncs.get(tenant)
        )
        for tenant in {*states, *conditions}
    }

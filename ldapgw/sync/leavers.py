# SPDX-License-Identifier: MIT
"""Finds the people who have left a company, and removes their accounts after the time in ``remove_leavers``.

A person who has consented counts as a leaver if Google has ended the access, and the person is missing from the
tenant's Workspace directory.  This module marks the accounts of such persons.  `ldapgw.sync.workspace`, which reads the
users of a service account, marks the delegated accounts.  This module removes marked accounts of both kinds.

A mistake must not remove anybody, so an incomplete, old or suspiciously short directory does not prove that anybody has
left.  If many accounts are to be removed within a day, no account is removed until an administrator has approved the
removal.

`decide` is pure: the service `LeaverService` reads the facts and carries the decision out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy import Connection
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.contact import Source
from ldapgw.errors import ConsentRevoked
from ldapgw.peers.leadership import Leader
from ldapgw.store import accounts, activity, directory_accounts, leavers, revocations, sync_state
from ldapgw.store.account_status import consent_ended_by
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.activity import GATEWAY, Act
from ldapgw.store.database import ascii_lower
from ldapgw.store.directory_accounts import DirectoryPerson
from ldapgw.store.leavers import Leaver, LeaverReason
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.sync_state import DIRECTORY_SHRUNK, INCOMPLETE, NO_SYNC_TOKEN
from ldapgw.sync.fetch import SyncedTenant

log = Logger()

# Seconds between two runs.
INTERVAL = 3600.0
DAY = 86400.0
# A directory or a list of users that was last read longer ago than this does not show who has left.
MAX_AGE = 2 * DAY
# At most this many accounts, and at most a tenth of the tenant's accounts, are removed within a day without approval.
# In a tenant with fewer than ten accounts, one account may be removed within a day.
MAX_REMOVED = 20


@dataclass(frozen=True, slots=True, repr=False)
class DirectoryListing:
    """The people of a Workspace directory that was recently read as a whole.

    :ivar addresses: all e-mail addresses, in lower case.
    :ivar ids: Google's stable keys of the people.
    :ivar listed_at: the time of the last full listing, in seconds since the epoch.
    """

    addresses: frozenset[str]
    ids: frozenset[str]
    listed_at: float

    @classmethod
    def of(cls, people: Iterable[DirectoryPerson], listed_at: float) -> DirectoryListing:
        known = list(people)
        addresses = frozenset(ascii_lower(email) for person in known for email in person.emails)
        return cls(addresses, frozenset(person.source_id for person in known if person.source_id), listed_at)

    def has(self, account: Account) -> bool:
        """Return whether the directory has the account's user, who may have another address now."""
        return ascii_lower(account.address) in self.addresses or account.sub in self.ids


@dataclass(frozen=True, slots=True, repr=False)
class Facts:
    """The facts about a tenant's people, from which `decide` decides.

    :ivar accounts: all accounts of the tenant.
    :ivar marks: the marks of accounts, by the account's id.
    :ivar directory: the Workspace directory, or None if the stored directory does not show who has left.
    :ivar users_read_at: when the service account has last read all users, in seconds since the epoch; None if the last
        read failed, or if there is no service account.
    :ivar removed_lately: the number of leavers' accounts that were removed within a day.
    :ivar held: the number of accounts whose removal has waited for an administrator until now.
    """

    accounts: Collection[Account]
    marks: Mapping[int, Leaver]
    directory: DirectoryListing | None = None
    users_read_at: float | None = None
    removed_lately: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a run for a tenant.

    :ivar considered: the ids of the accounts whose marks may be set or deleted.
    :ivar gone: the reason why a person has left, by the id of the person's account.
    :ivar removed: the marks of the accounts to remove now.
    :ivar held: the number of accounts whose removal waits for an administrator.
    """

    considered: frozenset[int] = frozenset()
    gone: Mapping[int, LeaverReason] = field(default_factory=dict, hash=False)
    removed: tuple[Leaver, ...] = ()
    held: int = 0


def decide(facts: Facts, delay: float, now: float) -> Decision:
    """Decide which accounts belong to people who have left, and which of these accounts are removed now.

    :param delay: the tenant's ``remove_leavers`` in seconds; 0 if no account is removed.
    :param now: seconds since the epoch.
    """
    # This run may set and delete marks only of these accounts.  The marks of all other accounts come from
    # `ldapgw.sync.workspace`, which reads the users of a service account.
    own = {
        account.id: account
        for account in facts.accounts
        if not account.delegated
        and (account.id not in facts.marks or facts.marks[account.id].reason is LeaverReason.MISSING)
    }
    if not delay:
        return Decision(frozenset(own) & frozenset(facts.marks))
    ended = {account_id: _is_ended(account) for account_id, account in own.items()}
    gone, unknown = _missing_from_directory(
        facts, {account_id: account for account_id, account in own.items() if ended[account_id]}
    )
    unknown |= {account_id for account_id, is_ended in ended.items() if is_ended is None}
    due = [
        leaver
        for account in facts.accounts
        if (leaver := facts.marks.get(account.id)) is not None
        and not leaver.kept
        and now - leaver.since >= delay
        and _is_confirmed(facts, account, leaver, gone, delay)
    ]
    unapproved = [leaver for leaver in due if not leaver.approved]
    most = min(max((len(facts.accounts) + facts.removed_lately) // 10, 1), MAX_REMOVED) - facts.removed_lately
    held = len(unapproved) if len(unapproved) > most else 0
    removed = tuple(leaver for leaver in due if leaver.approved or not held)
    return Decision(frozenset(own) - unknown, dict.fromkeys(sorted(gone), LeaverReason.MISSING), removed, held)


def _is_ended(account: Account) -> bool | None:
    """Return whether Google has ended the access to an account, or None if the reason is unknown.

    The reason is unknown in these cases:

    * The account has an error other than `ConsentRevoked`, or no error.
    * The tenant has an alarm.
    * The tenant's OAuth client was changed.
    * The tenant's service account is gone.

    In the last three cases, the tenant may be the reason, so the end of the access does not show that the person has
    left.
    """
    if not account.is_connected or not account.revoked:
        return False
    error = account.error
    if account.alarm is not None or error is None or error.code != ConsentRevoked.code:
        return None
    if consent_ended_by(error, account) in ("client", "delegation"):
        return None
    return True


def _missing_from_directory(facts: Facts, ended: Mapping[int, Account]) -> tuple[set[int], set[int]]:
    """Find the users who are missing from the directory, among the accounts whose access was ended.

    If more than half of a domain's connected accounts are missing, the directory does not list all of the domain's
    people.  Nothing is then known about the domain's accounts.

    :returns: the ids of the accounts whose users are missing, and the ids of the accounts about which nothing is known.
    """
    directory = facts.directory
    if directory is None:
        return set(), set(ended)
    connected, missing = Counter[str](), Counter[str]()
    for account in facts.accounts:
        if account.is_connected and account.hd:
            connected[account.hd] += 1
            missing[account.hd] += not directory.has(account)
    gone, unknown = set[int](), set[int]()
    for account_id, account in ended.items():
        if not directory.has(account):
            # A private account has no domain, and is in no directory.
            is_listed = bool(account.hd) and 2 * missing[account.hd or ""] <= connected[account.hd or ""]
            (gone if is_listed else unknown).add(account_id)
    return gone, unknown


def _is_confirmed(facts: Facts, account: Account, leaver: Leaver, gone: Collection[int], delay: float) -> bool:
    """Return whether the latest data from Google still shows that the person of a marked account has left."""
    if leaver.reason is LeaverReason.MISSING:
        # The person was missing when the mark was set, and must be missing from a full listing after that time, too.
        is_listed_again = facts.directory is not None and facts.directory.listed_at >= leaver.since
        return account.id in gone and is_listed_again
    # The users must have been read since the removal was due, because a user may have come back on the last day.
    is_listed = facts.users_read_at is not None and facts.users_read_at >= leaver.since + delay
    return is_listed and not _has_good_consent(account)


def _has_good_consent(account: Account) -> bool:
    """Return whether Google still accepts a consent of the user; such an account needs no delegation."""
    return account.has_consent and not account.revoked


class LeaverService(PeriodicService):
    """The service that finds and removes the accounts of people who have left.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param leader: knows whether this gateway syncs; only a gateway that syncs removes accounts.
    :param tenants: the tenants by name.
    :param removed: called with the tenant and the sub of accounts that were removed; publishes the change to phones,
        and deletes the accounts' data from copies of the database.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        leader: Leader,
        tenants: Mapping[str, SyncedTenant],
        removed: Callable[[Collection[tuple[str, str]]], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._leader = leader
        self._tenants = tenants
        self._removed = removed
        failed = partial(log.failure, "looking for people who have left failed", event="leavers_failed")
        super().__init__(clock, INTERVAL, self.look, failed)

    async def look(self) -> None:
        """Mark the accounts of people who have left, and remove the accounts that are due, in all tenants."""
        for name, tenant in self._tenants.items():
            if self._leader.is_leader:
                await self._look_at(name, tenant)

    async def _look_at(self, name: str, tenant: SyncedTenant) -> None:
        store, now = self._leader.store, self._clock.seconds()
        facts, decision = await store.read(_read_and_decide, name, tenant, now)
        considered = decision.considered & (facts.marks.keys() | decision.gone.keys())
        if considered:
            await store.run(leavers.mark, considered, decision.gone, now)
        if decision.held != facts.held and await store.run(_set_held, name, decision.held, now):
            log.warn(
                "tenant {tenant}: many accounts of people who have left are due for removal: {count}; no account is "
                "removed until an administrator has approved the removal on the page Admin, People",
                event="leavers_held",
                tenant=name,
                count=decision.held,
            )
        removed = [sub for leaver in decision.removed if (sub := await self._remove(name, leaver, now)) is not None]
        if removed:
            await self._removed([(name, sub) for sub in removed])

    async def _remove(self, tenant: str, leaver: Leaver, now: float) -> str | None:
        sub = await self._leader.store.run(remove, tenant, leaver, now)
        if sub is not None:
            log.info(
                "account {account} of tenant {tenant} was removed, because the person has left: {reason}",
                event="leaver_removed",
                tenant=tenant,
                account=leaver.account_id,
                reason=leaver.reason.value,
            )
        return sub


def _read_and_decide(connection: Connection, name: str, tenant: SyncedTenant, now: float) -> tuple[Facts, Decision]:
    """Read and decide in one call, on a thread, because the decision about thousands of accounts takes a while."""
    facts = read_facts(connection, name, tenant, now)
    return facts, decide(facts, tenant.remove_leavers, now)


def read_facts(connection: Connection, name: str, tenant: SyncedTenant, now: float) -> Facts:
    """Read the knowledge about a tenant's people.

    :param name: the tenant's name.
    :param now: seconds since the epoch.
    """
    waiting = leavers.read_held(connection, name)
    facts = Facts(
        accounts.read_all(connection, name), leavers.read(connection, name), held=waiting.count if waiting else 0
    )
    if not tenant.remove_leavers or not (facts.marks or any(account.revoked for account in facts.accounts)):
        return facts  # the directory has no part in the decision
    return replace(
        facts,
        directory=read_listing(connection, name, now) if Source.DIRECTORY in tenant.sources else None,
        users_read_at=leavers.users_read_at(connection, name),
        removed_lately=activity.count_since(connection, name, Act.LEAVER_REMOVED, now - DAY),
    )


def read_listing(connection: Connection, tenant: str, now: float) -> DirectoryListing | None:
    """Read the tenant's Workspace directory, or return None if the stored directory does not show who has left.

    :raises DamagedStore: when a stored contact cannot be decoded.
    """
    holder = directory_accounts.find_directory_account(connection, tenant)
    if holder is None or holder.state is not SourceState.ON or holder.directory_error:
        return None
    state = sync_state.read_sync_states(connection, holder.account_id)[Source.DIRECTORY]
    if state.full_sync_at is None or state.asked_at is None or now - state.asked_at > MAX_AGE:
        return None
    # A directory with a sync token is current.  The sync token is missing if the contacts came from another account or
    # have to be fetched anew; but the token is also missing if Google has sent no token (`NO_SYNC_TOKEN`).
    is_current = state.sync_token is not None or NO_SYNC_TOKEN in state.warnings
    if not is_current or not state.warnings.keys().isdisjoint({INCOMPLETE, DIRECTORY_SHRUNK}):
        return None
    return DirectoryListing.of(directory_accounts.read_people(connection, holder.account_id), state.full_sync_at)


def _set_held(connection: Connection, tenant: str, count: int, now: float) -> bool:
    """Store the number of accounts whose removal waits for an administrator.

    :returns: whether no removal of the tenant was waiting before.
    """
    if not count:
        leavers.clear_held(connection, tenant)
        return False
    if not leavers.hold(connection, tenant, count, now):
        return False
    activity.record(connection, activity.entry(now, tenant, GATEWAY, Act.LEAVERS_HELD, detail=str(count)))
    return True


def remove(connection: Connection, tenant: str, leaver: Leaver, now: float) -> str | None:
    """Remove a marked account with its contacts and its phones, unless the account or its mark has changed meanwhile.

    :param leaver: the mark that was read when the removal was decided.
    :param now: seconds since the epoch.
    :returns: the account's sub, or None if the account was not removed.
    """
    accounts.lock(connection, leaver.account_id)
    account = accounts.read(connection, leaver.account_id)
    if account is None or leavers.find(connection, account.id) != leaver:
        return None
    is_back = not _is_ended(account) if leaver.reason is LeaverReason.MISSING else _has_good_consent(account)
    if is_back or (account.delegated and leaver.reason is LeaverReason.MISSING):
        return None
    entry = activity.entry(now, tenant, GATEWAY, Act.LEAVER_REMOVED, account.address, leaver.reason)
    revocations.end_account(connection, account.id, entry, with_phones=True, revoked=bool(_is_ended(account)))
    return account.sub

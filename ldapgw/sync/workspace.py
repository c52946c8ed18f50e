# SPDX-License-Identifier: MIT
"""Reads the users and groups of Google Workspaces that have delegated their users' contacts to a service account.

Each hour, the leader lists the users of each tenant with a service account, and makes the accounts agree with the
list (`ldapgw.store.tenants.apply_users`).  After an error, and after a list that lacks most of the known users, all
accounts stay as they are.

Google refuses a whole token request if a single scope is not allowed.  To learn which scopes the Workspace allows, the
gateway therefore requests a token of the administrator for each scope separately.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ldapgw.contact import Sharing, Source
from ldapgw.errors import (
    AccessTokenRejected,
    BadResponse,
    ConsentRevoked,
    DelegationRefused,
    GoogleError,
    GoogleRefused,
    SourceUnavailable,
)
from ldapgw.google.delegation import (
    GROUPS_SCOPE,
    REFUSAL_TEXTS,
    REFUSED_TENANT,
    USERS_SCOPE,
    DelegationRefusal,
    ServiceAccount,
)
from ldapgw.google.oauth import SCOPE_OF, Grant, OAuth
from ldapgw.google.people import People
from ldapgw.google.workspace import Turn, WorkspaceDirectory, WorkspaceUser
from ldapgw.peers.leadership import Leader
from ldapgw.store import accounts, tenants
from ldapgw.store.accounts import Account
from ldapgw.store.leavers import LeaverReason
from ldapgw.store.periodic import PeriodicService
from ldapgw.store.tenants import DelegatedUser, DelegationSettings, DelegationTrial
from ldapgw.sync.pacing import CallPacer
from ldapgw.sync.plan import is_suspicious

# An access token is not used in the last seconds of its validity, so that no token expires between two pages.
REFRESH_EARLY_SECONDS = 60.0
# Seconds between two reads of a Workspace, and between two attempts after a failure.
READ_SECONDS = 3600.0
RETRY_SECONDS = 600.0
# Seconds between two checks of which Workspaces are due.
POLL_SECONDS = 15.0
# A list that lacks most of the known users is used only if the lists have lacked most users for this many seconds.
SHORT_SECONDS = 7 * 86400.0
# The error code that the database holds if a list lacks most users.
SHORT_LIST = "short_list"
# A service account is tried with at most this many users, because Google refuses a user who has never signed in.
_TRIED_USERS = 3

log = Logger()


class _ShortList(BadResponse):
    """Raised when a list of users lacks most of the known users, because this list is probably wrong."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """A tenant's service account, and the users whose contacts the service account may read."""

    service_account: ServiceAccount
    settings: DelegationSettings


@dataclass(frozen=True, slots=True)
class DelegatedTenant:
    """The settings of a tenant for reading the tenant's Workspace.

    :ivar sharing: the sharing of new accounts.
    :ivar shared_label: new accounts share only the contacts with this label; empty for all contacts.
    :ivar google_groups: the addresses, in lower case, of Google Groups; a book can be shared with the members of such a
        group.
    :ivar allowed: the users who may connect, as ``allowed_users`` and ``admins`` name them.
    """

    sources: tuple[Source, ...]
    sharing: Sharing = Sharing.PRIVATE
    shared_label: str = ""
    google_groups: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ("*",)


@dataclass(slots=True)
class _Turn:
    """The last read of a tenant's Workspace: the delegation that was used, and the time of the next read."""

    delegation: Delegation
    next_at: float


class _Selection:
    """The users whose contacts a service account may read, as the settings of a delegation select these users.

    :param allowed: see `DelegatedTenant`.  Several companies may have delegated their users to one service account;
        with `allowed`, the gateway reads for each tenant only the users of the tenant's own company.
    """

    def __init__(self, settings: DelegationSettings, allowed: Iterable[str]) -> None:
        self._allowed = {rule.lower() for rule in allowed}
        self._users = {rule.lower() for rule in settings.users}
        self._excluded = {address.lower() for address in settings.exclude}
        self._units = tuple(f"{unit.rstrip('/')}/" for unit in settings.org_units)
        self.has_groups = bool(settings.groups)

    def covers(self, user: WorkspaceUser, members: Collection[str]) -> bool:
        """Return whether the service account may read a user's contacts.

        :param members: the ids of the members of the groups in the settings.
        """
        address = user.address.lower()
        names = {"*", address, address[address.find("@") :]}
        # A renamed user keeps the former address as an alias.  If the settings exclude this alias, the user stays
        # excluded.
        if user.is_guest or self._excluded.intersection((address, *map(str.lower, user.aliases))):
            return False
        if not names.intersection(self._allowed):
            return False
        is_chosen = bool(names.intersection(self._users)) or user.id in members
        return is_chosen or f"{user.org_unit.rstrip('/')}/".startswith(self._units)


def select_users(
    settings: DelegationSettings,
    users: Iterable[WorkspaceUser],
    members: Collection[str],
    allowed: Iterable[str] = ("*",),
) -> tuple[tuple[DelegatedUser, ...], Mapping[str, LeaverReason]]:
    """Select the users whose contacts a service account may read.

    :param members: the ids of the members of the groups in `settings`.
    :param allowed: see `DelegatedTenant`.
    :returns: the selected users, and for the id of each other user the reason why this user is not selected.
    """
    selection = _Selection(settings, allowed)
    selected: list[DelegatedUser] = []
    others: dict[str, LeaverReason] = {}
    for user in users:
        if user.is_suspended or user.is_archived:
            others[user.id] = LeaverReason.SUSPENDED
        elif selection.covers(user, members):
            selected.append(DelegatedUser(user.id, user.address))
        else:
            others[user.id] = LeaverReason.MOVED
    return tuple(selected), others


class DelegatedTokens:
    """The access tokens of users who have not consented.

    Google knows the user of a token only by the user's address, and an address may pass to another user.  So `get`
    first asks the directory for the present address of the user's id.  Without this question, contacts could get into
    the book of the user who had the address before.

    Mutable: the administrators' tokens, which are used until they expire.

    :param delegations: the tenants' present service accounts by name of the tenant.
    :param tenants: all tenants by name.
    :param now: returns seconds since the epoch.
    """

    def __init__(
        self,
        *,
        oauth: OAuth,
        directory: WorkspaceDirectory,
        delegations: Mapping[str, Delegation],
        tenants: Mapping[str, DelegatedTenant],
        now: Callable[[], float],
    ) -> None:
        self._oauth = oauth
        self._directory = directory
        self._delegations = delegations
        self._tenants = tenants
        self._now = now
        self._administrators: dict[str, tuple[Delegation, Grant]] = {}

    def delegation(self, tenant: str) -> Delegation | None:
        """Return the delegation by which a tenant's accounts are read, or None if the tenant has no delegation."""
        return self._delegations.get(tenant)

    async def get(self, account: Account) -> Grant:
        """Get an access token for an account that uses the delegation.

        :raises ConsentRevoked: if the tenant has no service account any more.
        :raises GoogleError: the error of the token endpoint or of the Directory API.
        """
        delegation = self.delegation(account.tenant)
        if delegation is None:
            raise ConsentRevoked("the tenant has no service account now", by="delegation")
        user = await self._user(account, delegation)
        if user.is_suspended or user.is_archived:
            raise GoogleRefused("the user is suspended or archived", by=LeaverReason.SUSPENDED)
        selection = _Selection(delegation.settings, self._tenants[account.tenant].allowed)
        # Only the hourly read of the Workspace asks Google for the members of groups.  If the settings name groups,
        # every user counts as a member here.
        if not selection.covers(user, {user.id} if selection.has_groups else ()):
            raise GoogleRefused("the settings do not include the user", by=LeaverReason.MOVED)
        return await self._oauth.delegated_grant(delegation.service_account, user.address, sorted(account.scopes))

    async def _user(self, account: Account, delegation: Delegation) -> WorkspaceUser:
        """Ask the directory for a user; if Google rejects the administrator's token, ask again with a new token."""
        for is_last in (False, True):
            token = await self._administrator_token(account.tenant, delegation)
            try:
                return await self._directory.user(token, account.sub)
            except AccessTokenRejected as error:
                self._administrators.pop(account.tenant, None)
                if is_last:
                    raise BadResponse(f"a new access token was rejected: {error.detail}") from None
        raise AssertionError

    async def _administrator_token(self, tenant: str, delegation: Delegation) -> str:
        known = self._administrators.get(tenant)
        if known is None or known[0] != delegation or known[1].expires_at - REFRESH_EARLY_SECONDS <= self._now():
            administrator = delegation.settings.administrator
            grant = await self._oauth.delegated_grant(delegation.service_account, administrator, [USERS_SCOPE])
            known = self._administrators[tenant] = delegation, grant
        return known[1].access_token


class WorkspaceReader(PeriodicService):
    """The service that reads the Workspaces of all tenants with a service account.

    :param clock: ``seconds()`` returns the seconds since the epoch.
    :param tenants: all tenants by name.
    :param delegations: the tenants' present service accounts by name of the tenant.
    :param is_unknown: returns whether a tenant possibly has a service account that could not be read or decrypted yet;
        the delegation of such a tenant does not end.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        leader: Leader,
        oauth: OAuth,
        directory: WorkspaceDirectory,
        pacer: CallPacer,
        tenants: Mapping[str, DelegatedTenant],
        delegations: Mapping[str, Delegation],
        is_unknown: Callable[[str], bool] = lambda _tenant: False,
    ) -> None:
        self._clock = clock
        self._leader = leader
        self._oauth = oauth
        self._directory = directory
        self._pacer = pacer
        self._tenants = tenants
        self._delegations = delegations
        self._is_unknown = is_unknown
        self._turns: dict[str, _Turn] = {}
        self._ended: set[str] = set()
        failed = partial(log.failure, "reading Google Workspace failed", event="workspace_crashed")
        super().__init__(clock, POLL_SECONDS, self.read_due, failed)

    async def read_due(self) -> None:
        """Read the Workspaces that are due; end the delegations of tenants that no longer have a service account."""
        if not self._leader.is_leader:
            self._turns.clear()
            self._ended.clear()
            return
        for name, tenant in self._tenants.items():
            delegation = self._delegations.get(name)
            if delegation is None:
                self._turns.pop(name, None)
                if name not in self._ended and not self._is_unknown(name):
                    await self._end(name)
                continue
            self._ended.discard(name)
            turn = self._turns.get(name)
            # No read is planned more than `READ_SECONDS` ahead.  If the next read seems to be later, the clock was set
            # back after the planning, and the Workspace is read now.
            is_planned = turn is not None and 0.0 < turn.next_at - self._clock.seconds() <= READ_SECONDS
            if turn is None or turn.delegation != delegation or not is_planned:
                wait = READ_SECONDS if await self._attempt(name, tenant, delegation) else RETRY_SECONDS
                self._turns[name] = _Turn(delegation, self._clock.seconds() + wait)

    async def _end(self, name: str) -> None:
        orphans = await self._leader.store.run(tenants.end_delegation, name, self._clock.seconds())
        self._ended.add(name)
        if orphans:
            log.warn(
                "tenant {tenant} has no service account any more: {count} accounts need their users' consents",
                event="delegation_ended",
                tenant=name,
                count=orphans,
            )

    async def _attempt(self, name: str, tenant: DelegatedTenant, delegation: Delegation) -> bool:
        """Read a Workspace, and return whether the read has succeeded; record and log the failure once."""
        try:
            await self._read(name, tenant, delegation)
        except GoogleError as error:
            code = error.refusal if isinstance(error, DelegationRefused) else error.code
            code = SHORT_LIST if isinstance(error, _ShortList) else code
            now = self._clock.seconds()
            if await self._leader.store.run(tenants.record_workspace_failure, name, code, now):
                log.error(
                    "tenant {tenant}: the users of its Workspace cannot be read: {code} {detail} {advice}",
                    event="workspace_failed",
                    tenant=name,
                    code=code,
                    detail=error.detail,
                    advice=_advice(code),
                )
            return False
        return True

    async def _read(self, name: str, tenant: DelegatedTenant, delegation: Delegation) -> None:
        scopes = await allowed_scopes(self._oauth, delegation, tenant.sources)
        turn = self._turn(delegation)
        listing = await self._directory.users(await self._token(delegation, USERS_SCOPE), turn)
        await self._check_length(name, {*listing.skipped, *(user.id for user in listing.users)})
        settings = delegation.settings
        deciding = {group.lower() for group in settings.groups}
        groups = sorted(deciding.union(tenant.google_groups))
        members: set[str] = set()
        for group in groups:
            found = await self._read_group(name, delegation, group, listing.users)
            if group in deciding and not found:
                # The users of this group must not count as leavers.
                raise BadResponse("a group that decides whose contacts are read has no members, or cannot be read")
            members.update(found or () if group in deciding else ())
        selected, others = select_users(settings, listing.users, members, tenant.allowed)
        added = await self._leader.store.run(
            tenants.apply_users,
            name,
            selected,
            others,
            listing.skipped,
            scopes=scopes,
            sharing=tenant.sharing,
            shared_label=tenant.shared_label if tenant.sharing is not Sharing.PRIVATE else "",
            now=self._clock.seconds(),
        )
        await self._leader.store.run(tenants.remove_other_groups, name, groups)
        if added:
            log.info(
                "tenant {tenant}: the service account reads the contacts of {count} more users",
                event="users_added",
                tenant=name,
                count=added,
            )

    async def _token(self, delegation: Delegation, scope: str) -> str:
        """Get a token of the administrator for one scope: Google refuses all scopes if one scope is not allowed."""
        administrator = delegation.settings.administrator
        grant = await self._oauth.delegated_grant(delegation.service_account, administrator, [scope])
        return grant.access_token

    async def _read_group(
        self, name: str, delegation: Delegation, group: str, users: Iterable[WorkspaceUser]
    ) -> frozenset[str] | None:
        """Read and store the members of a group.

        :returns: the ids of those members who are users, or None if the group cannot be read.  If the group cannot be
            read, the stored members stay.
        """
        try:
            token = await self._token(delegation, GROUPS_SCOPE)
            found = await self._directory.group_members(token, group, self._turn(delegation))
        except DelegationRefused as error:
            now = self._clock.seconds()
            if await self._leader.store.run(tenants.record_group_failure, name, group, error.refusal, now):
                log.warn(
                    "tenant {tenant}: a Google Group cannot be read: {code} {detail}",
                    event="group_failed",
                    tenant=name,
                    code=error.refusal,
                    detail=error.detail,
                )
            return None
        present = frozenset(
            user.id
            for user in users
            if found.has(user) and not (user.is_guest or user.is_suspended or user.is_archived)
        )
        await self._leader.store.run(tenants.write_group, name, group, present, self._clock.seconds())
        return present

    async def _check_length(self, name: str, listed: Collection[str]) -> None:
        """Check that a list of users has most of the known users.

        :param listed: the ids of all listed users.
        :raises BadResponse: if most of the known users are missing, and have been missing for less than a week.
        """
        known = await self._leader.store.run(accounts.read_all, name)
        delegated = [account.sub for account in known if account.delegated]
        missing = len(set(delegated) - set(listed))
        if not is_suspicious(len(delegated), missing):
            return
        status = await self._leader.store.run(tenants.read_workspace, name)
        since = status.error_since if status.error_code == SHORT_LIST else None
        if since is None or self._clock.seconds() - since < SHORT_SECONDS:
            raise _ShortList(f"{missing} of {len(delegated)} users are missing")

    def _turn(self, delegation: Delegation) -> Turn:
        """Return a function that waits until the next call for the service account's project may be made."""
        pacer = self._pacer.of(delegation.service_account.project_id)
        return lambda: pacer.turn(is_requested=False)


def _advice(code: str) -> str:
    """Return the text of a refusal by Google, with instructions; empty for another error."""
    text = {refusal.value: text for refusal, text in REFUSAL_TEXTS.items()}.get(code)
    return "" if text is None else f"({text.what} {text.todo})"


async def allowed_scopes(oauth: OAuth, delegation: Delegation, sources: Iterable[Source]) -> frozenset[str]:
    """Return the scopes of the given sources that the Workspace allows the service account to use.

    :raises GoogleError: if Google allows none of the scopes, or refuses the request for another reason.
    """
    allowed: list[str] = []
    refused: DelegationRefused | None = None
    for scope in (SCOPE_OF[source] for source in sources):
        try:
            await oauth.delegated_grant(delegation.service_account, delegation.settings.administrator, [scope])
            allowed.append(scope)
        except DelegationRefused as error:
            if error.refusal not in (DelegationRefusal.NOT_AUTHORIZED, DelegationRefusal.SOME_SCOPES):
                raise
            refused = error
    if not allowed and refused is not None:
        raise refused
    return frozenset(allowed)


async def try_delegation(
    *,
    oauth: OAuth,
    directory: WorkspaceDirectory,
    people: People,
    delegation: Delegation,
    tenant: DelegatedTenant,
) -> DelegationTrial:
    """Try a service account with its administrator, and with one of the users whose contacts are to be read.

    :raises GoogleError: the first refusal.
    """
    scopes = await allowed_scopes(oauth, delegation, tenant.sources)
    users = await list_selected(oauth, directory, delegation, tenant)
    allowed = [source for source in tenant.sources if SCOPE_OF[source] in scopes]
    await try_users(oauth, people, delegation, users, allowed)
    return DelegationTrial(len(users), scopes)


async def list_selected(
    oauth: OAuth, directory: WorkspaceDirectory, delegation: Delegation, tenant: DelegatedTenant
) -> tuple[DelegatedUser, ...]:
    """List the users whose contacts a service account may read.

    :raises GoogleError: if the users, or the members of a group that selects users, cannot be listed.
    """
    settings = delegation.settings
    scopes = [USERS_SCOPE, *([GROUPS_SCOPE] if settings.groups or tenant.google_groups else [])]
    grant = await oauth.delegated_grant(delegation.service_account, settings.administrator, scopes)
    listing = await directory.users(grant.access_token)
    groups = [await directory.group_members(grant.access_token, group.lower()) for group in settings.groups]
    members = {user.id for user in listing.users if any(group.has(user) for group in groups)}
    selected, _ = select_users(settings, listing.users, members, tenant.allowed)
    return selected


async def try_users(
    oauth: OAuth,
    people: People,
    delegation: Delegation,
    users: Iterable[DelegatedUser],
    sources: Collection[Source],
) -> None:
    """Try a service account: request a token for one of the users, and one person of the user's first source.

    Google refuses single users for reasons that concern nobody else, so up to `_TRIED_USERS` users are tried until
    Google accepts a user.  The administrator is the last of the users, because other calls have tried the
    administrator.

    :param sources: the sources whose scopes the Workspace allows, at least one.
    :raises GoogleError: the first refusal, if no user can be read.
    """
    administrator = delegation.settings.administrator.lower()
    refused: GoogleError | None = None
    for user in sorted(users, key=lambda user: user.address.lower() == administrator)[:_TRIED_USERS]:
        try:
            await _try_user(oauth, people, delegation, user, sources)
        except (DelegationRefused, GoogleRefused, SourceUnavailable) as error:
            if isinstance(error, DelegationRefused) and error.refusal in REFUSED_TENANT:
                raise
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


async def _try_user(
    oauth: OAuth, people: People, delegation: Delegation, user: DelegatedUser, sources: Collection[Source]
) -> None:
    scopes = [SCOPE_OF[source] for source in sources]
    grant = await oauth.delegated_grant(delegation.service_account, user.address, scopes)
    # The first page is enough, so the other pages are not requested.
    await anext(people.pages(next(iter(sources)), lambda call: call(grant.access_token), None, len, page_size=1))

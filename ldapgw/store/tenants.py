# SPDX-License-Identifier: MIT
"""Stored state of tenants: OAuth clients, service accounts and the Workspaces that these read, and alarms.

Administrators enter OAuth clients and service accounts on the page.  Client secrets and key files are encrypted
(`ldapgw.store.secrets`).  A tenant has at most one alarm about its client, however many accounts the problem affects.

The accounts of delegated users are rows of the table ``account`` like the accounts that people have connected; their
column ``delegated`` is true.  If a delegated account also has its user's own consent, the gateway uses the consent as
long as Google accepts the consent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.contact import Sharing
from ldapgw.store import accounts, leavers, sync_state
from ldapgw.store.accounts import ERROR_COLUMNS, Account, ErrorStatus, SyncRequest, holds_grant
from ldapgw.store.leavers import LeaverReason
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import (
    account,
    alarm,
    columns_of,
    delegation,
    google_group,
    oauth_client,
    source,
    unsealed,
    value_of,
    workspace,
)


@dataclass(frozen=True, slots=True)
class EnteredClient:
    """A tenant's OAuth client, as an administrator has entered it."""

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    entered_at: float


class DelegationSettings(msgspec.Struct, frozen=True):
    """The users whose contacts a service account may read.

    :ivar administrator: the address of the user who may list users and groups.
    :ivar users: addresses, ``@domain`` or ``*``.
    :ivar groups: the addresses of Google Groups.
    :ivar org_units: the paths of organizational units.
    :ivar exclude: addresses of users whose contacts the gateway must not read.
    """

    administrator: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    org_units: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnteredDelegation:
    """A tenant's service account, as an administrator has entered it on the page.

    :ivar key_file: the content of the key file, whose private key no message may show.
    """

    tenant: str
    key_file: str = field(repr=False)
    settings: DelegationSettings
    entered_at: float


@dataclass(frozen=True, slots=True)
class WorkspaceStatus:
    """The result of the last read of a tenant's Workspace, a row of the table ``workspace``.

    :ivar read_at: when the users were last read in full, in seconds since the epoch, or None if the users were never
        read in full.
    :ivar users: how many users the service account reads for.
    :ivar scopes: the scopes that the Workspace's administrator has allowed the service account.
    :ivar error_code: why the last read failed: a `ldapgw.google.delegation.DelegationRefusal`, or an error code of
        ``status.json``; empty if the last read succeeded.
    """

    read_at: float | None = None
    users: int = 0
    scopes: frozenset[str] = frozenset()
    error_code: str = ""
    error_since: float | None = None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """The members of a Google Group, as they were last read.

    :ivar members: the ``sub`` of each member who is a user of the Workspace.
    """

    address: str
    members: frozenset[str]
    read_at: float | None
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class DelegatedUser:
    """A user of the Workspace whose contacts the service account reads.

    :ivar sub: the user's id in the directory, which is also the claim ``sub`` of the user's ``id_token``.
    :ivar address: the user's primary address.
    """

    sub: str
    address: str


@dataclass(frozen=True, slots=True)
class DelegationTrial:
    """The result of trying a service account before the service account is used.

    :ivar users: how many users' contacts the service account would read.
    :ivar scopes: the scopes of the tenant's sources that the Workspace allows the service account.
    """

    users: int
    scopes: frozenset[str]


def enter_client(connection: Connection, secret_box: SecretBox, new: EnteredClient) -> None:
    """Store a tenant's client, which replaces the tenant's former client."""
    connection.execute(delete(oauth_client).where(oauth_client.c.tenant == new.tenant))
    columns = columns_of(new, client_secret=secret_box.seal(new.client_secret))
    connection.execute(insert(oauth_client).values(columns))


def read_clients(connection: Connection, secret_box: SecretBox) -> tuple[tuple[EnteredClient, ...], frozenset[str]]:
    """Read all clients, and the tenants whose clients were encrypted with another key and have to be entered again."""
    rows = connection.execute(select(oauth_client).order_by(oauth_client.c.tenant))
    clients, unfit = unsealed(EnteredClient, rows, secret_box, "client_secret")
    return clients, frozenset(row.tenant for row in unfit)


def client_entered_at(connection: Connection, tenant: str) -> float | None:
    """Return when a tenant's client was entered, in seconds since the epoch; None if there is no client."""
    query = select(oauth_client.c.entered_at).where(oauth_client.c.tenant == tenant)
    entered_at: float | None = connection.execute(query).scalar()
    return entered_at


def has_any_client(connection: Connection) -> bool:
    return connection.execute(select(oauth_client.c.tenant).limit(1)).first() is not None


def raise_alarm(connection: Connection, tenant: str, code: str, now: float, link: str = "") -> bool:
    """Store a tenant's alarm in place of an earlier alarm.

    :param link: address at Google where the problem can be fixed, or empty if Google named no address.
    :returns: whether the alarm is new or has another code than before.
    """
    before = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    is_new = before is None or before.code != code
    since = now if before is None or is_new else before.since
    connection.execute(delete(alarm).where(alarm.c.tenant == tenant))
    connection.execute(insert(alarm).values(tenant=tenant, code=code, since=since, link=link))
    return is_new


def clear_alarm(connection: Connection, tenant: str) -> bool:
    """End a tenant's alarm, and return whether there was an alarm."""
    return connection.execute(delete(alarm).where(alarm.c.tenant == tenant)).rowcount > 0


def read_alarm(connection: Connection, tenant: str) -> ErrorStatus | None:
    """Read a tenant's alarm; return None if there is no alarm."""
    row = connection.execute(select(alarm).where(alarm.c.tenant == tenant)).first()
    return value_of(ErrorStatus, row) if row is not None else None


def read_alarm_codes(connection: Connection) -> dict[str, str]:
    return {row.tenant: row.code for row in connection.execute(select(alarm.c.tenant, alarm.c.code))}


def read_alarm_code(connection: Connection, tenant: str) -> str:
    """Read the code of a tenant's alarm; return an empty text if there is no alarm."""
    return connection.execute(select(alarm.c.code).where(alarm.c.tenant == tenant)).scalar() or ""


def enter_delegation(connection: Connection, secret_box: SecretBox, new: EnteredDelegation) -> None:
    """Store a tenant's service account, which replaces the tenant's former service account."""
    connection.execute(delete(delegation).where(delegation.c.tenant == new.tenant))
    columns = columns_of(new, key_file=secret_box.seal(new.key_file))
    connection.execute(insert(delegation).values(columns))


def remove_delegation(connection: Connection, tenant: str) -> bool:
    """Delete a tenant's entered service account, and return whether there was any."""
    return connection.execute(delete(delegation).where(delegation.c.tenant == tenant)).rowcount > 0


def delegation_entered_at(connection: Connection, tenant: str) -> float | None:
    """Return the time at which a tenant's service account was entered.

    :returns: seconds since the epoch, or None if no service account was entered for the tenant.
    """
    found: float | None = connection.execute(
        select(delegation.c.entered_at).where(delegation.c.tenant == tenant)
    ).scalar()
    return found


def read_delegations(
    connection: Connection, secret_box: SecretBox
) -> tuple[tuple[EnteredDelegation, ...], frozenset[str]]:
    """Read all entered service accounts, and the tenants whose key files were encrypted with another key."""
    rows = connection.execute(select(delegation).order_by(delegation.c.tenant))
    found, unfit = unsealed(EnteredDelegation, rows, secret_box, "key_file")
    return found, frozenset(row.tenant for row in unfit)


def read_workspace(connection: Connection, tenant: str) -> WorkspaceStatus:
    """Read the result of the last read of a tenant's Workspace."""
    return read_workspaces(connection).get(tenant, WorkspaceStatus())


def read_workspaces(connection: Connection) -> Mapping[str, WorkspaceStatus]:
    """Read the result of the last read of each tenant's Workspace, by tenant."""
    return {row.tenant: value_of(WorkspaceStatus, row) for row in connection.execute(select(workspace))}


def read_delegated_tenants(connection: Connection) -> frozenset[str]:
    """Read the names of the tenants with an entered service account; no key is needed."""
    return frozenset(connection.execute(select(delegation.c.tenant)).scalars())


def record_workspace_failure(connection: Connection, tenant: str, error_code: str, now: float) -> bool:
    """Record that a tenant's Workspace could not be read.

    :returns: False if the last read failed with the same error code, otherwise True.
    """
    before = read_workspace(connection, tenant)
    since = before.error_since if before.error_code == error_code else now
    _write_status(connection, tenant, {"error_code": error_code, "error_since": since})
    return before.error_code != error_code


def _write_status(connection: Connection, tenant: str, values: Mapping[str, object]) -> None:
    if not connection.execute(update(workspace).where(workspace.c.tenant == tenant).values(**values)).rowcount:
        connection.execute(insert(workspace).values(tenant=tenant, **values))


def write_group(connection: Connection, tenant: str, address: str, members: Collection[str], now: float) -> None:
    """Store the members of a Google Group.

    :param address: the group's address in lower case.
    :param members: the ``sub`` of each member.
    """
    where = google_group.c.tenant == tenant, google_group.c.address == address
    ordered = sorted(members)
    values = {"read_at": now, "error_code": None, "error_since": None}
    before = connection.execute(select(google_group.c.members).where(*where)).scalar()
    if before is None:
        new = {"tenant": tenant, "address": address, "members": ordered}
        connection.execute(insert(google_group).values({**new, **values}))
        return
    # A write of the members marks all accounts of the tenant as changed.
    changed = {} if before == ordered else {"members": ordered}
    connection.execute(update(google_group).where(*where).values({**values, **changed}))


def record_group_failure(connection: Connection, tenant: str, address: str, error_code: str, now: float) -> bool:
    """Record that the members of a Google Group could not be read; the last members stay.

    :returns: False if the last read of the group failed with the same error code, otherwise True.
    """
    where = google_group.c.tenant == tenant, google_group.c.address == address
    before = connection.execute(select(google_group).where(*where)).first()
    since = now if before is None or before.error_code != error_code else before.error_since
    values = {"error_code": error_code, "error_since": since}
    if before is None:
        connection.execute(insert(google_group).values(tenant=tenant, address=address, members=[], **values))
    else:
        connection.execute(update(google_group).where(*where).values(values))
    return before is None or before.error_code != error_code


def remove_other_groups(connection: Connection, tenant: str, addresses: Collection[str]) -> None:
    """Delete the stored groups of a tenant except the groups with the given addresses."""
    connection.execute(
        delete(google_group).where(google_group.c.tenant == tenant, google_group.c.address.not_in(addresses))
    )


def read_groups(connection: Connection, tenant: str) -> tuple[GroupStatus, ...]:
    """Read the Google Groups of a tenant."""
    rows = connection.execute(
        select(google_group).where(google_group.c.tenant == tenant).order_by(google_group.c.address)
    )
    return tuple(value_of(GroupStatus, row) for row in rows)


def apply_users(
    connection: Connection,
    tenant: str,
    users: Iterable[DelegatedUser],
    gone: Mapping[str, LeaverReason],
    unknown: Collection[str],
    *,
    scopes: frozenset[str],
    sharing: Sharing,
    shared_label: str,
    now: float,
) -> int:
    """Make the tenant's delegated accounts agree with the users of the Workspace, in one transaction.

    A user without an account gets an account.  The account of a user who is gone keeps its contacts, but is no longer
    synced; `ldapgw.sync.leavers` removes the account later if the tenant's configuration says so.

    :param gone: by ``sub``, the reason why the service account may no longer read the user's contacts.  A delegated
        account that is neither in `users` nor in `gone` nor in `unknown` counts as deleted.
    :param unknown: each ``sub`` whose account stays as it is, because Google did not say enough about the user.
    :param sharing: the sharing of new accounts.
    :param shared_label: new accounts share only the contacts with this label; empty for all contacts.
    :returns: the number of new accounts.
    """
    known = {found.sub: found for found in accounts.read_all(connection, tenant)}
    present = {user.sub: user for user in users}
    new: list[dict[str, object]] = []
    for sub, user in present.items():
        before = known.get(sub)
        values = {**_granted(scopes, now), "address": user.address, "delegated": True}
        if before is None:
            own = {"tenant": tenant, "sub": sub, "sharing": sharing, "shared_label": shared_label or None}
            new.append({**values, **own})
        elif before.is_connected:
            _continue(connection, before, user, scopes, now)
        else:
            # The person had disconnected the account, which deleted the contacts.  Nobody has decided yet who may see
            # the new contacts, so the book is private, and no other person's page shows the account.
            own = {"sharing": Sharing.PRIVATE, "owner": None}
            is_disconnected = account.c.id == before.id, account.c.connected_at.is_(None)
            connection.execute(update(account).where(*is_disconnected).values({**values, **own}))
    if new:
        connection.execute(insert(account), new)
    considered = [found for found in known.values() if found.delegated and found.sub not in unknown]
    left: dict[int, LeaverReason] = {}
    for found in considered:
        if found.sub in present:
            continue
        reason = gone.get(found.sub, LeaverReason.DELETED)
        if found.has_consent and reason is LeaverReason.MOVED:
            connection.execute(update(account).where(account.c.id == found.id).values(delegated=False))
            continue
        left[found.id] = reason
        if found.uses_delegation and found.next_sync is not None:
            facts = {"by": reason.value}
            sync_state.fail(connection, found, "google_refused", now, None, facts=facts)
    leavers.mark(connection, [found.id for found in considered], left, now)
    status = {"read_at": now, "users": len(present), "scopes": sorted(scopes)}
    _write_status(connection, tenant, {**status, "error_code": None, "error_since": None})
    return len(new)


def _continue(connection: Connection, known: Account, user: DelegatedUser, scopes: frozenset[str], now: float) -> None:
    """Update a connected account whose user the service account may read."""
    values: dict[str, object] = {"address": user.address, "delegated": True}
    is_resumed = known.next_sync is None and not known.syncing
    if (known.uses_delegation and (is_resumed or known.scopes != scopes)) or (known.has_consent and known.revoked):
        use_delegation(connection, known, now, scopes)
    if values != {"address": known.address, "delegated": known.delegated}:
        connection.execute(update(account).where(account.c.id == known.id).values(values))


def use_delegation(connection: Connection, grant: Account, now: float, scopes: frozenset[str] | None = None) -> None:
    """Let the service account read an account's contacts, and let the grant of the account's user be revoked.

    :param scopes: the scopes that the service account may use, or None for the scopes that were last read.
    """
    # The import is here, because commands import this module, start faster without `revocations`, and never call this
    # function.
    from ldapgw.store import revocations

    if scopes is None:
        scopes = read_workspace(connection, grant.tenant).scopes
    # The request makes the scheduler begin the next sync at once.
    values = {**_granted(scopes, now), "requested_sync": SyncRequest.FULL, "pending_sync": None}
    if grant.has_consent:
        revocations.revoke_forgotten(connection, grant, now)
    if connection.execute(update(account).where(holds_grant(grant)).values(values)).rowcount:
        connection.execute(delete(source).where(source.c.account_id == grant.id))


def _granted(scopes: frozenset[str], now: float) -> Mapping[str, object]:
    """Return the column values of an account whose contacts the service account begins to read."""
    forgotten = (
        "refresh_token",
        "refresh_expires_at",
        "access_token",
        "access_expires_at",
        "client_id",
        "labels_token",
    )
    return {
        **dict.fromkeys((*forgotten, *ERROR_COLUMNS)),
        "connected_at": now,
        "scopes": sorted(scopes),
        "next_sync": now,
        "failures": 0,
    }


def end_delegation(connection: Connection, tenant: str, now: float) -> int:
    """End the delegation of all accounts of a tenant that has no service account any more.

    Accounts with a consent go on.  The other accounts keep their contacts, and need a consent to be synced again.

    :returns: the number of accounts that need a consent now.
    """
    delegated = [found for found in accounts.read_all(connection, tenant) if found.delegated]
    if not delegated:
        return 0
    leavers.mark(connection, [found.id for found in delegated], {}, now)
    connection.execute(update(account).where(account.c.tenant == tenant).values(delegated=False))
    orphans = [found for found in delegated if found.uses_delegation and found.is_connected]
    for found in orphans:
        sync_state.fail(connection, found, "consent_revoked", now, None, facts={"by": "delegation"})
    connection.execute(delete(workspace).where(workspace.c.tenant == tenant))
    return len(orphans)

# SPDX-License-Identifier: MIT
"""Changes of a grant after its consent: sources are switched on and off, accounts disconnected, and grants revoked.

A source that is switched off stays off over later syncs and consents, even though the grant still has its scope.

When an account is disconnected, its contacts and tokens are deleted, but the refresh token is kept until Google has
revoked the grant.  After a day, the refresh token is deleted even if Google could not be reached.  If a consent to
another Google project, or the service account, replaces a grant, the former grant is revoked in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, Connection, and_, case, delete, insert, or_, select, update

from ldapgw.contact import Source
from ldapgw.store import accounts, activity, contacts, directory_accounts, sync_state
from ldapgw.store.accounts import Account, NewGrant, SourceState, SyncRequest, holds_grant
from ldapgw.store.activity import Act, ActivityEntry
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import account, revocation, unsealed

# The age at which the gateway gives up a revocation.  From then on, only the user can revoke the grant, at Google.  A
# page explains this to a user who disconnects; for a replaced grant, only the log does.
MAX_AGE_SECONDS = 86400.0
# The seconds until the first attempt of the service `ldapgw.sync.tokens.TokenRevoker`.  The page or command that
# disconnects the account makes an attempt at once.
FIRST_WAIT = 60.0
# The longest wait between two attempts, in seconds.
LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class Revocation:
    """A grant that has to be revoked at Google, a row of the table ``revocation``.

    :ivar client_id: the OAuth client that the grant was given to, or None if the client is not known.
    """

    id: int
    tenant: str
    sub: str = field(repr=False)
    token: str = field(repr=False)
    since: float
    tries: int = 0
    client_id: str | None = None

    def is_expired(self, now: float) -> bool:
        """Return whether to give up the revocation.  At least one attempt is made, even if the clock is wrong."""
        return self.tries > 0 and now - self.since >= MAX_AGE_SECONDS


def _lock_connected(connection: Connection, account_id: int) -> bool:
    """Lock an account until the transaction ends, and return whether the account is still connected."""
    accounts.lock(connection, account_id)
    current = accounts.read(connection, account_id)
    return current is not None and current.is_connected


def switch_on(connection: Connection, account_id: int, of: Source) -> bool:
    """Let the syncs of an account fetch a source whose scope is granted, and request a sync.

    :returns: False if the account is not connected any more; nothing is stored then.
    """
    if not _lock_connected(connection, account_id):
        return False
    sync_state.write_source_states(connection, account_id, {of: SourceState.ON})
    sync_state.request_sync(connection, account_id, SyncRequest.INCREMENTAL)
    return True


def switch_on_with_grant(
    connection: Connection, secret_box: SecretBox, known: Account, grant: NewGrant, of: Source, now: float
) -> bool:
    """Store the tokens of a consent to one more source of a connected account, and switch the source on.

    The other sources keep their contacts and their sync tokens.

    :param grant: the new tokens with all scopes that the account has now.
    :returns: False if the account is not connected any more; nothing is stored then.
    """
    if not _lock_connected(connection, known.id):
        return False
    revoke_replaced(connection, known.id, grant, now)
    values: dict[str, object] = {
        "scopes": sorted(grant.scopes),
        "access_token": secret_box.seal(grant.access_token),
        "access_expires_at": grant.access_expires_at,
        "client_id": grant.client_id,
    }
    if grant.refresh_token is not None:
        # The new time of consent marks a new grant, so a running sync cannot overwrite the new tokens and states.
        values |= {
            "refresh_token": secret_box.seal(grant.refresh_token),
            "refresh_expires_at": grant.refresh_expires_at,
            "connected_at": now,
        }
    connection.execute(update(account).where(account.c.id == known.id).values(**values))
    return switch_on(connection, known.id, of)


def switch_off(connection: Connection, account_id: int, of: Source) -> bool:
    """Delete the contacts of a source of an account, and fetch the source no more.

    The contacts of the directory move to another account that can fetch the directory; without such an account the
    contacts are deleted.

    :returns: False if the account is not connected any more; nothing is stored then.
    """
    if not _lock_connected(connection, account_id):
        return False
    if of is Source.DIRECTORY:
        directory_accounts.hand_over_directory(connection, account_id)
    sync_state.write_source_states(connection, account_id, {of: SourceState.OFF})
    directory_accounts.clear_failure(connection, account_id, of)
    if contacts.delete_sources(connection, account_id, [of]) is not None:
        sync_state.increment_generation(connection, account_id)
    return True


def disconnect_account(connection: Connection, account_id: int, now: float, *, revoked: bool = False) -> int | None:
    """Delete an account's tokens and contacts; another account of the tenant takes over the directory, if possible.

    :param revoked: whether Google has revoked the grant already.
    :returns: the id of the pending revocation, or None if there is nothing to revoke.
    """
    accounts.lock(connection, account_id)  # a sync may store a new token meanwhile
    revocation_id = None if revoked else _store_revocation(connection, account.c.id == account_id, now)
    directory_accounts.hand_over_directory(connection, account_id)
    accounts.disconnect(connection, account_id)
    return revocation_id


def revoke_replaced(connection: Connection, account_id: int, grant: NewGrant, now: float) -> None:
    """Let the stored grant of an account be revoked if a new grant to another Google project replaces this grant.

    The caller stores the new grant in the same transaction.  The service `ldapgw.sync.tokens.TokenRevoker` revokes
    nothing if another account depends on the former grant (`is_shared`).
    """
    accounts.lock(connection, account_id)  # a sync may store a new token meanwhile
    former = connection.execute(select(account.c.client_id).where(account.c.id == account_id)).scalar()
    projects = _project_of(former), _project_of(grant.client_id)
    # If a project is not known, the new grant may be of the same project as the former grant.
    if grant.refresh_token is not None and None not in projects and projects[0] != projects[1]:
        _store_revocation(connection, account.c.id == account_id, now)


def revoke_forgotten(connection: Connection, grant: Account, now: float) -> None:
    """Let the consent of an account be revoked, unless the account was disconnected or connected anew meanwhile.

    The caller deletes the refresh token in the same transaction.
    """
    accounts.lock(connection, grant.id)  # a sync may store a new token meanwhile
    _store_revocation(connection, holds_grant(grant), now)


def _store_revocation(connection: Connection, is_meant: ColumnElement[bool], now: float) -> int | None:
    """Store a pending revocation of an account's grant; return its id, or None if the account has no grant."""
    columns = account.c.tenant, account.c.sub, account.c.client_id, account.c.refresh_token
    row = connection.execute(select(*columns).where(is_meant, account.c.refresh_token.is_not(None))).first()
    if row is None:
        return None
    # The token is copied in its encrypted form, so that an account can be disconnected even if the key is missing.
    new = insert(revocation).values(
        tenant=row.tenant,
        sub=row.sub,
        client_id=row.client_id,
        token=row.refresh_token,
        since=now,
        next_try=now + FIRST_WAIT,
    )
    new_id: int = connection.execute(new.returning(revocation.c.id)).scalar_one()
    return new_id


def end_account(
    connection: Connection,
    account_id: int,
    entry: ActivityEntry,
    *,
    with_phones: bool | None = None,
    revoked: bool = False,
) -> int | None:
    """Disconnect or remove an account, and record this act and the removal of each phone.

    The removal is in the transaction of the disconnection, so that nobody can connect the account in between, which
    would lose the new grant.

    :param entry: the entry about the account, from which the entries about phones are made.
    :param with_phones: see `ldapgw.store.accounts.remove`; None to keep the account.
    :param revoked: whether Google has revoked the grant already.
    :returns: the id of the pending revocation, or None if there is nothing to revoke.
    """
    revocation_id = disconnect_account(connection, account_id, entry.when, revoked=revoked)
    names = () if with_phones is None else accounts.remove(connection, account_id, with_phones=with_phones)
    of_phones = (replace(entry, act=Act.PHONE_REMOVED, subject=name, detail="") for name in names)
    activity.record(connection, entry, *of_phones)
    return revocation_id


def read(connection: Connection, secret_box: SecretBox, revocation_id: int) -> Revocation | None:
    """Read a pending revocation; return None if no revocation has this id, or its token cannot be decrypted."""
    rows = connection.execute(select(revocation).where(revocation.c.id == revocation_id))
    found, _ = unsealed(Revocation, rows, secret_box, "token")
    return found[0] if found else None


def is_pending(connection: Connection, revocation_id: int) -> bool:
    """Return whether a revocation is still to be made, also if its token cannot be decrypted."""
    query = select(revocation.c.id).where(revocation.c.id == revocation_id)
    return connection.execute(query).first() is not None


def read_due(connection: Connection, secret_box: SecretBox, now: float) -> tuple[Revocation, ...]:
    """Read the revocations to attempt or give up now, and delete revocations whose token cannot be decrypted."""
    # A time that is further away than the longest wait must have been computed while the clock was ahead.  So such a
    # revocation is due now.
    is_due = or_(revocation.c.next_try <= now, revocation.c.next_try > now + LONGEST_WAIT)
    due, unfit = unsealed(Revocation, connection.execute(select(revocation).where(is_due)), secret_box, "token")
    for row in unfit:
        remove(connection, row.id)
    return due


def postpone(connection: Connection, revocation_id: int, next_try: float) -> None:
    """Count a failed attempt, and store the time of the next attempt.

    Attempts end a day after the account was disconnected.  If the clock was ahead then, the day begins now.
    """
    since = case((revocation.c.since > next_try, next_try), else_=revocation.c.since)
    values = {"next_try": next_try, "tries": revocation.c.tries + 1, "since": since}
    connection.execute(update(revocation).where(revocation.c.id == revocation_id).values(values))


def remove(connection: Connection, revocation_id: int) -> None:
    """Delete a revocation that has succeeded or was given up."""
    connection.execute(delete(revocation).where(revocation.c.id == revocation_id))


def is_shared(connection: Connection, client_id: str | None, sub: str) -> bool:
    """Return whether an account depends on a user's grants to the Google project of an OAuth client.

    A revocation would end the grant of such an account too, because a revocation ends all grants of a user to a Google
    project.

    :param client_id: the client, or None if the client is not known.  If the client is not known, the result is true if
        the user has an account with a consent, because this account may depend on the grants.
    """
    has_consent = and_(account.c.sub == sub, account.c.refresh_token.is_not(None))
    projects = {
        _project_of(other) for other in connection.execute(select(account.c.client_id).where(has_consent)).scalars()
    }
    return bool(projects) if client_id is None else not projects.isdisjoint((None, _project_of(client_id)))


def _project_of(client_id: str | None) -> str | None:
    """Return the Google project of an OAuth client (`ldapgw.google.endpoints.Client.project`), or None if unknown."""
    return None if client_id is None else client_id.partition("-")[0]

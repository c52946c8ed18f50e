# SPDX-License-Identifier: MIT
"""The switches of an account's sources: a person decides which sources the syncs fetch.

A source that is switched off stays off over later syncs and consents, even though the grant still has its scope.
"""

from __future__ import annotations

from sqlalchemy import Connection, update

from ldapgw.contact import Source
from ldapgw.store import accounts, contacts, directory_accounts, sync_state
from ldapgw.store.accounts import Account, NewGrant, SourceState, SyncRequest
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import account


def switch_on(connection: Connection, account_id: int, of: Source) -> None:
    """Let the syncs of an account fetch a source whose scope is granted, and request a sync."""
    accounts.lock(connection, account_id)
    sync_state.write_source_states(connection, account_id, {of: SourceState.ON})
    sync_state.request_sync(connection, account_id, SyncRequest.INCREMENTAL)


def switch_on_with_grant(
    connection: Connection, secret_box: SecretBox, known: Account, grant: NewGrant, of: Source, now: float
) -> None:
    """Store the tokens of a consent to one more source of a connected account, and switch the source on.

    The other sources keep their contacts and their sync tokens.

    :param grant: the new tokens with all scopes that the account has now.
    """
    accounts.lock(connection, known.id)
    values: dict[str, object] = {
        "scopes": " ".join(sorted(grant.scopes)),
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
    switch_on(connection, known.id, of)


def switch_off(connection: Connection, account_id: int, of: Source) -> None:
    """Delete the contacts of a source of an account, and fetch the source no more.

    The contacts of the directory move to another account that can fetch the directory; without such an account the
    contacts are deleted.
    """
    accounts.lock(connection, account_id)
    if of is Source.DIRECTORY:
        directory_accounts.hand_over_directory(connection, account_id)
    sync_state.write_source_states(connection, account_id, {of: SourceState.OFF})
    directory_accounts.clear_failure(connection, account_id, of)
    if contacts.delete_sources(connection, account_id, [of]) is not None:
        sync_state.increment_generation(connection, account_id)

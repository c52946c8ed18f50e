# SPDX-License-Identifier: MIT
"""The generations of accounts' contacts, and the persons who were removed in the latest ones.

Each write of contacts belongs to the account's next generation, with which the transaction ends
(`ldapgw.store.sync_state.increment_generation`).  The column ``known_since`` has the first generation since which all
changes are known.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from ldapgw.contact import Source
from ldapgw.store.database import chunks
from ldapgw.store.tables import account, removed_contact

# A served book is a generation or two behind its account, and a cached book for the next start a few more.
KEPT_GENERATIONS = 64
# With more removed persons at a time, books are built anew.
MAX_REMOVED = 1000


def next_generation(connection: Connection, account_id: int) -> int:
    query = select(account.c.generation + 1).where(account.c.id == account_id)
    generation: int = connection.execute(query).scalar_one()
    return generation


def record_removed(connection: Connection, account_id: int, of: Source, uids: Sequence[str], generation: int) -> None:
    """Record removed persons for `KEPT_GENERATIONS`, so that books can be revised."""
    if len(uids) > MAX_REMOVED:
        forget_changes(connection, account_id, generation)
        return
    columns = removed_contact.c
    for chunk in chunks(uids):
        former = delete(removed_contact).where(columns.account_id == account_id, columns.source == of)
        connection.execute(former.where(columns.uid.in_(chunk)))
        rows = [{"account_id": account_id, "source": of, "uid": uid, "generation": generation} for uid in chunk]
        connection.execute(insert(removed_contact), rows)
    kept_since = generation - KEPT_GENERATIONS
    connection.execute(
        delete(removed_contact).where(columns.account_id == account_id, columns.generation <= kept_since)
    )
    connection.execute(
        update(account)
        .where(account.c.id == account_id, account.c.known_since < kept_since)
        .values(known_since=kept_since)
    )


def forget_changes(connection: Connection, account_id: int, generation: int) -> None:
    """Delete the record of removed persons: books of an earlier generation have to be built from all contacts."""
    connection.execute(delete(removed_contact).where(removed_contact.c.account_id == account_id))
    connection.execute(update(account).where(account.c.id == account_id).values(known_since=generation))

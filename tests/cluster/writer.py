# SPDX-License-Identifier: MIT
"""Writes an account and a phone as a gateway does, many times: ``python -m tests.cluster.writer URL NAME COUNT``.

It ends with the first transaction that fails.
"""

from __future__ import annotations

import sys
from contextlib import closing

from sqlalchemy import Connection

from ldapgw.contact import Contact, Source
from ldapgw.store import accounts, activity, contacts, phones, sync_state
from ldapgw.store.accounts import SyncRequest
from ldapgw.store.activity import GATEWAY, Act
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.database import Mode
from ldapgw.store.engines import database_at
from ldapgw.store.phones import LastBind, LastSearch
from tests.support.stage.sync import DESK, NOW


def sync(connection: Connection, account_id: int, uid: str) -> None:
    """Store one more contact, as the end of a sync does."""
    begun = sync_state.begin(connection, account_id)
    assert begun is not None
    record = ContactRecord.from_contact(uid, uid, Contact(uid, name=uid))
    contacts.apply_changes(connection, account_id, Source.CONTACTS, [record], [])
    sync_state.increment_generation(connection, account_id)
    sync_state.end(connection, begun, NOW, NOW + 60, begun_at=NOW)


def main(url: str, name: str, count: int) -> None:
    with closing(database_at(url)) as database:
        with database.begin_read() as connection:
            [account_id] = accounts.read_addresses(connection, DESK.tenant)[0][:1]
        for number in range(count):
            act = activity.entry(NOW, DESK.tenant, GATEWAY, Act.SYNC_REQUESTED, name, str(number))
            database.run(activity.recorded, act, sync_state.request_sync, account_id, SyncRequest.INCREMENTAL)
            database.call(Mode.BESIDE, sync, account_id, f"{name}-{number}")
            database.run(phones.store_last_binds, {DESK.name: LastBind(NOW + number, "127.0.0.1", DESK.password)})
            database.run(phones.store_last_searches, {DESK.name: LastSearch(NOW + number, "", NOW + number)})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

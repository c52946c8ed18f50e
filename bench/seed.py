# SPDX-License-Identifier: MIT
"""What a gateway has in its store before it starts.

Accounts with contacts, and two phones, as syncs and a command would have left them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import Connection

from bench.people import Person, person, resource
from ldapgw.contact import Sharing, Source
from ldapgw.directory.passwords import hash_password
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.server.state_dir import OpenStateDir, StateDir
from ldapgw.store import accounts, contacts, phones, sync_state
from ldapgw.store.accounts import NewGrant, SourceState
from ldapgw.store.contacts import ContactRecord
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_state import SyncState
from ldapgw.sync.fetch import SourceQuery
from ldapgw.sync.records import decode_persons, encode_page

TENANT = "acme"
REGION = "DE"
PHONE = "desk1"
# Reads over HTTP: one login has as many slices of the gateway's time as another, whatever each asks.
HTTP_PHONE = "desk2"
SECRET = "0123456789abcdefghjk"
OWNER = "alice@acme.example"
SYNC_TOKEN = "the first"
# Seconds.  Until then nothing is synced by itself and no token is renewed, also of a store that is kept.
_LATER = 365 * 86400.0
_CHUNK = 2_000


@dataclass(frozen=True)
class Account:
    """An account to be made.

    :ivar numbers: which people its book holds.
    """

    address: str
    numbers: range
    sharing: Sharing = Sharing.PRIVATE


# People in the book of another account, which the phone must not see.
OTHERS = 100


def alone(count: int) -> tuple[Account, ...]:
    """The book of the phones' own account, and another's."""
    return Account(OWNER, range(count)), Account("bob@acme.example", range(count, count + OTHERS))


def shared(count: int, books: int) -> tuple[Account, ...]:
    """The same people, spread over so many shared books; the phone's own is the first."""
    return tuple(
        Account(f"user{at}@acme.example" if at else OWNER, range(at, count, books), Sharing.SHARED)
        for at in range(books)
    )


def seed(state_dir: Path, made: Sequence[Account], now: float, database: str = "") -> None:
    """Make the store.

    :param now: seconds since the epoch.
    :param database: its URL; empty: SQLite.
    """
    state = OpenStateDir(StateDir(state_dir, database))
    try:
        with state.database.begin() as connection:
            ids = [_account(connection, state.secret_box, at, one, now) for at, one in enumerate(made)]
            parts = [(account_id, part) for account_id, one in zip(ids, made, strict=True) for part in _parts(one)]
            with _workers() as pool:
                for (account_id, _), records in zip(parts, pool.map(_records, [one for _, one in parts]), strict=True):
                    contacts.apply_changes(connection, account_id, Source.CONTACTS, records, ())
            for account_id in ids:
                sync_state.increment_generation(connection, account_id)
            password = hash_password(SECRET, os.urandom)
            for name in (PHONE, HTTP_PHONE):
                phones.add(connection, PhoneLogin(name, TENANT, ids[0], NumberMode.VALUES, password, 0.0))
    finally:
        state.close()


@contextmanager
def _workers() -> Iterator[ProcessPoolExecutor]:
    """Processes that read persons, which is what takes long; they end with the block, whatever is left to do."""
    # They must not take over what we do when somebody ends us.
    to_default = {"initializer": signal.signal, "initargs": (signal.SIGTERM, signal.SIG_DFL)}
    pool = ProcessPoolExecutor(mp_context=get_context("fork"), **to_default)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(one: Account) -> Iterator[range]:
    return (one.numbers[start : start + _CHUNK] for start in range(0, len(one.numbers), _CHUNK))


def records(people: Iterable[Person]) -> tuple[ContactRecord, ...]:
    """What a sync of these people stores."""
    batch = encode_page(map(resource, people), Source.CONTACTS, REGION, None)
    return tuple(item.record for item in decode_persons(batch.encoded_persons) if item.record)


def _records(numbers: range) -> tuple[ContactRecord, ...]:
    return records(map(person, numbers))


def _account(connection: Connection, secret_box: SecretBox, at: int, made: Account, now: float) -> int:
    """A connected account that was synced just now."""
    later = now + _LATER
    grant = NewGrant(str(at), made.address, frozenset(SCOPE_OF.values()), "token", later, "token", None)
    account_id = accounts.connect(connection, secret_box, TENANT, grant, made.sharing, now, shared_label="")
    assert account_id is not None
    begun = sync_state.begin(connection, account_id)
    assert begun is not None
    sync_state.write_source_states(connection, account_id, {Source.CONTACTS: SourceState.ON})
    state = SyncState(SYNC_TOKEN, SourceQuery(Source.CONTACTS, REGION).fingerprint, later)
    sync_state.set_sync_state(connection, account_id, Source.CONTACTS, state)
    sync_state.end(connection, begun, now, later)
    return account_id

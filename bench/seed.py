# SPDX-License-Identifier: MIT
"""The store of a gateway before its start: accounts with contacts, and phones, as syncs and commands leave them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import Connection

from bench.people import Person, person, resource
from ldapgw.contact import Sharing, Source
from ldapgw.directory.passwords import hash_password
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.people import fingerprint as label_fingerprint
from ldapgw.server.state_dir import OpenStateDir, StateDir
from ldapgw.store import accounts, contacts, phones, sync_state
from ldapgw.store.accounts import NewGrant, SourceState
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from ldapgw.store.secrets import SecretBox
from ldapgw.store.sync_state import LabelState, SyncState
from ldapgw.sync.fetch import SourceQuery
from ldapgw.sync.fetched_page import decode_persons, encode_page

TENANT = "acme"
REGION = "DE"
PHONE = "desk1"
# The phone that reads over HTTP: each login has the same part of the gateway's time, so this phone has its own.
HTTP_PHONE = "desk2"
REPLICA = "branch"
SECRET = "0123456789abcdefghjk"
OWNER = "alice@acme.example"
SYNC_TOKEN = "the first"
# The people in the book of another account, which the phone must not see.
OTHERS = 100
# Seconds until an account is synced or a token is renewed.
_LATER = 365 * 86400.0
_CHUNK = 2_000


@dataclass(frozen=True)
class Account:
    """An account of the store.

    :ivar numbers: the people of the account's book.
    """

    address: str
    numbers: range
    sharing: Sharing = Sharing.PRIVATE
    tenant: str = TENANT


def alone(count: int) -> tuple[Account, ...]:
    """Return the account of the phones, with so many contacts, and another account."""
    return Account(OWNER, range(count)), Account("bob@acme.example", range(count, count + OTHERS))


def shared(count: int, books: int) -> tuple[Account, ...]:
    """Return accounts with the same people in so many shared books; the first account is that of the phones."""
    return tuple(
        Account(f"user{at}@acme.example" if at else OWNER, range(at, count, books), Sharing.SHARED)
        for at in range(books)
    )


def seed(
    state_dir: Path, made: Sequence[Account], database: str = "", *, phones_each: int = 0, replica: bool = False
) -> None:
    """Make the store.

    :param made: the accounts; the first one has the phones `PHONE` and `HTTP_PHONE`.
    :param database: the URL of the database; empty: SQLite.
    :param phones_each: how many phones each other account has.
    :param replica: whether there is a login of a replica, which gets private books too.
    """
    now = time.time()  # noqa: TID251  the bench is an entry point
    state = OpenStateDir(StateDir(state_dir, database))
    try:
        with state.database.begin() as connection:
            ids = [_account(connection, state.secret_box, at, one, now) for at, one in enumerate(made)]
            of_part: dict[range, list[int]] = {}
            for account_id, one in zip(ids, made, strict=True):
                for start in range(0, len(one.numbers), _CHUNK):
                    of_part.setdefault(one.numbers[start : start + _CHUNK], []).append(account_id)
            # A worker must not inherit the handler with which the bench ends at a signal.
            to_default = signal.signal, (signal.SIGTERM, signal.SIG_DFL)
            with get_context("fork").Pool(None, *to_default) as pool:  # the processes end with the block
                for accounts_of, stored in zip(of_part.values(), pool.imap(_records, of_part), strict=True):
                    for account_id in accounts_of:
                        contacts.apply_changes(connection, account_id, Source.CONTACTS, stored, ())
            for account_id in ids:
                sync_state.increment_generation(connection, account_id)
            for login in _logins(ids, made, phones_each, replica=replica):
                phones.add(connection, login)
    finally:
        state.close()


def _logins(ids: Sequence[int], made: Sequence[Account], each: int, *, replica: bool) -> Iterator[PhoneLogin]:
    password = hash_password(SECRET, os.urandom)
    for at, (account_id, one) in enumerate(zip(ids, made, strict=True)):
        names = [f"phone{at}-{number}" for number in range(each)] if at else [PHONE, HTTP_PHONE]
        for name in names:
            yield PhoneLogin(name, one.tenant, account_id, NumberMode.VALUES, password, 0.0)
    if replica:
        yield PhoneLogin(REPLICA, TENANT, None, NumberMode.VALUES, password, 0.0, replica=ReplicaBooks.PRIVATE)


def records(people: Iterable[Person]) -> tuple[ContactRecord, ...]:
    """Return what a sync of these people stores."""
    batch = encode_page(map(resource, people), Source.CONTACTS, REGION, None)
    return tuple(item.record for item in decode_persons(batch.encoded_persons) if item.record)


def _records(numbers: range) -> tuple[ContactRecord, ...]:
    return records(map(person, numbers))


def _account(connection: Connection, secret_box: SecretBox, at: int, made: Account, now: float) -> int:
    """Add a connected account that has just been synced."""
    later = now + _LATER
    grant = NewGrant(str(at), made.address, frozenset(SCOPE_OF.values()), "token", later, "token", None)
    account_id = accounts.connect(connection, secret_box, made.tenant, grant, made.sharing, now, shared_label="")
    assert account_id is not None
    begun = sync_state.begin(connection, account_id)
    assert begun is not None
    sync_state.write_source_states(connection, account_id, {Source.CONTACTS: SourceState.ON})
    state = SyncState(SYNC_TOKEN, SourceQuery(Source.CONTACTS, REGION).fingerprint, later)
    sync_state.set_sync_state(connection, account_id, Source.CONTACTS, state)
    sync_state.write_label_state(connection, account_id, LabelState({}, SYNC_TOKEN, label_fingerprint(None)))
    sync_state.end(connection, begun, now, later)
    return account_id

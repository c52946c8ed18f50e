# SPDX-License-Identifier: MIT
"""The state that is kept by changes is the state that a whole look would find, and a look takes as long as its news."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from ldapgw.contact import Sharing, Source
from ldapgw.directory.catalog import Catalog
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import NamingContext
from ldapgw.store import accounts, contacts, phones, sync_state
from ldapgw.store.accounts import Account, SourceState
from ldapgw.store.changes import Changes
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.database import Database
from ldapgw.store.logins_file import SavedAccount
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.secrets import SecretBox
from ldapgw.store.worker import Store, on_threads
from ldapgw.sync.account_state import AccountState, read_changes
from ldapgw.sync.publisher import Publisher
from tests.support import work
from tests.support.phonebook.trees import ADA
from tests.support.results import result_of
from tests.support.stage.databases import open_in_memory
from tests.support.stage.publishing import AT_ONCE, empty_catalog, make_publisher
from tests.support.stage.sync import CONTEXT, GRANT, NOW, connect

TENANTS = ("acme", "other")
SECRET_BOX = SecretBox([Fernet.generate_key()])
NAMES = st.sampled_from(["one", "two", "three"])

Write = Callable[[Connection], object]


def add_account(connection: Connection, tenant: str, sub: str, address: str) -> int:
    return connect(connection, SECRET_BOX, replace(GRANT, sub=sub, address=address), tenant)


def set_directory(connection: Connection, account_id: int, state: SourceState, *, has_colleagues: bool) -> None:
    sync_state.write_source_states(connection, account_id, {Source.DIRECTORY: state})
    stored = [ContactRecord.from_contact("c1", "s1", replace(ADA, source=Source.DIRECTORY))]
    if has_colleagues:
        contacts.apply_changes(connection, account_id, Source.DIRECTORY, stored, [])


def of_any(connection: Connection, number: int, write: Callable[[int], object]) -> None:
    known = accounts.read_all(connection)
    if known:
        write(known[number % len(known)].id)


@st.composite
def writes(draw: st.DrawFn) -> Write:
    """One write to the database, of whatever kind."""
    tenant, name, number = draw(st.sampled_from((*TENANTS, "gone"))), draw(NAMES), draw(st.integers(0, 9))
    address = draw(st.sampled_from(["a@x.example", "A@x.example", "b@x.example"]))
    mode, sharing = draw(st.sampled_from(NumberMode)), draw(st.sampled_from(Sharing))
    state, has_colleagues = draw(st.sampled_from([SourceState.ON, SourceState.OFF])), draw(st.booleans())

    def add_phone(connection: Connection) -> None:
        def add(account_id: int | None) -> None:
            phones.add(connection, PhoneLogin(name, tenant, account_id, mode, "sha256$11$11", NOW))

        of_any(connection, number, add) if number % 2 else add(None)

    choices: list[Write] = [
        lambda connection: add_account(connection, tenant, name, address),
        lambda connection: of_any(connection, number, lambda each: accounts.disconnect(connection, each)),
        lambda connection: of_any(connection, number, lambda each: accounts.set_sharing(connection, each, sharing, "")),
        lambda connection: of_any(
            connection, number, lambda each: set_directory(connection, each, state, has_colleagues=has_colleagues)
        ),
        add_phone,
        lambda connection: phones.remove(connection, name),
        lambda connection: phones.set_password(connection, name, f"sha256$22${number}", NOW),
    ]
    return draw(st.sampled_from(choices))


def content(state: AccountState) -> tuple[object, ...]:
    """All that the state tells."""
    return (
        {tenant: state.account_ids(tenant) for tenant in TENANTS},
        state.accounts,
        state.phones,
        state.directory_accounts,
        {tenant: state.needs_numbers(tenant) for tenant in TENANTS},
        {account.id: state.has_directory(account) for account in state.accounts.values()},
    )


def served(state: AccountState) -> dict[int, object]:
    """Return the values from which each account's books are made."""
    return {
        account.id: (
            *(account.identity, account.address, account.sharing, account.generation),
            *(state.has_directory(account), state.needs_numbers(account.tenant)),
        )
        for account in state.accounts.values()
    }


def bound(state: AccountState) -> dict[str, object]:
    """Return the values from which each phone's access is made: its login, and the owner of its own book."""
    identities = {account.id: account.identity for account in state.accounts.values()}
    return {name: (login, identities.get(login.account_id or 0)) for name, login in state.phones.items()}


def differing(before: Mapping[Any, object], after: Mapping[Any, object]) -> set[Any]:
    """The keys whose values differ."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@settings(deadline=None)
@given(st.lists(st.lists(writes(), max_size=4), min_size=1, max_size=8))
def test_what_is_kept_by_changes_is_what_a_whole_look_finds(looks: list[list[Write]]) -> None:
    """Looks at changes and whole looks find the same, and each difference is told."""
    database = open_in_memory()
    state, in_parts = AccountState(TENANTS), AccountState(TENANTS)
    for look in looks:
        before, logins_before = served(state), bound(state)
        with database.begin() as connection:
            for write in look:
                write(connection)
            news, with_directory = read_changes(connection, state.cursor)
            parts = [in_parts.apply(part, with_directory) for part in in_parts.parts(news, 1)]
            update = state.apply(news, with_directory)
            whole = AccountState.read(connection, TENANTS)
        assert content(state) == content(in_parts) == content(whole)
        assert frozenset().union(*(part.accounts for part in parts)) == update.accounts
        assert frozenset().union(*(part.phones for part in parts)) == update.phones
        assert update.accounts >= differing(before, served(state))
        assert update.phones >= differing(logins_before, bound(state))
    database.close()


# Ids and names from small sets, so that each is soon another account's or phone's, of the same tenant or not.
IDS = st.integers(1, 3)
ACCOUNTS = st.builds(
    lambda account_id, tenant, sub, address, sharing: SavedAccount(
        account_id, tenant, sub, address, sharing, ""
    ).account(),
    IDS,
    st.sampled_from((*TENANTS, "gone")),
    NAMES,
    st.sampled_from(["a@x.example", "A@x.example", "b@x.example"]),
    st.sampled_from(Sharing),
)
PHONES = st.builds(
    PhoneLogin,
    NAMES,
    st.sampled_from((*TENANTS, "gone")),
    st.none() | IDS,
    st.sampled_from(NumberMode),
    st.sampled_from(["sha256$11$11", "sha256$22$22"]),
    st.just(NOW),
)


@dataclass(frozen=True)
class Look:
    """The result of a look; a look that does not find everything has the ids and names of deleted rows."""

    accounts: list[Account]
    phones: list[PhoneLogin]
    gone_accounts: set[int]
    gone_phones: set[str]
    is_whole: bool
    with_directory: set[int]


LOOKS = st.builds(
    Look,
    st.lists(ACCOUNTS, max_size=3),
    st.lists(PHONES, max_size=3),
    st.sets(IDS),
    st.sets(NAMES),
    st.booleans(),
    st.sets(IDS),
)


@settings(deadline=None)
@given(st.lists(LOOKS, min_size=1, max_size=6))
def test_an_id_that_is_another_accounts_keeps_nothing_of_the_former_one(looks: list[Look]) -> None:
    """The state is that of a whole look after any sequence of changes, whoever has had the ids and names before."""
    state, accounts_now, phones_now, holders = AccountState(TENANTS), {}, {}, set[int]()
    for look in looks:
        found = {account.id: account for account in look.accounts}
        logins = {login.name: login for login in look.phones}
        if look.is_whole:
            accounts_now, phones_now, holders = dict(found), dict(logins), look.with_directory & found.keys()
            news = Changes(None, is_whole=True, accounts=accounts_now, phones=phones_now)
        else:
            accounts_now |= found
            phones_now |= logins
            gone, gone_names = look.gone_accounts - found.keys(), look.gone_phones - logins.keys()
            holders = (holders - found.keys() - gone) | (look.with_directory & found.keys())
            news = Changes(
                None,
                is_whole=False,
                accounts={**found, **dict.fromkeys(gone)},
                phones={**logins, **dict.fromkeys(gone_names)},
            )
            accounts_now = {key: account for key, account in accounts_now.items() if key not in gone}
            phones_now = {key: login for key, login in phones_now.items() if key not in gone_names}
        before, logins_before = served(state), bound(state)
        update = state.apply(news, look.with_directory)
        whole = AccountState(TENANTS)
        whole.apply(Changes(None, is_whole=True, accounts=accounts_now, phones=phones_now), holders)
        assert content(state) == content(whole)
        assert update.accounts >= differing(before, served(state))
        assert update.phones >= differing(logins_before, bound(state))


def test_a_changed_account_or_phone_keeps_its_place_among_the_saved() -> None:
    """So `LoginsFile` encrypts only the parts with the change again."""
    state = AccountState(TENANTS)
    known = [
        SavedAccount(number, "acme", f"s{number}", f"{number}@x.example", Sharing.PRIVATE, "").account()
        for number in range(1, 4)
    ]
    logins = [PhoneLogin(f"p{number}", "acme", number, NumberMode.VALUES, "sha256$1$1", NOW) for number in range(1, 4)]
    state.apply(
        Changes(
            None, is_whole=True, accounts={each.id: each for each in known}, phones={each.name: each for each in logins}
        ),
        (),
    )
    known[1] = replace(known[1], sharing=Sharing.SHARED)
    logins[1] = replace(logins[1], password="sha256$2$2")
    state.apply(Changes(None, is_whole=False, accounts={2: known[1]}, phones={"p2": logins[1]}), ())
    assert state.saved() == (tuple(known), frozenset(), tuple(logins))


def publisher(database: Database, tenants: int) -> tuple[Publisher, Catalog]:
    catalog = empty_catalog(lambda: 0.0)
    contexts: dict[str, NamingContext] = {
        f"t{number}": replace(CONTEXT, name=f"t{number}", base=Dn.parse(f"dc=t{number}")) for number in range(tenants)
    }
    return make_publisher(
        store=Store(on_threads(database, AT_ONCE, AT_ONCE)), catalog=catalog, contexts=contexts
    ), catalog


@pytest.mark.long
def test_a_look_takes_as_many_steps_with_ten_times_as_many_accounts() -> None:
    """Of 200 and of 2,000 accounts, with a phone each, ten accounts a tenant, one is shared."""
    steps = []
    for count in (200, 2000):
        database = open_in_memory()
        made, catalog = publisher(database, count // 10)
        with database.begin() as connection:
            for number in range(count):
                account_id = add_account(connection, f"t{number // 10}", f"sub{number}", f"a{number}@x.example")
                login = PhoneLogin(f"p{number}", f"t{number // 10}", account_id, NumberMode.VALUES, "sha256$1$1", NOW)
                phones.add(connection, login)
        result_of(made.refresh())
        assert len(catalog.snapshot.logins) == count

        def change(database: Database = database, made: Publisher = made) -> None:
            with database.begin() as connection:
                accounts.set_sharing(connection, 7, Sharing.SHARED, "")
                phones.set_password(connection, "p6", "sha256$2$2", NOW)
            result_of(made.refresh())

        steps.append(work.calls(change))
        [shared] = [
            book
            for directory in catalog.dit().directories
            for book in directory.books
            if book.sharing is Sharing.SHARED
        ]
        assert shared.name == "a6@x.example"
        assert catalog.snapshot.logins["p6"].password_hash == "sha256$2$2"
        database.close()
    few, many = steps
    assert many < few * 1.5

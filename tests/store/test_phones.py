# SPDX-License-Identifier: MIT
"""Phones: added once, found, seen, reset, removed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import IntegrityError

from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import accounts, changes, phones, provisioning, recordings, tables
from ldapgw.store.changes import Cursor
from ldapgw.store.database import Database
from ldapgw.store.phones import (
    REFUSAL_SECONDS,
    LastBind,
    LastSearch,
    NumberMode,
    PhoneLogin,
    Refusal,
    ReplicaBooks,
    is_same_site,
    wrong_password,
)
from ldapgw.store.secrets import SecretBox
from tests.support.stage.sync import DESK, GRANT, NOW, connect


def test_a_phone_comes_back_as_it_was(connection: Connection, account_id: int) -> None:
    """With and without an account, in the order of their names."""
    hall = PhoneLogin("Hall", "acme", account_id, NumberMode.ENTRIES, "sha256$11$11", NOW, "cisco")
    hall = replace(hall, number_format=NumberFormat.DIAL)
    assert phones.add(connection, DESK)
    assert phones.add(connection, hall)
    # A phone binds with the bare name, which is unique on the gateway in whichever case.
    assert not phones.add(connection, replace(DESK, name="DESK1", tenant="other"))
    assert phones.read_all(connection) == (hall, DESK)
    assert "sha256" not in repr(DESK)


def test_a_next_password_replaces_the_password_when_it_is_used(connection: Connection) -> None:
    """And not before, together with the secret addresses; a new password by hand ends both passwords.

    A phone keeps both when it is renamed.
    """
    phones.add(connection, replace(DESK, mac="001565aabbcc"))
    connection.execute(update(tables.phone).values(next_password="sha256$22$22"))
    phones.set_book_secret(connection, "desk1", "secret")
    phones.store_last_binds(connection, {"desk1": LastBind(NOW + 5, "192.0.2.1", DESK.password)})
    [login] = phones.read_all(connection)
    assert (login.password, login.next_password, login.last_seen) == (DESK.password, "sha256$22$22", NOW + 5)
    assert phones.rename(connection, "desk1", "desk2")
    [renamed] = phones.read_all(connection)
    assert renamed == replace(login, name="desk2")
    phones.store_last_binds(connection, {"desk2": LastBind(NOW + 9, "192.0.2.2", "sha256$22$22")})
    [used] = phones.read_all(connection)
    assert used == replace(
        renamed,
        password="sha256$22$22",
        next_password="",
        book_secret="",
        password_at=NOW + 9,
        last_seen=NOW + 9,
        last_address="192.0.2.2",
    )
    phones.store_last_binds(connection, {"desk2": LastBind(NOW + 10, "192.0.2.1", DESK.password)})
    assert phones.read_all(connection) == (used,)
    connection.execute(update(tables.phone).values(next_password="sha256$33$33"))
    phones.set_password(connection, "desk2", "sha256$44$44", NOW + 11)
    assert phones.read_all(connection)[0].next_password == ""


def test_a_mac_address_belongs_to_one_phone_of_a_tenant(connection: Connection) -> None:
    phones.add(connection, replace(DESK, mac="001565aabbcc"))
    phones.add(connection, replace(DESK, name="desk2"))
    phones.add(connection, replace(DESK, name="desk3"))
    phones.add(connection, replace(DESK, name="desk4", tenant="other", mac="001565aabbcc"))
    for tenant, name in (("acme", "desk1"), ("other", "desk4")):
        found = phones.read_by_mac(connection, tenant, "001565aabbcc")
        assert found is not None
        assert found.name == name
    assert phones.set_mac(connection, "desk1", "")
    assert phones.read_by_mac(connection, "acme", "001565aabbcc") is None
    assert phones.set_mac(connection, "desk2", "001565aabbcc")
    assert phones.remove(connection, "desk2")
    assert phones.set_mac(connection, "desk1", "001565aabbcc")
    assert phones.read_macs(connection, "acme") == {"001565aabbcc": "desk1"}
    with pytest.raises(IntegrityError):
        phones.set_mac(connection, "desk3", "001565aabbcc")


@pytest.mark.parametrize(
    ("desk2", "desk3", "is_added"),
    [
        ("000413aabbcc", "000413aabbdd", True),
        ("", "", True),
        ("000413aabbcc", "000413aabbcc", False),
        ("000413aabbcc", "001565aabbcc", False),
    ],
    ids=["free", "unknown", "twice", "taken"],
)
def test_phones_with_a_taken_address_are_not_added(
    connection: Connection, desk2: str, desk3: str, is_added: bool
) -> None:
    """Then none of the phones is added; the address of another tenant's phone is free."""
    phones.add(connection, replace(DESK, mac="001565aabbcc"))
    phones.add(connection, replace(DESK, name="desk9", tenant="other", mac="000413aabbdd"))
    new = [replace(DESK, name="desk2", mac=desk2), replace(DESK, name="desk3", mac=desk3)]
    assert phones.add_all(connection, new) is is_added
    assert phones.read_taken(connection, ["desk2", "desk3"]) == ({"desk2", "desk3"} if is_added else set())


def test_seen_reset_and_remove(connection: Connection) -> None:
    """Each of one phone alone; one that is not there is told apart."""
    phones.add(connection, DESK)
    phones.add(connection, replace(DESK, name="desk2"))
    seen = LastBind(NOW + 5, "192.0.2.1", DESK.password)
    phones.store_last_binds(connection, {"desk1": seen, "gone": seen})
    assert phones.remove(connection, "desk2")
    assert phones.read_all(connection) == (replace(DESK, last_seen=NOW + 5, last_address="192.0.2.1"),)
    phones.store_last_searches(connection, {"desk1": LastSearch(NOW + 6, "base", NOW + 6)})
    assert phones.set_password(connection, "desk1", "sha256$22$22", NOW + 7)
    phones.store_last_binds(connection, {"desk1": seen})
    searched = replace(DESK, searched_at=NOW + 6, search_hint="base", worked_at=NOW + 6)
    reset = replace(searched, password="sha256$22$22", password_at=NOW + 7)
    assert (phones.read_all(connection), reset.has_unused_password) == ((reset,), True)
    # The clock of the gateway that the phone signs in to may be behind.
    again = LastBind(NOW - 600, "192.0.2.2", reset.password)
    phones.store_last_binds(connection, {"desk1": again})
    [seen_again] = phones.read_all(connection)
    assert (seen_again.last_address, seen_again.has_unused_password) == ("192.0.2.2", False)
    assert not phones.set_password(connection, "desk2", "x", NOW)
    assert not phones.remove(connection, "desk2")


REFUSED = Refusal(NOW + 5, "192.0.2.1", 3)


def test_refused_logins_are_over_with_a_good_one_from_their_network(connection: Connection) -> None:
    """A good one before, elsewhere or with a former password ends nothing; a new password does."""
    phones.add(connection, DESK)
    for refused in (REFUSED, replace(REFUSED, count=4)):
        phones.store_refusals(connection, {"desk1": (refused, DESK.password), "gone": (refused, "")})
        phones.store_refusals(connection, {"desk1": (replace(refused, count=9), "former")})
        assert phones.read_all(connection) == (replace(DESK, refused=refused),)
    good = LastBind(NOW + 5, "192.0.2.250", DESK.password)
    for bind in (replace(good, when=NOW + 4), replace(good, address="192.0.3.1"), replace(good, password="former")):
        phones.store_last_binds(connection, {"desk1": bind})
        assert [login.refused for login in phones.read_all(connection)] == [replace(REFUSED, count=4)]
    phones.store_last_binds(connection, {"desk1": good})
    assert phones.read_all(connection) == (replace(DESK, last_seen=NOW + 5, last_address="192.0.2.250"),)
    phones.store_refusals(connection, {"desk1": (REFUSED, DESK.password)})
    phones.set_password(connection, "desk1", DESK.password, NOW)
    reset = replace(DESK, password_at=NOW)
    assert phones.read_all(connection) == (reset,)
    phones.store_refusals(connection, {"desk1": (REFUSED, DESK.password)})
    phones.rename(connection, "desk1", "hall")
    assert phones.read_all(connection) == (replace(reset, name="hall"),)


@pytest.mark.parametrize(
    ("seen", "address", "later", "is_wrong"),
    [
        (None, None, 1e9, True),
        (-1.0, "192.0.2.9", 1e9, True),
        (0.0, "192.0.2.9", 1.0, False),
        (1.0, "192.0.3.1", REFUSAL_SECONDS - 1, True),
        (1.0, "192.0.3.1", REFUSAL_SECONDS, False),
        (1.0, "2001:db8::1", 2.0, True),
    ],
    ids=["never seen", "seen before", "seen there since", "seen elsewhere", "for a day", "in the other protocol"],
)
def test_who_has_a_wrong_password(seen: float | None, address: str | None, later: float, is_wrong: bool) -> None:
    """A phone has a wrong password if it was refused and has not logged in from that network since."""
    when = REFUSED.when
    login = replace(DESK, last_seen=None if seen is None else when + seen, last_address=address, refused=REFUSED)
    assert wrong_password(login, when + later) == (REFUSED if is_wrong else None)
    assert wrong_password(replace(login, refused=None), when) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.254", True),
        ("10.0.0.1", "10.0.1.1", False),
        ("2001:db8::1", "2001:db8:0:0:ffff::", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::1", "unknown", False),
    ],
)
def test_networks(one: str, other: str, same: bool) -> None:
    """A /24, or a /64."""
    assert is_same_site(one, other) is same


def test_how_a_phone_dials(connection: Connection) -> None:
    """Set, changed, and the tenant's again; of one phone alone."""
    phones.add(connection, DESK)
    other = replace(DESK, name="other")
    phones.add(connection, other)
    for form, area_code in ((NumberFormat.DIAL, ""), (NumberFormat.NATIONAL, "30"), (None, "")):
        assert phones.set_dialling(connection, "desk1", form, area_code)
        assert phones.read_all(connection) == (replace(DESK, number_format=form, area_code=area_code), other)
    assert not phones.set_dialling(connection, "gone", NumberFormat.DIAL, "")


def test_what_is_remembered_of_searches(connection: Connection) -> None:
    """The last one, and when the first found somebody; a new password changes nothing about it."""
    phones.add(connection, DESK)
    phones.store_last_searches(connection, {"desk1": LastSearch(NOW + 1, "placeholder"), "gone": LastSearch(NOW, "")})
    assert phones.read_all(connection) == (replace(DESK, searched_at=NOW + 1, search_hint="placeholder"),)
    phones.store_last_searches(connection, {"desk1": LastSearch(NOW + 2, "", NOW + 2)})
    phones.store_last_searches(connection, {"desk1": LastSearch(NOW + 3, "nothing", NOW + 3)})
    phones.store_last_searches(connection, {"desk1": LastSearch(NOW + 4, "nothing")})
    expected = replace(DESK, searched_at=NOW + 4, search_hint="nothing", worked_at=NOW + 2)
    assert phones.read_all(connection) == (expected,)
    phones.set_password(connection, "desk1", DESK.password, NOW)
    assert phones.read_all(connection) == (replace(expected, password_at=NOW),)


def test_a_new_owner(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """The former owner's addresses and recordings end; the same owner or a missing phone changes nothing."""
    for owner in (account_id, None):
        phones.remove(connection, "desk1")
        phones.add(connection, replace(DESK, account_id=account_id if owner is None else None))
        secret = "sha256$33$33"
        provisioning.create_address(connection, "desk1", secret_box, "password", DESK.password, secret, NOW)
        phones.set_book_secret(connection, "desk1", secret)
        recordings.begin(connection, "desk1", NOW, NOW + 60, is_plain=False)
        [before] = phones.read_all(connection)
        assert not phones.set_accounts(connection, "desk1", before.account_ids)
        assert phones.read_all(connection) == (before,)
        assert phones.set_accounts(connection, "desk1", () if owner is None else (owner,))
        after = replace(before, account_id=owner, book_secret="", former_owner=owner is None)
        assert phones.read_all(connection) == (after,)
        assert (provisioning.read_address(connection, "desk1", NOW), recordings.read_all(connection)) == (None, ())
    assert not phones.set_accounts(connection, "desk7", ())


def test_a_phone_of_several_accounts(connection: Connection, secret_box: SecretBox, account_id: int) -> None:
    """Each account has the phone; the order stays, also under another name and with other accounts."""
    bob, carol = (connect(connection, secret_box, replace(GRANT, sub=sub, address=sub)) for sub in ("bob", "carol"))
    both = replace(DESK, account_id=bob, further_ids=(carol, account_id))
    phones.remove(connection, "desk1")
    phones.add(connection, both)
    assert phones.read_all(connection) == (both,)
    for owner in (account_id, bob, carol):
        assert phones.read_by_accounts(connection, [owner]) == (both,)
    assert phones.count_by_account(connection, DESK.tenant) == {bob: 1, carol: 1, account_id: 1}
    assert phones.rename(connection, "desk1", "reception")
    assert not phones.set_accounts(connection, "reception", (bob, carol, account_id))
    assert phones.set_accounts(connection, "reception", (carol, bob))
    [login] = phones.read_all(connection)
    assert login.former_owner
    phones.set_password(connection, "reception", login.password, NOW)
    [login] = phones.read_all(connection)
    assert not login.former_owner
    assert (login.account_ids, login.owners({bob: "b", carol: "c"})) == ((carol, bob), ["c", "b"])
    recordings.begin(connection, "reception", NOW, NOW + 60, is_plain=False)
    accounts.disconnect(connection, bob)
    assert recordings.read_all(connection) == ()
    assert phones.set_accounts(connection, "reception", ())
    assert phones.read_by_accounts(connection, [account_id, bob, carol]) == ()


def test_finding_some(connection: Connection, account_id: int) -> None:
    """By account, by a name in whichever case, by how names begin; a sign of SQL's is a sign."""
    for name, owner in (("Desk-2", account_id), ("desk_1", None), ("a1", account_id)):
        phones.add(connection, replace(DESK, name=name, account_id=owner))
    assert [login.name for login in phones.read_by_accounts(connection, [account_id])] == ["Desk-2", "a1"]
    assert phones.read_by_accounts(connection, []) == ()
    found = phones.read_by_name(connection, "DESK-2")
    assert found is not None
    assert found.name == "Desk-2"
    assert phones.read_by_name(connection, "desk-1") is None
    assert phones.read_names(connection, "desk-") == {"desk-2"}
    assert phones.read_names(connection, "desk_") == {"desk_1"}


def test_a_phone_gets_another_name(database: Database) -> None:
    """With all that is known of it; the gateway is told of the login that ends and of the one that begins."""
    with database.begin() as connection:
        phones.add(connection, replace(DESK, mac="001565aabbcc", label="Alice’s office"))
        phones.add(connection, replace(DESK, name="hall"))
        recordings.begin(connection, DESK.name, NOW, NOW + 60, is_plain=False)
    with database.begin() as connection:
        cursor = changes.read_since(connection, None).cursor
        assert_renamed(connection, cursor)


def assert_renamed(connection: Connection, cursor: Cursor) -> None:
    assert not phones.rename(connection, DESK.name, "HALL")
    assert not phones.rename(connection, "desk7", "desk8")
    assert phones.rename(connection, DESK.name, "Desk1")
    renamed = replace(DESK, name="Desk1", mac="001565aabbcc", label="Alice’s office")
    assert changes.read_since(connection, cursor).phones == {DESK.name: None, "Desk1": renamed}
    assert [one.phone for one in recordings.read_all(connection)] == ["Desk1"]
    assert phones.rename(connection, "Desk1", "Desk1")


def test_replicas_are_no_phones(connection: Connection) -> None:
    """Only those who ask for logins or replicas get replicas; names are unique among both."""
    branch = replace(DESK, name="branch1", replica=ReplicaBooks.of(private=True, extra_values=False))
    assert phones.add(connection, DESK)
    assert phones.add(connection, branch)
    assert not phones.add(connection, replace(DESK, name="Branch1"))
    assert phones.read_logins(connection) == (branch, DESK)
    assert (phones.read_replicas(connection, "acme"), phones.read_replicas(connection, "other")) == ((branch,), ())
    assert phones.read_all(connection) == phones.read_by_tenant(connection, "acme") == (DESK,)
    assert phones.read_by_names(connection, ["branch1", "desk1"]) == (DESK,)
    assert phones.read_by_name(connection, "branch1") is None
    assert phones.count_by_tenant(connection) == {"acme": 1}
    bind = LastBind(NOW + 5, "192.0.2.9", branch.password)
    phones.store_last_binds(connection, {"branch1": bind})
    expected = replace(branch, last_seen=NOW + 5, last_address="192.0.2.9")
    assert phones.read_replicas(connection, "acme") == (expected,)


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("extra_values", [True, False])
def test_books_of_a_replica(private: bool, extra_values: bool) -> None:
    books = ReplicaBooks.of(private=private, extra_values=extra_values)
    assert (books.private, books.extra_values) == (private, extra_values)

# SPDX-License-Identifier: MIT
"""The catalog decides about binds, serves directories, and ends sessions."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import Any

import pytest

from ldapgw.directory.access import NOBODY, Access, Viewer
from ldapgw.directory.catalog import Catalog, EndedLogin, Freshness, PhoneAccess, Snapshot
from ldapgw.directory.dit import Dit
from ldapgw.directory.dn import Dn
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH, hash_password
from ldapgw.directory.special_entries import Features
from ldapgw.errors import ResultCode
from tests.support.results import refused

DN = "cn=Desk1,ou=phones,dc=acme,dc=example"
VIEWER = Viewer(DN, (Access("acme", ("sub-1",)),))
LOGIN = PhoneAccess("Desk1", hash_password("hush", os.urandom), VIEWER)
EMPTY = Snapshot(Dit((), Features("0", (), (), (), ())))


@pytest.fixture
def catalog() -> Catalog:
    served = replace(EMPTY, logins={"desk1": LOGIN})
    return Catalog(
        served,
        {"acme": lambda address: address.startswith("10."), "other": lambda address: address == "10.1.1.1"},
        lambda: 7.0,
    )


NAMES = {
    "bare": "Desk1",
    "bare in another case, with blanks": " DESK1 ",
    "cn alone, as guides for PBXs have it": "CN=desk1",
    "commonName alone": "commonName = Desk1",
    "bind DN": DN,
    "bind DN in another writing": "CN=desk1, OU=Phones ,dc=ACME,dc=example",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_phone_is_known_by_its_name_or_its_dn(catalog: Catalog, name: str) -> None:
    """And it was seen."""
    assert catalog.authenticate(name, b"hush", "10.0.0.7", False) == VIEWER
    seen = ("10.0.0.7", LOGIN.password_hash, 7.0, False)
    assert (catalog.last_login("Desk1"), catalog.last_login("Desk2")) == (seen, None)
    assert catalog.take_seen_phones() == {"Desk1": seen}
    assert (catalog.take_seen_phones(), catalog.last_login("Desk1")) == ({}, seen)


def test_a_next_password_is_right_beside_the_present_one(catalog: Catalog) -> None:
    """The phone was seen with the one that it used; the sessions of a phone go on when it gets a next password."""
    following = replace(LOGIN, next_password_hash=hash_password("next", os.urandom))
    assert catalog.publish(replace(catalog.snapshot, logins={"desk1": following}), ["desk1"]) == ()
    for password, used in ((b"hush", LOGIN.password_hash), (b"next", following.next_password_hash)):
        assert catalog.authenticate("desk1", password, "10.0.0.7") == VIEWER
        assert catalog.last_login("Desk1") == ("10.0.0.7", used, 7.0, True)
    assert catalog.authenticate("desk1", b"neither", "10.0.0.7") is None
    assert "ssha256" not in repr(following)
    # Another device that still has the password does not hide that the next one is in use.
    assert catalog.authenticate("desk1", b"hush", "10.0.0.8") == VIEWER
    assert catalog.take_seen_phones() == {"Desk1": ("10.0.0.7", following.next_password_hash, 7.0, True)}
    # A phone may be in the middle of its first search when the next password becomes its password.
    promoted = replace(LOGIN, password_hash=following.next_password_hash)
    assert catalog.publish(replace(catalog.snapshot, logins={"desk1": promoted}), ["desk1"]) == ()
    assert catalog.authenticate("desk1", b"hush", "10.0.0.8") is None
    other = replace(promoted, password_hash=hash_password("other", os.urandom))
    assert [one.dn for one in catalog.publish(replace(catalog.snapshot, logins={"desk1": other}), ["desk1"])] == [DN]


WRONG = {
    "password": ("Desk1", b"hussh"),
    "no password": ("Desk1", b""),
    "name": ("Desk2", b"hush"),
    "no name": ("", b"hush"),
    "base": ("cn=Desk1,ou=phones,dc=other,dc=example", b"hush"),
    "another attribute": ("uid=Desk1", b"hush"),
    "two attributes": ("cn=Desk1+sn=Desk1", b"hush"),
    "no DN": ("cn=Desk1,,", b"hush"),
    "empty DN": ("=", b"hush"),
}


def test_a_test_of_the_gateways_own_is_not_the_phone(catalog: Catalog) -> None:
    """It gets the phone's view, but the phone was not seen."""
    own = Catalog(
        catalog.snapshot, {}, lambda: 7.0, lambda login, address: (login, address) == (VIEWER.login, "10.0.0.1")
    )
    assert own.authenticate("desk1", b"hush", "10.0.0.1") == VIEWER
    assert own.take_seen_phones() == {}
    assert own.authenticate("desk1", b"hush", "10.0.0.7") == VIEWER
    assert [*own.take_seen_phones()] == ["Desk1"]


@pytest.mark.parametrize(("name", "password"), WRONG.values(), ids=WRONG)
def test_anything_else_is_nobody(catalog: Catalog, name: str, password: bytes) -> None:
    """And nobody was seen."""
    assert catalog.authenticate(name, password, "10.0.0.7") is None
    assert catalog.take_seen_phones() == {}


def test_an_unknown_name_takes_as_many_hashes_as_a_known_one(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """One each: the time tells nobody which names there are."""
    hashed: list[bytes] = []
    real = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda octets: (hashed.append(octets), real(octets))[1])
    counts = []
    for name, password in (("Desk1", b"hush"), ("Desk1", b"wrong"), ("nobody", b"wrong"), ("cn=x,,", b"wrong")):
        hashed.clear()
        catalog.authenticate(name, password, "10.0.0.7")
        counts.append(len(hashed))
    assert counts == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "unknown",
    [{"freshness": Freshness.EXPIRED}, {"unserved": frozenset({"acme"})}],
    ids=["a snapshot that is too old", "a tenant that cannot be read"],
)
def test_nobody_is_refused_for_good_while_no_login_is_known(unknown: dict[str, Any]) -> None:
    """A missing login says nothing of passwords, so phones may try again later."""
    catalog = Catalog(replace(EMPTY, **unknown), {}, lambda: 7.0)
    for ask in (
        lambda: catalog.authenticate("desk1", b"hush", "10.0.0.7"),
        lambda: catalog.authenticate_secret("desk1.secret", "10.0.0.7"),
    ):
        with refused(ResultCode.UNAVAILABLE):
            ask()


def test_phones_of_other_tenants_bind_while_a_tenant_cannot_be_read() -> None:
    """With the right password, and with no other one."""
    catalog = Catalog(replace(EMPTY, logins={"desk1": LOGIN}, unserved=frozenset({"other"})), {}, lambda: 7.0)
    assert catalog.authenticate("desk1", b"hush", "10.0.0.7") == VIEWER
    assert catalog.authenticate("desk1", b"wrong", "10.0.0.7") is None


def test_who_is_anonymous(catalog: Catalog) -> None:
    """Each tenant opens its own networks."""
    assert catalog.anonymous("10.0.0.1") == Viewer(access=(Access("acme"),))
    assert catalog.anonymous("10.1.1.1") == Viewer(access=(Access("acme"), Access("other")))
    assert catalog.anonymous("192.0.2.1") == NOBODY


def test_sessions_end_when_their_login_changes(catalog: Catalog) -> None:
    """Removed, another password, another book; not when nothing of it changed."""
    same = replace(EMPTY, logins=dict(catalog.snapshot.logins), loaded=True)
    assert catalog.publish(same, ["desk1"]) == ()
    assert catalog.snapshot == same
    other_password = replace(EMPTY, logins={"desk1": replace(LOGIN, password_hash=UNKNOWN_LOGIN_HASH)})
    catalog.authenticate("desk1", b"hush", "10.0.0.7")
    catalog.take_seen_phones()
    assert catalog.publish(same, ["desk1"]) == ()
    assert catalog.last_login("Desk1") == ("10.0.0.7", LOGIN.password_hash, 7.0, True)
    assert catalog.publish(other_password, ["desk1", "new"]) == ((DN, DN),)
    assert catalog.last_login("Desk1") is None
    assert catalog.publish(EMPTY, ["desk1"]) == ((DN, ""),)
    assert catalog.dit() == EMPTY.dit


OTHER_DN = DN.replace("Desk1", "Desk2")
RENAMED = replace(LOGIN, name="Desk2", viewer=VIEWER._replace(login=OTHER_DN))


@pytest.mark.parametrize(
    ("present", "successor"),
    [
        (replace(LOGIN, password_hash=UNKNOWN_LOGIN_HASH), DN),
        (replace(LOGIN, book_secret_hash="new"), DN),
        (replace(LOGIN, viewer=VIEWER._replace(per_number=True)), DN),
        (RENAMED, OTHER_DN),
        (replace(RENAMED, password_hash=UNKNOWN_LOGIN_HASH), ""),
        (replace(LOGIN, viewer=VIEWER._replace(access=(Access("acme", ("bob",)),))), ""),
        (replace(RENAMED, viewer=RENAMED.viewer._replace(access=(Access("acme", ("bob",)),))), ""),
        (None, ""),
    ],
    ids=["password", "address", "numbers", "name", "name and password", "owner", "name and owner", "removed"],
)
def test_a_login_that_ends_has_a_successor(catalog: Catalog, present: PhoneAccess | None, successor: str) -> None:
    """The same phone of the same owner, whatever else of it has changed."""
    logins = {present.name.lower(): present} if present is not None else {}
    assert catalog.publish(replace(EMPTY, logins=logins), ["desk1", "desk2"]) == ((DN, successor),)


def test_the_successor_has_the_password_and_not_the_name(catalog: Catalog) -> None:
    """A phone is renamed, and a new phone of the same owner gets the former name."""
    new = replace(LOGIN, password_hash=UNKNOWN_LOGIN_HASH)
    catalog.publish(replace(EMPTY, logins={"desk1": LOGIN}), ())
    ended = catalog.publish(replace(EMPTY, logins={"desk1": new, "desk2": RENAMED}), ["desk1", "desk2"])
    assert ended == (EndedLogin(DN, OTHER_DN),)


class Compared(str):
    """A name that counts how often names are compared."""

    count = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.count += 1
        return str.__eq__(self, other)


def test_the_work_for_many_logins_that_end_grows_with_their_number(catalog: Catalog) -> None:
    """An administrator may change thousands of phones at once."""
    before = {f"desk{number}": replace(LOGIN, name=Compared(f"desk{number}")) for number in range(200)}
    after = {name: replace(login, password_hash=f"new {name}") for name, login in before.items()}
    catalog.publish(replace(EMPTY, logins=before), ())
    Compared.count = 0
    ended = catalog.publish(replace(EMPTY, logins=after), after.keys())
    assert ended == tuple(EndedLogin(DN, DN) for _ in after)
    assert Compared.count <= 4 * len(after)


def test_no_hash_is_in_a_repr() -> None:
    """A log may hold a login."""
    assert "sha256" not in repr(LOGIN)
    assert "sha256" not in repr(replace(EMPTY, logins={"desk1": LOGIN}))


SECRET = "k8m2v5x7c4b9n3q6w1et"


def phone(name: str, secret: str) -> PhoneAccess:
    """Return a phone that has a secret address, unless its secret is empty."""
    dn = Dn.parse(DN.replace("Desk1", name))
    hashed = secret and hash_password(secret, bytes)
    return PhoneAccess(name, hash_password("password", bytes), Viewer(str(dn), (Access("acme", ("a",)),)), hashed)


@pytest.mark.parametrize(
    ("secret", "name"),
    [
        (f"desk.1.{SECRET}", "desk.1"),
        (f"DESK.1.{SECRET}", "desk.1"),
        (f"desk.1.{SECRET[:-1]}", None),
        ("desk.1.password", None),
        (f"hall.{SECRET}", None),
        ("hall.", None),
        (f"nobody.{SECRET}", None),
        (SECRET, None),
        ("", None),
    ],
)
def test_secret_addresses(secret: str, name: str | None) -> None:
    """The name of a phone that has one, and its secret; whoever comes by it has been seen."""
    logins = {one.name: one for one in (phone("desk.1", SECRET), phone("hall", ""))}
    catalog = Catalog(replace(EMPTY, logins=logins), {}, lambda: 7.0)
    assert catalog.authenticate_secret(secret, "192.0.2.1") == (logins[name].viewer if name else None)
    assert catalog.take_seen_phones() == ({name: ("192.0.2.1", logins[name].password_hash, 7.0, True)} if name else {})
    assert SECRET not in repr(logins)

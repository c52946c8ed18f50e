# SPDX-License-Identifier: MIT
"""Provisioning: windows that phones fetch from once, reports on setup steps, and clients that cannot connect.

Only PostgreSQL lets several transactions write at once.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, func, select

from ldapgw.store import phones, provisioning
from ldapgw.store.phones import PhoneLogin, ReplicaBooks
from ldapgw.store.provisioning import (
    ADDRESS_SECONDS,
    MAX_FETCHES,
    MAX_REFUSALS,
    MAX_UNFIT_CLIENTS,
    UNFIT_CLIENT_SECONDS,
    UNUSED_SECONDS,
    Fetch,
    Mistake,
    ProvisioningAddress,
    ProvisioningWindow,
    Reason,
    StepReport,
    UnfitClient,
    WindowPhone,
    WindowRefusal,
    add_unfit_clients,
    read_unfit_clients,
)
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import unfit_client
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.sync import DESK, NOW

NEW = Fetch(NOW + 1, "192.0.2.7", "001565aabbcc.cfg")


def opened(
    connection: Connection, secret_box: SecretBox, *names: str, token: str = "t", at: float = NOW
) -> ProvisioningWindow:
    return provisioning.open_window(connection, "acme", secret_box, token, at, 900.0, names, chosen=bool(names))


def stored(connection: Connection, name: str = "desk1") -> PhoneLogin:
    login = phones.read_by_name(connection, name)
    assert login is not None
    return login


def test_a_window_comes_back_as_it_was(connection: Connection, secret_box: SecretBox) -> None:
    """The token is stored sealed, is kept by the next window, and belongs to one tenant."""
    assert provisioning.read_window(connection, "acme", secret_box) is None
    window = opened(connection, secret_box, token="secret-token")
    assert window == ProvisioningWindow("acme", "secret-token", NOW, NOW + 900.0, plain_http=False, chosen=False)
    assert (
        provisioning.read_window(connection, "acme", secret_box),
        provisioning.read_window(connection, "other", secret_box),
    ) == (
        window,
        None,
    )
    assert "secret-token" not in repr(connection.exec_driver_sql("SELECT * FROM provisioning_window").all())
    assert "secret-token" not in repr(window)
    assert [window.is_open(NOW + seconds) for seconds in (0.0, 899.0, 900.0)] == [True, True, False]
    assert not provisioning.close_window(connection, "other", NOW + 5)
    assert provisioning.close_window(connection, "acme", NOW + 5)
    assert not provisioning.close_window(connection, "acme", NOW + 5)
    closed = provisioning.read_window(connection, "acme", secret_box)
    assert closed == replace(window, until=NOW + 5)
    assert opened(connection, secret_box, token="another").token == "secret-token"
    assert provisioning.forget_window(connection, "acme")
    assert not provisioning.forget_window(connection, "acme")
    assert opened(connection, secret_box, token="another").token == "another"


def test_a_token_of_another_key_is_gone(connection: Connection, secret_box: SecretBox) -> None:
    """The next window has a token of its own."""
    opened(connection, secret_box, token="lost")
    other = SecretBox([Fernet.generate_key()])
    assert provisioning.read_window(connection, "acme", other) is None
    assert opened(connection, other, token="new").token == "new"


def test_a_phone_fetches_once_in_a_window(connection: Connection, secret_box: SecretBox) -> None:
    """And again in the next window.  A refused fetch stores nothing."""
    phones.add(connection, DESK)
    window = opened(connection, secret_box)
    assert provisioning.note_fetch(connection, window, stored(connection, "desk1"), "hash-1", NEW) is None
    assert stored(connection).next_password == "hash-1"
    fetched = WindowPhone("desk1", NEW.when, NEW.address, NEW.file)
    assert provisioning.read_window_phones(connection, "acme") == {"desk1": fetched}
    assert provisioning.read_window_fetch(connection, "desk1") == fetched
    assert provisioning.note_fetch(connection, window, stored(connection, "desk1"), "hash-2", NEW) is Reason.FETCHED
    assert provisioning.note_fetch(connection, window, replace(DESK, name="gone"), "hash-2", NEW) is Reason.UNKNOWN_MAC
    # Another window for all phones does not end what the phone has fetched; a window for this phone does.
    again = opened(connection, secret_box, at=NOW + 2)
    assert provisioning.note_fetch(connection, again, stored(connection), "hash-2", NEW) is Reason.FETCHED
    again = opened(connection, secret_box, "desk1", at=NOW + 3)
    assert provisioning.note_fetch(connection, window, stored(connection, "desk1"), "hash-2", NEW) is Reason.CLOSED
    assert (
        provisioning.note_fetch(
            connection, again, stored(connection, "desk1"), "hash-2", Fetch(again.until, NEW.address, NEW.file)
        )
        is Reason.CLOSED
    )
    assert stored(connection).next_password == "hash-1"
    assert provisioning.note_fetch(connection, again, stored(connection, "desk1"), "hash-2", NEW) is None
    assert stored(connection).next_password == "hash-2"


def test_a_window_for_some_phones(connection: Connection, secret_box: SecretBox) -> None:
    """A phone stays chosen under another name, and leaves with its row; another tenant's phones are not touched."""
    for name, tenant in (("desk1", "acme"), ("desk2", "acme"), ("desk3", "acme"), ("desk4", "other")):
        phones.add(connection, replace(DESK, name=name, tenant=tenant))
    other = provisioning.open_window(connection, "other", secret_box, "t", NOW, 900.0, ["desk4", "desk4"], chosen=True)
    window = opened(connection, secret_box, "desk1", "desk3")
    phones.rename(connection, "desk1", "desk9")
    phones.remove(connection, "desk3")
    assert provisioning.read_window_phones(connection, "acme") == {"desk9": WindowPhone("desk9")}
    assert provisioning.read_window_fetch(connection, "desk9") is None
    assert provisioning.note_fetch(connection, window, stored(connection, "desk2"), "hash", NEW) is Reason.NOT_CHOSEN
    assert provisioning.note_fetch(connection, window, stored(connection, "desk9"), "hash", NEW) is None
    assert provisioning.note_fetch(connection, other, stored(connection, "desk4"), "hash", NEW) is None


def test_refusals_are_counted_and_bounded(connection: Connection, secret_box: SecretBox) -> None:
    """By phone and reason, the most recent first; the oldest one leaves for a new one; a new window forgets them."""
    phones.add(connection, replace(DESK, mac="0015650000aa"))
    opened(connection, secret_box)
    for when in (NOW + 1, NOW + 2):
        provisioning.note_refusal(
            connection, "acme", Reason.UNKNOWN_MAC, "0015650000aa", f"192.0.2.{when - NOW:.0f}", when
        )
    provisioning.note_refusal(connection, "acme", Reason.NETWORK, "0015650000aa", "198.51.100.1", NOW + 3)
    assert provisioning.read_refusals(connection, "acme") == (
        WindowRefusal(Reason.NETWORK, "0015650000aa", "198.51.100.1", NOW + 3, 1),
        WindowRefusal(Reason.UNKNOWN_MAC, "0015650000aa", "192.0.2.2", NOW + 2, 2),
    )
    for number in range(MAX_REFUSALS):
        provisioning.note_refusal(
            connection, "acme", Reason.UNKNOWN_MAC, f"{number:012x}", "192.0.2.9", NOW + 4 + number
        )
    found = provisioning.read_refusals(connection, "acme")
    # Invented MAC addresses do not hide the requests for phones.
    invented = [f"{number:012x}" for number in reversed(range(2, MAX_REFUSALS))]
    assert [one.mac for one in found] == [*invented, "0015650000aa", "0015650000aa"]
    opened(connection, secret_box)
    assert provisioning.read_refusals(connection, "acme") == ()


def test_a_phone_with_a_login_is_not_in_a_window_for_all(connection: Connection, secret_box: SecretBox) -> None:
    phones.add(connection, DESK)
    window = opened(connection, secret_box)
    seen = replace(stored(connection), last_seen=NOW)
    assert provisioning.note_fetch(connection, window, seen, "hash", NEW) is Reason.HAS_LOGIN
    assert provisioning.hindrance(connection, window, seen, NOW) is Reason.HAS_LOGIN
    assert provisioning.hindrance(connection, window, stored(connection), NOW) is None


def test_an_unused_password_ends(connection: Connection, secret_box: SecretBox) -> None:
    """After a month; but the phones of a tenant with a replica may use theirs without the gateway's learning of it."""
    for name, tenant in (("desk1", "acme"), ("desk2", "other")):
        phones.add(connection, replace(DESK, name=name, tenant=tenant))
        window = provisioning.open_window(connection, tenant, secret_box, "t", NOW, 900.0, (), chosen=False)
        assert provisioning.note_fetch(connection, window, stored(connection, name), "hash", NEW) is None
    phones.add(connection, replace(DESK, name="branch", tenant="other", replica=ReplicaBooks.SHARED))
    provisioning.remove_expired(connection, NEW.when + UNUSED_SECONDS - 1)
    assert [stored(connection, name).next_password for name in ("desk1", "desk2")] == ["hash", "hash"]
    provisioning.remove_expired(connection, NEW.when + UNUSED_SECONDS)
    assert [stored(connection, name).next_password for name in ("desk1", "desk2")] == ["", "hash"]


def test_an_address_has_its_last_fetches_the_newest_first(connection: Connection, secret_box: SecretBox) -> None:
    """Each fetch gets the password; the oldest fetches are forgotten."""
    phones.add(connection, DESK)
    provisioning.create_address(connection, "desk1", secret_box, "password", DESK.password, "sha256$33$33", NOW)
    address = provisioning.read_address(connection, "desk1", NOW)
    assert address is not None
    assert address == ProvisioningAddress("desk1", "sha256$33$33", NOW + ADDRESS_SECONDS)
    fetches = [Fetch(NOW + number, "192.0.2.7", f"{number}.cfg") for number in range(MAX_FETCHES + 1)]
    for fetch in fetches:
        assert provisioning.fetch_password(connection, address, secret_box, fetch) == "password"
    read = provisioning.read_address(connection, "desk1", NOW)
    assert read == replace(address, fetches=tuple(fetches[:0:-1]))


@needs_postgresql
def test_of_requests_at_once_one_gets_the_file(secret_box: SecretBox) -> None:
    """Two gateways may be asked for the same file."""
    with open_new() as database:
        with database.begin() as connection:
            phones.add(connection, DESK)
            window = opened(connection, secret_box)

        def fetch(number: int) -> Reason | None:
            with database.begin() as connection:
                return provisioning.note_fetch(connection, window, stored(connection, "desk1"), f"hash-{number}", NEW)

        with ThreadPoolExecutor(8) as threads:
            outcomes = Counter(threads.map(fetch, range(8)))
    assert outcomes == {None: 1, Reason.FETCHED: 7}


# --- reports on setup steps -------------------------------------------------------------------------------------------

WORKED = StepReport("acme", "yealink", "T54W", "96.86.0.70", 0, "", 1_700_000_000.0)
MENU = replace(WORKED, step=3, menu="Settings > Config")


def test_equal_reports_are_one_row(connection: Connection) -> None:
    """With the number of reports and the time of the last; what differs in any way is another row."""
    for new in (
        WORKED,
        MENU,
        replace(WORKED, at=WORKED.at + 60),
        replace(MENU, menu="Setup"),
        replace(WORKED, model=""),
    ):
        assert provisioning.add_report(connection, new)
    assert provisioning.read_reports(connection, "acme") == (
        replace(WORKED, model=""),
        replace(WORKED, count=2, at=WORKED.at + 60),
        MENU,
        replace(MENU, menu="Setup"),
    )


def test_a_tenant_has_reports_of_its_own(connection: Connection) -> None:
    """They are read and deleted without those of others."""
    other = replace(WORKED, tenant="globex")
    assert [provisioning.add_report(connection, new) for new in (WORKED, other)] == [True, True]
    assert provisioning.read_reports(connection, "acme") == (WORKED,)
    assert [provisioning.remove_reports(connection, "acme") for _ in range(2)] == [True, False]
    assert (provisioning.read_reports(connection, "acme"), provisioning.read_reports(connection, "globex")) == (
        (),
        (other,),
    )


def test_there_are_not_too_many(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are refused, but for those that are there already; another tenant is not concerned."""
    monkeypatch.setattr(provisioning, "MAX_REPORTS", 3)
    menus = [replace(MENU, menu=f"menu {number}") for number in range(4)]
    assert [provisioning.add_report(connection, new) for new in menus] == [True, True, True, False]
    assert provisioning.add_report(connection, menus[0])
    assert provisioning.add_report(connection, replace(menus[3], tenant="globex"))
    assert [(one.menu, one.count) for one in provisioning.read_reports(connection, "acme")] == [
        ("menu 0", 2),
        ("menu 1", 1),
        ("menu 2", 1),
    ]


# --- clients that cannot connect --------------------------------------------------------------------------------------

PLAIN, UNKNOWN = Mistake.PLAIN_ON_TLS_PORT, Mistake.UNKNOWN_AUTHORITY


def test_each_client_once_for_each_mistake(connection: Connection) -> None:
    """The last client comes first; a client with two mistakes is there twice."""
    first, both = (
        UnfitClient("192.0.2.1", PLAIN, NOW),
        UnfitClient("192.0.2.2", PLAIN, NOW + 1),
    )
    add_unfit_clients(connection, [first, both], NOW + 1)
    again = [
        UnfitClient("192.0.2.2", UNKNOWN, NOW + 2),
        UnfitClient("192.0.2.1", PLAIN, NOW + 3),
    ]
    add_unfit_clients(connection, again, NOW + 3)
    assert read_unfit_clients(connection, NOW + 3) == (again[1], again[0], both)


def test_a_client_is_forgotten_after_a_day(connection: Connection) -> None:
    """It is not read any more, and deleted by the next write."""
    old, new = (UnfitClient(f"192.0.2.{number}", UNKNOWN, NOW + number) for number in (0, 1))
    add_unfit_clients(connection, [old, new], NOW + 1)
    assert read_unfit_clients(connection, NOW + UNFIT_CLIENT_SECONDS) == (new,)
    add_unfit_clients(connection, [], NOW + UNFIT_CLIENT_SECONDS)
    assert connection.execute(select(unfit_client.c.address)).scalars().all() == [new.address]


def test_many_clients(connection: Connection) -> None:
    """The last twenty are kept, even if all came at once."""
    for group in range(3):
        clients = [UnfitClient(f"192.0.{group}.{number}", PLAIN, NOW + group) for number in range(15)]
        add_unfit_clients(connection, clients, NOW + group)
    kept = read_unfit_clients(connection, NOW + 2)
    assert [client.at - NOW for client in kept] == [2.0] * 15 + [1.0] * (MAX_UNFIT_CLIENTS - 15)
    assert connection.execute(select(func.count()).select_from(unfit_client)).scalar_one() == MAX_UNFIT_CLIENTS

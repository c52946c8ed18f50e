# SPDX-License-Identifier: MIT
"""A provisioning address is made with a new password, opened, fetched, and ended."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping

import pytest
from sqlalchemy import func, select

from ldapgw.directory.passwords import verify_password
from ldapgw.ldap.admission import FIRST_DELAY, MAX_DELAY
from ldapgw.server.parts.base import RecordPruner
from ldapgw.store import phones, provisioning, tables
from ldapgw.store.provisioning import ADDRESS_SECONDS, EXPIRY_SECONDS
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from tests.support.readers import yealink
from tests.support.stage.book_clients import Pbx
from tests.support.stage.web import ACME, GLOBEX, URL, Browser, Stage, owner, words_on

PHONE = "/acme/phones/desk1"
_COUNT = select(func.count()).select_from(tables.provisioning)


@pytest.fixture
def alice(stage: Stage) -> Browser:
    """Alice owns the phone desk1, a Yealink."""
    return owner(stage, model="yealink")


def made(browser: Browser) -> str:
    """Make an address; return its path with the slash at its end."""
    assert browser.submit(f"{PHONE}/provision").location == PHONE
    [address] = re.findall(r'<code id="the-provisioning">([^<]+)</code>', browser.get(PHONE).body)
    return html.unescape(address).removeprefix(URL)


def password_of(browser: Browser) -> str:
    """Return the password on the phone's page."""
    [password] = re.findall(r'id="the-password">([^<]+)<', browser.get(PHONE).body)
    return password


def passwords(stage: Stage) -> int:
    """Return the number of stored passwords of provisioning addresses."""
    count: int = stage.do(lambda connection: connection.execute(_COUNT).scalar_one())
    return count


def test_an_address_gives_the_settings_with_a_new_password(stage: Stage, alice: Browser) -> None:
    """The address needs no sign-in; the file is there by the vendor's name and by a name with a MAC address."""
    before = stage.do(phones.read_by_name, "desk1").password
    path = made(alice)
    for file in ("yealink-ldap.cfg", "0015651a2b3c.cfg"):
        answer = stage.browser().get(path + file)
        assert (answer.status, answer.headers["cache-control"]) == (200, ["no-store"])
        read = yealink(answer.body)
        login = stage.do(phones.read_by_name, "desk1")
        assert (read["ldap.user"], login.password != before) == ("desk1", True)
        assert verify_password(read["ldap.password"].encode(), login.password)
    assert stage.browser().get(path + "ldap.json").status == 200
    assert stage.browser().get(path + "passwd").status == 404


def test_a_page_with_a_button_fetches_nothing(stage: Stage, alice: Browser) -> None:
    """Opening the address fetches no password, as programs preview links; the phone's page shows each fetch."""
    path = made(alice)
    page = stage.browser().get(path)
    assert (page.status, password_of(alice) in page.body) == (200, False)
    assert f'href="{path}yealink-ldap.cfg"' in page.body
    to_enter = "waiting for the phone Enter the provisioning address below in the phone, restart the phone, then search"
    fetched = "Settings fetched, not used yet The settings were fetched. Now search for a contact on the phone."
    words = words_on(alice.get(PHONE))
    waiting = "The settings haven’t been fetched yet"
    assert (waiting in words, to_enter in words, fetched in words) == (True, True, False)
    stage.browser().get(path + "yealink-ldap.cfg")
    (fetch,) = stage.do(provisioning.read_address, "desk1", stage.clock.seconds()).fetches
    assert (fetch.when, fetch.file) == (stage.clock.seconds(), "yealink-ldap.cfg")
    words = words_on(alice.get(PHONE))
    assert (f"{fetch.address} yealink-ldap.cfg" in words, to_enter in words, fetched in words) == (True, False, True)
    alice.submit(f"{PHONE}/reset")
    assert fetched not in words_on(alice.get(PHONE))


def test_what_is_stored_gives_nothing_away(stage: Stage, alice: Browser) -> None:
    """The database has neither the secret nor the password in clear. A later page does not show the secret."""
    secret = made(alice).rstrip("/").rpartition(".")[2]
    row = stage.do(lambda connection: connection.exec_driver_sql("select * from provisioning").one())
    address = stage.do(provisioning.read_address, "desk1", stage.clock.seconds())
    assert not any(hidden in repr((row, address)) for hidden in (secret, password_of(alice)))
    stage.clock.advance(PASSWORD_SECONDS)
    page = alice.get(PHONE)
    assert secret not in page.body
    elsewhere = "The address was shown for ten minutes, in the browser that created it or on another gateway."
    assert elsewhere in words_on(page)


def let_a_day_pass(stage: Stage, _alice: Browser) -> None:
    stage.clock.advance(ADDRESS_SECONDS)
    stage.do(provisioning.remove_expired, stage.clock.seconds())


def replace_address(stage: Stage, alice: Browser) -> None:
    """Make a newer address, and end only the newer address."""
    made(alice)
    stage.do(provisioning.end_address, "desk1")


ENDS: Mapping[str, Callable[[Stage, Browser], object]] = {
    "revoked": lambda _, alice: alice.submit(f"{PHONE}/provision/end"),
    "a day later": let_a_day_pass,
    "a new password": lambda _, alice: alice.submit(f"{PHONE}/reset"),
    "a newer address": replace_address,
    "renamed": lambda stage, _: stage.do(phones.rename, "desk1", "desk2"),
    "removed": lambda _, alice: alice.submit(f"{PHONE}/remove"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_address_ends(stage: Stage, alice: Browser, end: Callable[[Stage, Browser], object]) -> None:
    """The address ends in each of these cases, and its stored password is deleted."""
    made(alice)
    assert f'href="{PHONE}/provision/end"' in alice.get(PHONE).body
    end(stage, alice)
    assert stage.do(provisioning.read_address, "desk1", stage.clock.seconds()) is None
    assert passwords(stage) == 0


def test_no_page_shows_the_former_address(stage: Stage, alice: Browser) -> None:
    """The owner's page does not show an address that an administrator has replaced."""
    former = made(alice)
    stage.admin().submit(f"{PHONE}/provision")
    assert former not in alice.get(PHONE).body


def test_the_password_of_an_expired_address_is_deleted_within_a_minute(stage: Stage, alice: Browser) -> None:
    """The gateway deletes the password by its clock, and at a start if the gateway was down at that time."""
    cleaner = RecordPruner(stage.clock, stage.store, EXPIRY_SECONDS, provisioning.remove_expired)
    made(alice)
    stage.clock.advance(ADDRESS_SECONDS - 1)
    cleaner.startService()
    assert passwords(stage) == 1
    stage.clock.advance(60)
    assert passwords(stage) == 0
    cleaner.stopService()
    stage.do(
        provisioning.create_address, "desk1", stage.gate.secret_box, "password", "hash", "hash", stage.clock.seconds()
    )
    stage.clock.advance(ADDRESS_SECONDS + 1)
    assert passwords(stage) == 1
    cleaner.startService()
    assert passwords(stage) == 0
    cleaner.stopService()
    assert stage.clock.getDelayedCalls() == []


def test_an_address_needs_https(stage: Stage) -> None:
    path = made(owner(stage, model="yealink"))
    stage.trusts = lambda _: True
    for below in ("", "yealink-ldap.cfg"):
        clear = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}
        assert stage.browser().get(path + below, clear).status == 403


def test_addresses_that_ended_and_never_were_are_alike(stage: Stage) -> None:
    """A person who opens such an address reads that the address is no longer valid, or never was."""
    path = made(owner(stage, model="yealink"))
    stage.do(provisioning.end_address, "desk1")
    secret = path.rstrip("/").rpartition("/")[2]
    browser = stage.browser()
    browser.patience = MAX_DELAY
    answers = [browser.get(f"/acme/provision/{key}/") for key in (secret, "desk1.wrong", "never", "desk9.wrong")]
    answers.append(browser.get("/acme/provision/never/yealink-ldap.cfg"))
    said = "This address doesn’t work This provisioning address is no longer valid, or it never was. Ask the person"
    assert [(answer.status, said in words_on(answer)) for answer in answers] == [(404, True)] * 5
    assert len({answer.body for answer in answers}) == 1
    for below in ("", f"/{secret}", f"/{secret}/yealink/ldap.cfg"):
        unknown = browser.get(f"/acme/provision{below}")
        assert (unknown.status, said in words_on(unknown)) == (404, True)
    assert said not in words_on(browser.get("/acme/elsewhere"))


@pytest.mark.parametrize(
    ("tenant", "secret"),
    [("acme", "desk1.q3h7k2m9x4z8b5n6p1rs"), ("acme", "desk9.q3h7k2m9x4z8b5n6p1rs"), ("globex", "")],
    ids=["a phone that has an address", "a phone that has none", "the right secret at another tenant"],
)
def test_guesses(tenant: str, secret: str) -> None:
    """Guesses are answered late and alike, and over plain HTTP they are refused."""
    stage = Stage(tenants=(ACME, GLOBEX))
    right = made(owner(stage, model="yealink")).split("/")[3]
    path = f"/{tenant}/provision/{secret or right}/yealink-ldap.cfg"
    phone = Pbx(stage)
    assert phone.get(path, {}) == b""
    assert phone.wait(FIRST_DELAY).startswith(b"HTTP/1.1 404 ")
    assert Pbx(stage, "192.0.2.1").get(path, {}).startswith(b"HTTP/1.1 403 ")

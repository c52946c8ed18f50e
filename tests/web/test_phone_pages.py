# SPDX-License-Identifier: MIT
"""The pages of phones add, show, change and remove phones for people with the right to do so."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
import segno
from markupsafe import Markup

from ldapgw.contact import Source
from ldapgw.directory.access import Access, Viewer
from ldapgw.directory.catalog import PhoneAccess
from ldapgw.directory.passwords import PASSWORD_LENGTH, UNKNOWN_LOGIN_HASH, verify_password
from ldapgw.errors import ResultCode
from ldapgw.ldap.connection import PLAIN_ON_TLS_PORT, UNKNOWN_AUTHORITY
from ldapgw.ldap.decoder import TLS_ON_PLAIN_PORT
from ldapgw.ldap.messages import FinishedSearch
from ldapgw.ldap.session import PASSWORD_WITHOUT_TLS
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.activity import decode_search
from ldapgw.phones.description import show_mac
from ldapgw.phones.provisioning.settings import ServerAddress, Site, Step, StepResult, StepStatus
from ldapgw.phones.provisioning.sheet import make_sheet, settings_of
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.phones.rollout import NewPhone, print_sheet
from ldapgw.store import activity, phones, recordings, sign_ins
from ldapgw.store.activity import Act
from ldapgw.store.phones import LastBind, LastSearch, NumberMode, PhoneLogin
from ldapgw.web import one_time_passwords, phone_forms, rendering
from ldapgw.web.error_pages import PageError
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS, OneTimePasswords
from ldapgw.web.phone_pages import PhonePages, qr_code
from ldapgw.web.rendering import Renderer
from tests.support import pdu
from tests.support.readers import yealink
from tests.support.results import result_of
from tests.support.stage.web import (
    ACME,
    ALICE,
    BOB,
    DESK1,
    GLOBEX,
    NOW,
    ROOT,
    URL,
    Browser,
    Seen,
    Stage,
    add,
    add_phone,
    connect,
    owner,
    search,
    switch_on,
    visit_by,
    words_on,
)
from tests.support.work import calls

TEXT = "server: phonebook.example.com\npassword: 0123456789abcdefghjk"


def test_a_code_is_drawn_without_script_and_style() -> None:
    """The code is one image with a title, as large as the code with its margin; the title stays text."""
    drawn = ElementTree.fromstring(str(qr_code(TEXT, "<b>settings</b>")))
    side = str((segno.make(TEXT, micro=False, boost_error=False).symbol_size()[0]) * 4)
    assert (drawn.get("role"), drawn.get("width"), drawn.get("height")) == ("img", side, side)
    assert [one.text for one in drawn.iter("title")] == ["<b>settings</b>"]
    assert drawn.get("viewBox") == "0 0 {0} {0}".format(int(side) // 4)
    assert {one.tag for one in drawn.iter()} == {"svg", "title", "path"}
    assert not any({"style", "onload", "href"} & one.attrib.keys() for one in drawn.iter())
    assert qr_code(TEXT, "t") != qr_code(TEXT + "x", "t")


def test_it_is_there_for_its_session_and_for_some_minutes() -> None:
    """The password is found by the phone's name in any case; a newer password replaces the old one and its time."""
    kept = OneTimePasswords()
    kept.add("session", "Desk1", "old", 100.0)
    kept.add("session", "desk2", "other", 101.0)
    kept.add("session", "desk1", "new", 102.0)
    assert kept.get("other", "desk1", 102.0) == ""
    assert [kept.get("session", name, 101.5 + PASSWORD_SECONDS) for name in ("DESK1", "desk2")] == ["new", ""]
    assert kept.get("session", "desk1", 102.0 + PASSWORD_SECONDS) == ""
    assert not kept._passwords


def test_the_passwords_of_many_phones_are_forgotten_at_once() -> None:
    """An administrator may remove 500 phones; each stored password is looked at once."""
    kept, names = OneTimePasswords(), [f"desk{number}" for number in range(200)]
    for name in names:
        kept.add("session", name, "secret", 100.0)
    assert calls(lambda: kept.forget(*names)) < 5 * len(names)
    assert not kept._passwords


def test_it_can_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password can be forgotten in all sessions; if there are too many, the oldest one goes."""
    kept = OneTimePasswords()
    for session in ("a", "b"):
        kept.add(session, "desk1", "secret", 0.0)
        kept.add(session, "desk2", "other", 0.0)
    kept.forget("DESK1")
    assert [kept.get(session, name, 0.0) for session in "ab" for name in ("desk1", "desk2")] == ["", "other"] * 2
    monkeypatch.setattr(one_time_passwords, "MAX_PASSWORDS", 2)
    kept.add("c", "desk3", "newest", 1.0)
    assert [kept.get(*key, 1.0) for key in (("a", "desk2"), ("b", "desk2"), ("c", "desk3"))] == ["", "other", "newest"]


def test_its_code_is_drawn_once_for_each_language() -> None:
    """The drawn code goes with its password; without a password there is no code."""
    kept = OneTimePasswords()
    drawn: list[str] = []

    def draw() -> Markup:
        drawn.append("code")
        return Markup(str(len(drawn)))

    assert kept.cached_qr_code("session", "desk1", "en", draw) == ""
    kept.add("session", "desk1", "secret", 0.0)
    assert [kept.cached_qr_code("session", "Desk1", tag, draw) for tag in ("en", "en", "de", "en")] == [*"1121"]
    kept.add("session", "desk1", "other", 1.0)
    assert kept.cached_qr_code("session", "desk1", "en", draw) == "3"
    assert kept.get("session", "desk1", PASSWORD_SECONDS + 1.0) == ""
    assert kept.cached_qr_code("session", "desk1", "en", draw) == ""


PHONE = "/acme/phones/desk1"
DIALING_FORM = f"{PHONE}/dialing"
BOOK, CALLERS = f"{URL}/acme/book", f"{URL}/acme/caller?number="


@pytest.fixture
def alice(stage: Stage) -> Browser:
    """Alice owns the phone desk1."""
    return owner(stage)


def stored(stage: Stage, name: str = "desk1") -> PhoneLogin:
    return {login.name: login for login in stage.do(phones.read_all)}[name]


def serve(stage: Stage) -> None:
    """Publish the login of desk1, so that the gateway knows whose login has a wrong password."""
    access = PhoneAccess("desk1", stored(stage).password, Viewer(DESK1, (Access("acme"),)))
    stage.catalog.publish(replace(stage.served, logins={"desk1": access}), ())


def bind(stage: Stage, when: float = NOW, address: str = "192.0.2.7") -> None:
    """Store that desk1 has logged in."""
    stage.do(phones.store_last_binds, {"desk1": LastBind(when, address, stored(stage).password)})


def password_on(page: Seen) -> str:
    return page.body.partition('<code id="the-password">')[2].partition("<")[0]


def secret_on(page: Seen) -> str:
    """Return the secret in the address on a page; the text is empty if there is none."""
    found = re.search(rf"{BOOK}/desk1\.([a-z0-9]+)/yealink\.xml", page.body)
    return found[1] if found else ""


def change(browser: Browser, **fields: str) -> Seen:
    """Send the form that changes desk1; the form has the model "other" unless the fields have another model."""
    return browser.submit(f"{PHONE}/change", **{"name": "desk1", "model": "other", **fields})


def file_on(page: Seen) -> str:
    return html.unescape(re.findall(r'<pre id="file"[^>]*>(.*?)</pre>', page.body, re.DOTALL)[0])


# --- adding ---------------------------------------------------------------------------------------------------------


def test_a_phone_is_added(stage: Stage) -> None:
    """The phone belongs to the person, and the next page shows its password and its settings."""
    browser = owner(stage, model="yealink")
    page = browser.get(PHONE)
    password = password_on(page)
    login = stored(stage)
    assert verify_password(password.encode(), login.password)
    assert login == PhoneLogin("desk1", "acme", 1, NumberMode.VALUES, login.password, NOW, "yealink")
    assert yealink(file_on(page))["ldap.password"] == password
    assert "You’ll see its password here for ten minutes" in words_on(page)
    assert stage.changes == 2  # the consent was the first
    assert "style=" not in page.body


def test_the_password_is_shown_for_ten_minutes(stage: Stage) -> None:
    """The browser shows the password on the page and in files; then a word stands in its place."""
    browser = owner(stage, model="yealink")
    password = password_on(browser.get(PHONE))
    stage.clock.advance(PASSWORD_SECONDS - 1)
    assert password_on(browser.get(PHONE)) == password
    assert password in browser.get(f"{PHONE}/settings/snom").body
    stage.clock.advance(1)
    later = browser.get(PHONE)
    assert password not in later.body
    assert yealink(file_on(later))["ldap.password"] == "PASSWORD"
    assert "you’ll see PASSWORD in its place" in words_on(later)


def test_a_consent_keeps_the_new_password_on_the_page(stage: Stage) -> None:
    """A consent replaces the session and keeps the password; another person in this browser sees no password."""
    stage.tenants = (replace(ACME, sources=(Source.CONTACTS, Source.OTHER_CONTACTS)),)
    browser = owner(stage)
    password = password_on(browser.get(PHONE))
    assert len(password) == PASSWORD_LENGTH
    switch_on(browser, Source.OTHER_CONTACTS)
    assert password_on(browser.get(PHONE)) == password
    browser.consent("/acme/connect?add", account=BOB)
    assert password_on(browser.get(PHONE)) == password
    browser.consent("/acme/signin", account="root@acme.example")
    assert (browser.get(PHONE).status, password_on(browser.get(PHONE))) == (200, "")


def test_the_password_is_shown_to_nobody_else(stage: Stage, alice: Browser) -> None:
    """Another browser of the same person does not show the password, and neither does an administrator's."""
    password = password_on(alice.get(PHONE))
    for account in (ALICE, ROOT):
        other = stage.visitor("/acme/signin", account=account)
        page = other.get(PHONE)
        assert (page.status, password in page.body) == (200, False)
        assert password not in other.get(f"{PHONE}/settings/yealink").body


@pytest.mark.parametrize(
    ("model", "chosen", "mode"),
    [("other", "", "values"), ("cisco", "", "entries"), ("cisco", "values", "values"), ("other", "entries", "entries")],
)
def test_how_numbers_are_shown(stage: Stage, model: str, chosen: str, mode: str) -> None:
    """The numbers are shown as the person chooses, or else as it suits the model."""
    owner(stage, model=model, numbers=chosen)
    assert stored(stage).numbers == mode


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": ""}, "Enter a label."),
        ({"name": "desk 1"}, "hyphens for the name, for example desk-1."),
        ({"name": "jörg"}, "for example joerg."),
        ({"name": ".."}, "Use 1 to 64 letters"),
        ({"name": "a" * 65}, "Use 1 to 64 letters"),
        ({"name": "<script>"}, "Use 1 to 64 letters"),
        ({"name": "DESK1"}, "There’s already a phone with this name"),
        ({"model": ""}, "Choose the phone’s model, or “Other or not sure”."),
        # No page offers these values, or only to other people.
        ({"model": "acme"}, ""),
        ({"numbers": "all"}, ""),
        ({"owner": "shared"}, ""),
        ({"owner": "2"}, ""),
        ({"model": "other", "placeholder": "?"}, ""),
    ],
    ids=str,
)
def test_a_phone_that_cannot_be_added(stage: Stage, alice: Browser, fields: dict[str, str], told: str) -> None:
    """Nothing is stored; after a slip, the form keeps the entered values and says what is wrong."""
    sent = {"name": "desk2", "model": "snom", "numbers": "entries"} | fields
    page = alice.submit("/acme/phones", **sent)
    assert (page.status, [login.name for login in stage.do(phones.read_all)]) == (400, ["desk1"])
    if told:
        assert told in words_on(page)
        assert f'name="name" value="{html.escape(sent["name"])}"' in page.body
        assert '<option value="entries" selected>' in page.body
        assert (f'<option value="{sent["model"]}" selected>' in page.body) is (sent["model"] != "")


def test_only_phones_of_the_own_accounts_are_added_here(stage: Stage) -> None:
    """Without an account there is no form; an administrator's page links to the administration for other phones."""
    admin = stage.admin()
    assert 'action="/acme/phones"' not in admin.get("/acme/phones").body
    for choice in ("shared", "nobody", "1"):
        assert add(admin, "hall", owner=choice).status == 400
    admin.consent(account=ROOT)
    page = admin.get("/acme/phones").body
    assert ('id="owner"' in page, 'href="/acme/admin/phones/new"' in page) == (False, True)
    assert add(admin, "mine").status == 303
    assert stored(stage, "mine").account_id == 1


def test_a_phone_of_several_accounts_of_mine(stage: Stage) -> None:
    """The person chooses the account whose book the phone finds first; the other accounts can be added and changed."""
    browser = stage.visitor()
    browser.consent("/acme/connect?add", account=BOB)
    alice, bob = stage.account(ALICE).id, stage.account(BOB).id
    form = browser.get("/acme/phones").body.partition('id="owner"')[2]
    assert re.findall(r'<option value="(\d)"[^>]*>([^<]*)<', form) == [("1", ALICE), ("2", BOB)]
    assert add(browser, "desk3", owner="3").status == 400
    for name, also, owners in (("desk2", {}, (bob,)), ("desk1", {"also-1": "1", "also-2": "1"}, (bob, alice))):
        assert add(browser, name, owner="2", **also).status == 303
        assert stored(stage, name).account_ids == owners
    assert 'name="also-1" value="1" checked' in browser.get(PHONE).body
    for form, owners in (({"also-2": "1"}, (alice, bob)), ({}, (alice,))):
        assert change(browser, owner=stage.world.account(ALICE).sub, **form).location == PHONE
        assert stored(stage).account_ids == owners


def test_a_form_that_was_not_touched_moves_no_phone(stage: Stage, alice: Browser) -> None:
    """The owners stay the same in any order, because a new owner would mean a new password."""
    connect(stage, "carol@acme.example")
    alice.consent("/acme/connect?add", account=BOB)
    order = tuple(stage.account(address).id for address in (ALICE, "carol@acme.example", BOB))
    stage.do(phones.set_accounts, "desk1", order)
    before = stored(stage)
    admin = stage.admin()
    own = {"owner": stage.world.account(ALICE).sub, "also-2": "1"}
    for visitor, form in ((alice, own), (admin, {"owner": f"{ALICE}, carol@acme.example, {BOB}"})):
        assert change(visitor, label="Lobby", new_password="1", **form).location == PHONE
        assert (stored(stage).account_ids, stored(stage).password) == (order, before.password)


def test_each_owner_of_a_phone_may_leave_it(stage: Stage) -> None:
    """Only an administrator removes a phone with another owner; a change by one owner keeps the other owner."""
    alice, bob = owner(stage), stage.visitor(account=BOB)
    ids = {account.address: account.id for account in stage.accounts()}
    assert bob.get(PHONE).status == 404
    assert change(stage.admin(), owner=f"{BOB}, {ALICE}").location == PHONE
    for browser in (alice, bob):
        assert f"Owners: {BOB}, {ALICE}" in words_on(browser.get(PHONE))
        assert 'href="/acme/phones/desk1"' in browser.get("/acme/phones").body
        assert browser.submit(f"{PHONE}/remove").location == f"{PHONE}/leave"
    assert change(alice, owner=stage.world.account(ALICE).sub).location == PHONE
    assert stored(stage).account_ids == (ids[BOB], ids[ALICE])
    assert "Leave desk1?" in words_on(bob.get(f"{PHONE}/leave"))
    assert bob.submit(f"{PHONE}/leave").location == "/acme/phones"
    assert (bob.get(PHONE).status, stored(stage).account_ids) == (404, (ids[ALICE],))
    told = "Somebody who no longer owns this phone may know its password"
    assert told in words_on(alice.get(PHONE))
    alice.submit(f"{PHONE}/reset")
    assert told not in words_on(alice.get(PHONE))
    assert alice.submit(f"{PHONE}/leave").status == 400
    assert "Leave phone" not in words_on(alice.get(PHONE))
    assert alice.submit(f"{PHONE}/remove").location == "/acme/phones"
    assert "Phone removed." in words_on(alice.get("/acme/"))
    assert (alice.get(PHONE).status, stage.do(phones.read_all)) == (404, ())


def test_so_many_phones_and_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ldapgw.web.phone_forms.MAX_PHONES_PER_PERSON", 2)
    browser = owner(stage)
    assert add(browser, "desk2").status == 303
    assert "reached the maximum number of phones" in words_on(add(browser, "desk3"))


def test_my_pages_list_my_phones(stage: Stage) -> None:
    """Both pages list the person's phones with their states, and no other phones; the form proposes a free label."""
    owner(stage, BOB, "bobs")
    browser = owner(stage)
    add(browser, "alice-1")
    search(stage)
    for page in (browser.get("/acme/"), browser.get("/acme/phones")):
        assert re.findall(r'href="/acme/phones/([^"]+)">', page.body) == ["alice-1", "desk1"]
        assert "alice-1 Other model Not used yet desk1 Other model Works" in words_on(page)
        assert "bobs" not in page.body
    assert 'name="label" value="alice"' in page.body
    assert '<option value="">Choose a model</option>' in page.body
    add(browser, "Alice")
    assert 'name="label" value="alice-2"' in browser.get("/acme/phones").body


def test_a_phone_is_added_by_its_label(stage: Stage) -> None:
    """The sign-in name is made from the label; the pages show both, and both can be changed."""
    browser = stage.visitor()
    new = {"name": "", "label": " Büro von Alice, 2. OG ", "model": "snom"}
    made = [browser.submit("/acme/phones", **new).location for _ in range(2)]
    assert made == ["/acme/phones/buero-von-alice-2-og", "/acme/phones/buero-von-alice-2-og-2"]
    title = "Büro von Alice, 2. OG (buero-von-alice-2-og)"
    assert f"{title} Snom" in words_on(browser.get("/acme/"))
    page = browser.get(made[0])
    assert f"<title>{title} · " in page.body
    assert f"{title}: Not used yet" in words_on(page)
    assert f"{title}</h1>" in browser.get(f"{made[0]}/sheet").body
    fields = {"name": "buero", "model": "snom", "owner": stage.accounts()[0].sub}
    assert browser.submit(f"{made[0]}/change", label="Büro", **fields).location == "/acme/phones/buero"
    assert stored(stage, "buero").label == "Büro"
    entries = stage.do(activity.read_page, "acme").entries
    assert [one.detail for one in entries if one.act == Act.PHONE_LABEL] == ["Büro"]
    assert browser.submit("/acme/phones/buero/change", label="buero", **fields).status == 303
    assert "<title>buero · " in browser.get("/acme/phones/buero").body


NAME_HINT = "Use 1 to 64 letters a–z, digits, dots, underscores and hyphens for the name, for example buero-2."


@pytest.mark.parametrize(
    ("field", "written", "by_admin", "error"),
    [
        ("label", "x" * 65, False, "Use at most 64 characters for the label"),
        ("name", "Büro 2", False, NAME_HINT),
        ("name", "DESK2", False, "There’s already a phone with this name"),
        ("mac", "001565AABBCC", False, "Another phone has this MAC address already.</p>"),
        # The phone may be another person's, so only administrators read its name.
        ("mac", "0015.65aa.bbcc", True, "hall has this MAC address already.</p>"),
        ("mac", "00:04", False, "“00:04” isn’t a MAC address. It has to have 12 digits 0–9 and a–f.</p>"),
    ],
)
def test_a_change_that_cannot_be(stage: Stage, field: str, written: str, by_admin: bool, error: str) -> None:
    """The error is at the field, the form keeps the entered values, and nothing is stored."""
    browser = owner(stage, label="Küche", model="yealink")
    add(browser, "desk2")
    add_phone(stage, "hall", mac="001565aabbcc")
    before = stored(stage)
    fields = {"name": "lobby", "label": "Lobby", "mac": "", field: written}
    if by_admin:
        fields["owner"] = ""
        seen = change(stage.admin(), **fields, placeholder="#", new_password="1")
    else:
        seen = change(browser, **fields, placeholder="#", owner=stage.accounts()[0].sub)
    assert (seen.status, stored(stage)) == (400, before)
    form = seen.body.partition('id="change"')[2]
    assert f'<p id="{field}-hint" class="wrong">{error}' in form
    [invalid] = re.findall(r'<input[^>]* aria-invalid="true" autofocus[^>]*>', form)
    assert f'name="{field}"' in invalid
    for name, value in fields.items():
        assert f'name="{name}" value="{value}"' in form
    for option in ("other", "#"):
        assert f'<option value="{option}" selected>' in form
    assert ('name="new_password" value="1" checked' in form) is by_admin


# --- ownership ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/remove", "/settings/yealink"])
def test_a_phone_is_found_in_any_case_of_letters(alice: Browser, path: str) -> None:
    assert [alice.get(f"/acme/phones/{name}{path}").status for name in ("desk1", "DESK1")] == [200, 200]


def test_a_phone_of_another_tenant_is_none() -> None:
    """An administrator of another tenant does not find the phone either."""
    stage = Stage(tenants=(ACME, replace(GLOBEX, admins=(ALICE,))))
    owner(stage, BOB)
    browser = stage.visitor("/globex/connect")
    assert browser.get("/globex/phones/desk1").status == 404
    assert browser.get(PHONE).status == 403


def test_an_administrator_sees_every_phone_of_the_tenant(stage: Stage) -> None:
    owner(stage)
    admin = stage.admin()
    search(stage)
    assert "(|(cn=mue*)(sn=mue*))" in words_on(admin.get(PHONE))
    before = stored(stage).password
    assert admin.submit(DIALING_FORM, number_format="national").status == 303
    assert stored(stage).number_format is NumberFormat.NATIONAL
    assert admin.submit(f"{PHONE}/reset").location == PHONE
    assert verify_password(password_on(admin.get(PHONE)).encode(), stored(stage).password)
    assert stored(stage).password != before
    assert admin.submit(f"{PHONE}/remove").location == "/acme/admin/phones"
    assert stage.do(phones.read_all) == ()


def test_a_new_password(stage: Stage, alice: Browser) -> None:
    """The page does not show the old password, and says that the phone has to sign in; past searches still count."""
    old = password_on(alice.get(PHONE))
    stage.do(phones.store_last_searches, {"desk1": LastSearch(NOW, "", NOW)})
    assert alice.submit(f"{PHONE}/reset").location == PHONE
    assert (stored(stage).worked_at, stage.changes) == (NOW, 3)
    page = alice.get(PHONE)
    assert old not in page.body
    for told in (
        "The phone has a new password",
        "desk1: New password, waiting for the phone",
        "No searches with the new password yet.",
    ):
        assert told in words_on(page)
    bind(stage)
    seen = words_on(alice.get(PHONE))
    assert ("desk1: Works" in seen, "with the new password" in seen) == (True, False)


REMOVED_MEANWHILE = {
    "change": ("change", {"name": "desk1", "label": "Hall", "model": "yealink", "owner": "alice"}, 404),
    "dialing": ("dialing", {"number_format": "", "area_code": "030"}, 404),
    "end of the book's address": ("book-address/end", {}, 404),
    "reset": ("reset", {}, 404),
    "start of a recording": ("record", {"action": "start"}, 404),
    # The recording was deleted with the phone.
    "end of a recording": ("record", {"action": "stop"}, 303),
    "removal of a recording": ("record", {"action": "delete"}, 303),
    "remove": ("remove", {}, 404),
}


@pytest.mark.parametrize(("path", "fields", "status"), REMOVED_MEANWHILE.values(), ids=REMOVED_MEANWHILE)
def test_a_phone_that_is_removed_in_the_same_moment_is_not_changed(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    json_log: list[dict[str, Any]],
    path: str,
    fields: dict[str, str],
    status: int,
) -> None:
    """The answer says that there is no such phone or recording, and neither log has a change of the phone."""
    browser, run = owner(stage, model="yealink"), stage.store.run
    if status == 303:
        stage.do(recordings.begin, "desk1", NOW, NOW + 600, is_plain=False)
    json_log.clear()
    before = stage.do(activity.read_since, "acme", 0.0)

    def run_after_the_removal(function: Any, *args: Any, **kw: Any) -> Any:
        if function is not sign_ins.extend_sign_in:
            run(phones.remove, "desk1")
        return run(function, *args, **kw)

    monkeypatch.setattr(stage.store, "run", run_after_the_removal)
    if "owner" in fields:
        fields = fields | {"owner": stage.account(ALICE).sub}
    assert (browser.submit(f"{PHONE}/{path}", **fields).status, browser.get(PHONE).status) == (status, 404)
    assert stage.do(activity.read_since, "acme", 0.0) == before
    assert "phone_changed" not in [line["event"] for line in json_log]


def test_a_phone_is_changed(stage: Stage) -> None:
    """One form changes name, model and owner; the form takes no account of other people."""
    browser = owner(stage, model="yealink")
    browser.consent("/acme/connect?add", account=BOB)
    subs = {address: stage.account(address).sub for address in (ALICE, BOB)}
    alice = {"model": "yealink", "owner": subs[ALICE]}
    moved = change(browser, name="hall", model="cisco", owner=subs[BOB])
    assert moved.location == "/acme/phones/hall"
    hall = stage.do(phones.read_by_name, "hall")
    assert (hall.model, hall.numbers, hall.account_id) == ("cisco", NumberMode.ENTRIES, stage.account(BOB).id)
    for fields in ({**alice, "owner": "shared"}, {**alice, "owner": "1"}, {**alice, "model": "x"}, {}):
        assert browser.submit("/acme/phones/hall/change", name="hall", **fields).status == 400


@pytest.mark.parametrize(
    ("written", "mac"),
    [("00-04-13-AA-BB-CC", "000413aabbcc"), ("", ""), ("00:15:65:aa:bb:dd", "001565aabbdd")],
    ids=["another", "none", "the same"],
)
def test_a_phones_mac_address_is_changed(stage: Stage, written: str, mac: str) -> None:
    """The page shows the address, and the activity log has each change of the address."""
    browser = owner(stage, model="yealink")
    stage.do(phones.set_mac, "desk1", "001565aabbdd")
    seen = change(browser, name="desk2", placeholder="#", owner=stage.accounts()[0].sub, mac=written)
    assert (seen.location, stored(stage, "desk2").mac) == ("/acme/phones/desk2", mac)
    acts = [one.detail for one in stage.do(activity.read_page, "acme").entries if one.act == Act.PHONE_MAC]
    assert acts == ([show_mac(mac)] if mac != "001565aabbdd" else [])
    assert ("MAC address 00:04:13:aa:bb:cc" in words_on(browser.get(seen.location))) is (mac == "000413aabbcc")


def test_an_administrator_gives_a_phone_to_anybody(stage: Stage) -> None:
    """The administrator enters the account's address, or nothing for no owner; the page lists no other accounts."""
    owner(stage)
    stage.browser().consent(account=BOB)
    bob = stage.account(BOB).id
    admin = stage.admin()
    page = admin.get(PHONE).body
    assert f'name="owner" value="{ALICE}"' in page
    assert BOB not in page
    for entered, account_id in ((f" {BOB.upper()} ", bob), ("zoe@acme.example", bob), ("", None)):
        assert change(admin, owner=entered).location == PHONE
        assert stored(stage).account_id == account_id
        is_unknown = entered.startswith("zoe")
        assert ("no account with this address" in words_on(admin.get(PHONE))) is is_unknown
    assert change(admin).status == 400


def test_a_sheet_to_print(stage: Stage) -> None:
    """The sheet has the values, the steps, and the password while the page knows it.

    Later it has a blank to write on.
    """
    browser = owner(stage, model="snom")
    page = browser.get(f"{PHONE}/sheet")
    words = words_on(page)
    assert f"Password {password_on(browser.get(PHONE))}" in words
    assert all_vendors()["snom"].name_filter in words
    assert words.index("Upload Setting File") < words.index("What to enter")
    assert "data-print hidden>Print</button>" in page.body
    main = page.body.partition("<main")[2]
    assert not any(mark in main for mark in ("data-copy", "<svg", 'class="blank"'))
    browser.submit(f"{PHONE}/provision")
    assert '<svg role="img"' in browser.get(f"{PHONE}/sheet").body
    stage.clock.advance(PASSWORD_SECONDS)
    later = browser.get(f"{PHONE}/sheet")
    assert f'<span class="blank"></span> Create a new password on the <a href="{PHONE}">phone’s page</a>.' in later.body
    assert "PASSWORD" not in later.body


def test_a_sheet_is_the_one_of_an_import(stage: Stage) -> None:
    browser = owner(stage, model="snom")
    phone = NewPhone(stored(stage), password_on(browser.get(PHONE)))
    made = print_sheet(phone, Site(stage.server, "dc=acme,dc=example", "Acme GmbH"))
    page = browser.get(f"{PHONE}/sheet").body
    section = re.findall("<section.*</section>", page, re.DOTALL)
    assert [one in Renderer("").print_sheets("en", "Acme GmbH", [made]) for one in section] == [True]


@pytest.mark.parametrize(
    ("placeholder", "names", "numbers"),
    [
        ("", "cn=%*", "mobile=%)"),
        ("%", "cn=%)", "mobile=%)"),
        ("$VALUE", "cn=$VALUE*", "mobile=$VALUE)"),
        ("#", "cn=#*", "mobile=#)"),
        ("%s", "cn=%s*", "mobile=%s)"),
        ("none", "(objectClass=person)", "(objectClass=person)"),
    ],
)
def test_the_placeholder_of_another_model(stage: Stage, placeholder: str, names: str, numbers: str) -> None:
    """The settings have the chosen placeholder; a phone of a known model has none."""
    browser = owner(stage, model="other", placeholder=placeholder)
    assert stored(stage).model == ""
    settings = json.loads(browser.get(f"{PHONE}/settings/other").body)
    assert (names in settings["name_filter"], numbers in settings["number_filter"]) == (True, True)
    change(browser, model="snom", owner=stage.accounts()[0].sub, placeholder="#")
    assert stored(stage).placeholder == ""


@pytest.mark.parametrize("key", all_vendors())
def test_the_page_and_the_printed_sheets_have_the_same_steps(stage: Stage, key: str) -> None:
    """The steps have their marks; the command's steps are compared in tests/cli/test_phones.py."""
    vendor = all_vendors()[key]
    shown = _Steps(vendor.steps_note, tuple((step.text, step.is_confirmed) for step in vendor.setup_steps))
    page = owner(stage, model="yealink").get(f"{PHONE}?vendor={key}").body
    login = PhoneLogin("desk1", "acme", None, NumberMode.VALUES, "hash", 0.0, model="yealink")
    site = Site(stage.server, "dc=acme,dc=example", "Acme GmbH")
    made = replace(print_sheet(NewPhone(login, "secret"), site), sheet=make_sheet(vendor, settings_of(login, site)))
    printed = Renderer("").print_sheets("en", "Acme GmbH", [made])
    assert "As soon as the phone finds someone, its page here turns green.</li>" in page
    assert (_steps_in_html(page), _steps_in_html(printed)) == (shown, shown)


def test_the_file_is_offered_in_the_step_that_needs_it(stage: Stage) -> None:
    """If no step needs the file, the page offers the file above the steps; the sheet has no file to load."""
    browser = owner(stage, model="yealink")
    for key, number in (("snom", 3), ("vtech", 3), ("linphone", 0), ("gigaset-n510", 0)):
        page = browser.get(f"{PHONE}?vendor={key}").body
        offers = ["download>Download</a>" in step for step in _steps_on(page)]
        assert [at for at, is_offered in enumerate(offers, 1) if is_offered] == ([number] if number else [])
        assert page.count(f'/settings/{key}" download>') == 1
    assert "/settings/snom" not in browser.get(f"{PHONE}/sheet?vendor=snom").body


def test_all_values_to_copy_at_once(stage: Stage) -> None:
    """The hidden text has a line for each field of the table; only long values have a button of their own."""
    browser = owner(stage, model="yealink")
    for key in ("other", "gigaset"):
        page = browser.get(f"{PHONE}?vendor={key}&language=en").body
        table = re.findall(r'<th scope="row"[^>]*>(.*?)</th><td>(.*?)</td>', page.partition("What to enter")[2])
        rows = [(label, re.sub("<button.*?</button>|<.*?>", "", cell)) for label, cell in table if label != "name"]
        lines = page.partition('<pre id="all-fields" hidden>')[2].partition("</pre>")[0].strip("\n").split("\n")
        assert lines == [f"{label}: {value}" for label, value in rows]
        assert [label for label, cell in table if "data-copy" in cell] == [
            label for label, value in rows if len(html.unescape(value)) > 7
        ]
        assert page.count('data-copy="all-fields"') == 1


class _Steps(NamedTuple):
    """The steps have a line above, a text each, and a mark if a source confirms the step."""

    note: str
    steps: tuple[tuple[str, bool], ...]


def _steps_in_html(page: str) -> _Steps:
    """Return the steps of a page, without the file's button and without the words behind the last step."""
    before, _, _ = page.partition('<ol class="numbered">')
    notes = re.findall('<p class="hint">([^<]*)</p>\\n$', before)
    steps = [
        step.removesuffix(" As soon as the phone finds someone, its page here turns green.") for step in _steps_on(page)
    ]
    texts = [html.unescape(re.sub("</?b>|<br><a .*", "", step.partition(" <span")[0])) for step in steps]
    marks = ['✓</span><span class="unseen">(confirmed)</span>' in step for step in steps]
    return _Steps(notes[0] if notes else "", tuple(zip(texts, marks, strict=True)))


def _steps_on(page: str) -> list[str]:
    return re.findall(r"<li>(.*?)</li>", page.partition('<ol class="numbered">')[2].partition("</ol>")[0])


def test_sources_of_the_steps(stage: Stage) -> None:
    """The page names each document with the steps that it confirms.

    The sheet names only documents that confirm steps.
    """
    browser = owner(stage, model="yealink")
    for key, vendor in all_vendors().items():
        expected = [
            (one.url, f"{one.title} (confirms step{'s' if len(one.steps) > 1 else ''} {_list(one.steps)})")
            if one.steps
            else (one.url, one.title)
            for one in vendor.sources
        ]
        page = browser.get(f"{PHONE}?vendor={key}").body
        assert _sources_on(page) == expected, key
        meaning = " (they confirm the steps with ✓)" * any(step.is_confirmed for step in vendor.setup_steps)
        assert (f"<summary>Sources{meaning}</summary>" in page) is bool(vendor.sources), key
    sheet = browser.get(f"{PHONE}/sheet").body
    words = [f"{one.title} (✓ {_list(one.steps)})" for one in all_vendors()["yealink"].sources if one.steps]
    paragraph = sheet.partition('<p class="hint sources">')[2].partition("</p>")[0]
    assert html.unescape(re.sub("<[^>]+>", "", paragraph)) == f"Sources: {' · '.join(words)}"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _sources_on(page: str) -> list[tuple[str, str]]:
    """Return the address and the words of each source."""
    _, _, rest = page.partition('<details class="hint sources"')
    lines = re.findall("<li>(.*?)</li>", rest.partition("</details>")[0])
    links = [re.search('href="(.*?)"', line) for line in lines]
    words = [html.unescape(re.sub("<[^>]+>", "", line)) for line in lines]
    return [(html.unescape(link[1]) if link else "", text) for link, text in zip(links, words, strict=True)]


@pytest.mark.parametrize(
    ("path", "question", "button"),
    [
        (f"{PHONE}/remove", "Remove desk1?", "Remove phone"),
        (f"{PHONE}/reset", "Give desk1 a new password?", "Create new password"),
        (f"{PHONE}/book-address", "Give desk1 a new secret address?", "Create new address"),
        (f"{PHONE}/book-address/end", "Revoke the secret address of desk1?", "Revoke secret address"),
        (f"{PHONE}/record", "Delete the recording of desk1?", "Delete recording"),
        (f"{PHONE}/provision", "Create a provisioning address for desk1?", "Create password and address"),
        (f"{PHONE}/provision/end", "Revoke the provisioning address of desk1?", "Revoke provisioning address"),
    ],
)
def test_what_cannot_be_undone_asks_first(stage: Stage, alice: Browser, path: str, question: str, button: str) -> None:
    """The page asks; its only form besides signing out does the act, and "Cancel" leads back."""
    before = stored(stage)
    page = alice.get(path)
    assert f"<h1>{question}</h1>" in page.body
    assert re.findall(r'action="([^"]+)"', page.body) == ["/acme/signout", path]
    assert f'<button class="danger">{button}</button> <a class="button plain" href="{PHONE}">Cancel</a>' in page.body
    assert stored(stage) == before
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', page.body.partition(path)[2]))
    assert alice.post(path, fields).status == 303


def test_what_a_hint_tells_to_enter_can_be_copied(stage: Stage, alice: Browser) -> None:
    """The page shows the text to copy once, although several searches lead to the hint."""
    for _ in range(2):
        search(stage, "(telephoneNumber=+493012*)", 0)
    page, fix = alice.get(PHONE), "(|(telephoneNumber=%)(mobile=%)(homePhone=%))"
    assert page.body.count(f'<code id="hint-1-1">{fix}</code>') == 1
    assert words_on(page).count(f"mobile and home numbers. Use {fix} Copy") == 1


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", all_vendors())
def test_the_settings_of_each_vendor(alice: Browser, key: str) -> None:
    """The page shows the settings as lines of a file or as a table, and offers a file if the vendor has one."""
    page = alice.get(f"{PHONE}?vendor={key}")
    vendor = all_vendors()[key]
    assert f"?vendor={key}&amp;language=de" in page.body
    assert password_on(page) in page.body.partition('id="settings"')[2]
    answer = alice.get(f"{PHONE}/settings/{key}")
    if not vendor.file:
        assert answer.status == 404
        return
    assert vendor.fields or answer.body == file_on(page)
    assert '<pre id="file"' in page.body
    assert answer.headers["content-disposition"] == [f'attachment; filename="{vendor.file}"']
    assert answer.headers["content-type"] == [vendor.media_type]
    assert answer.headers["cache-control"] == ["no-store"]
    assert all(html.escape(text) in page.body for text in vendor.unverified)


@pytest.mark.parametrize(
    ("model", "first"),
    [("snom", "snom"), ("sangoma", "htek"), ("gigaset", "gigaset"), ("cisco", "cisco-mpp"), ("other", "other")],
)
def test_the_model_chooses_the_settings(stage: Stage, model: str, first: str) -> None:
    """The page shows the settings of the model's vendor; an unknown vendor in the address changes nothing."""
    browser = owner(stage, model=model)
    for query in ("", "?vendor=acme", "?vendor=<script>"):
        page = browser.get(PHONE + query)
        assert re.findall(r"[?]vendor=([^&]+)&amp;language=", page.body)[0] == first
        assert "<script>" not in page.body


class Shown(NamedTuple):
    """A page of a phone, and words and marks that the page has or lacks."""

    model: str
    path: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()


def labels(language: str, *texts: str) -> tuple[str, ...]:
    return tuple(f'<th scope="row"{language}>{text}</th>' for text in texts)


NOTES = ("Aus unseren Notizen; Menüs können anders heißen.", '<span class="unseen">(bestätigt)</span>')
SHOWN = {
    "steps of the model": Shown("yealink", "", (), ("isn’t this phone’s model",)),
    "steps of another model": Shown(
        "yealink", "?vendor=snom", ("These are the steps for Snom, which isn’t this phone’s model. Yealink",)
    ),
    "steps in German": Shown("snom", "?language=de", (*NOTES, "(sie bestätigen die Schritte mit ✓)")),
    "a sheet in German": Shown("snom", "/sheet?language=de", NOTES),
    "sources in German": Shown("yealink", "?language=de", ("bestätigt Schritt", "bestätigt die Schritte")),
    "bold menus": Shown("poly", "?language=de", ("unter <b>Utilities › Import &amp; Export Configuration</b> bei",)),
    "bold menus on the sheet": Shown("yealink", "/sheet", ("Go to <b>Settings › Configuration</b>, choose",)),
    "no encryption": Shown("cisco", "?vendor=cisco-spa", ("This phone doesn’t support encryption. Use it only on a",)),
    "numbers that do not suit": Shown("cisco", "", ("Add it again and choose “One entry per number”",)),
    "no names of callers": Shown("cisco", "?vendor=cisco-spa", ("may not show callers’ names",)),
    # Labels of the phone's own page stay in English; our labels are in the reader's language.
    "the phone's labels": Shown(
        "avaya", "?vendor=avaya-b179&language=de", labels(' lang="en"', "Username", "Password")
    ),
    "our labels": Shown("other", "?language=de", labels("", "Suchbasis", "Kennwort")),
    "an XML phone book": Shown("yealink", "", (f"{BOOK}/yealink.xml", CALLERS), (f"{BOOK}/contacts.json",)),
    "an XML phone book for several vendors": Shown("cisco", "", (f"{BOOK}/cisco.xml",)),
    "the address for CardDAV": Shown("other", "", (f"{URL}/acme/dav/",)),
    "the feed": Shown("mitel", "", (f"{BOOK}/contacts.json",), (".xml</code>", "/acme/photo/")),
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_what_a_page_shows(stage: Stage, shown: Shown) -> None:
    page = owner(stage, model=shown.model, numbers="values").get(PHONE + shown.path)
    text = page.body + words_on(page)
    assert [words for words in (*shown.has, *shown.lacks) if words in text] == [*shown.has]


def test_settings_that_are_not_there(stage: Stage) -> None:
    """A vendor that is unknown, or whose phones cannot connect here, has no file."""
    browser = owner(stage)
    assert browser.get(f"{PHONE}/settings/acme").status == 404
    stage.server = ServerAddress("phonebook.example.com", 389, require_tls=True, start_tls=True)
    browser = owner(stage, name="desk2")
    page = browser.get("/acme/phones/desk2?vendor=mitel")
    assert "This phone can’t sign in" in words_on(page)
    assert browser.get("/acme/phones/desk2/settings/mitel").status == 404


PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("pem", ["", PEM], ids=["public", "private"])
def test_the_certificate_to_load(stage: Stage, pem: str) -> None:
    """The page offers the certificate if its authority is private, and says how the phone gets it."""
    stage.certificate = pem
    browser, address = owner(stage), f"{URL}/acme/ca.crt"
    for path, words in (
        ("?vendor=yealink", f"{address} . The settings file lets the phone load the certificate (trusted_certificates"),
        ("?vendor=yealink", "Download the certificate"),
        ("/sheet", f"{address} . We know no document that says whether this phone checks certificates."),
    ):
        assert (words in words_on(browser.get(PHONE + path))) is bool(pem)
    assert ("Most phones trust it already" in words_on(browser.get(PHONE))) is not bool(pem)
    file = browser.get(f"{PHONE}/settings/yealink").body
    assert (f"\nstatic.trusted_certificates.url = {address}\n" in file) is bool(pem)
    for form, body in (("crt", PEM), ("der", "\0\0\0")):
        sent = stage.browser().get(f"/acme/ca.{form}")
        assert sent.status == (200 if pem else 404)
        if pem:
            assert (sent.body, sent.headers["content-type"]) == (body, ["application/x-x509-ca-cert"])
    assert "ca.crt" not in browser.get(f"{PHONE}?vendor=mitel").body


def helped(stage: Stage, host: str) -> None:
    """Serve at a host, and name the administrator of the tenant."""
    stage.tenants = tuple(replace(tenant, help="it@acme.example") for tenant in stage.tenants)
    stage.server = ServerAddress(host, 389, is_loopback=host == "localhost")


@pytest.mark.parametrize("host", ["phonebook.example.com", "localhost"])
def test_advice_says_where_the_administrator_is(stage: Stage, host: str) -> None:
    """The page names the administrator beside each advice that sends the reader there."""
    helped(stage, host)
    browser = owner(stage)
    told, about_gateway = "Your administrator: it@acme.example", int(host == "localhost")
    page = browser.get(PHONE)
    warning = "<li>“localhost” only works on the gateway itself"
    assert (words_on(page).count(told), page.body.count(warning)) == (about_gateway, about_gateway)
    search(stage, "(telephoneNumber=L0#0301234567)", entries=0)
    assert words_on(browser.get(PHONE)).count(told) == about_gateway + 1


def test_advice_names_the_file_to_administrators(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator reads the setting and its file, with a link to the documentation, and no contact for help."""
    monkeypatch.setattr(rendering, "SITE", "https://docs.example")
    helped(stage, "localhost")
    owner(stage)
    page = stage.admin().get(PHONE)
    assert "Set [web] public_url in /etc/ldapgw/ldapgw.toml to" in words_on(page)
    assert 'href="https://docs.example/reference/configuration.html#web" rel="noreferrer"' in page.body
    assert "it@acme.example" not in words_on(page)


# --- the log --------------------------------------------------------------------------------------------------------


def test_the_state_of_a_phone(stage: Stage, alice: Browser) -> None:
    """The state changes from unused to working, and a phone that has worked keeps its green tick."""

    def state() -> tuple[str, str]:
        page = alice.get(PHONE).body
        [state] = re.findall(r'<div class="state (\w+)">.*?<h1 [^>]*>desk1: (.*?)</h1>', page, re.DOTALL)
        return state

    assert state() == ("quiet", "Not used yet")
    bind(stage)
    assert state() == ("quiet", "No search yet")
    for asked, entries, expected in (
        ("(cn=xyz*)", 0, ("quiet", "Nobody found yet")),
        ("(cn=%)", 0, ("warn", "1 setting to fix")),
        ("(|(cn=mue*)(sn=mue*))", 2, ("good", "Works")),
        ("(|(cn=xyz*)(sn=xyz*))", 0, ("good", "Works")),
        ("(telephoneNumber=+493012*)", 0, ("warn", "Works, 1 setting to fix")),
        ("(cn=%)", 0, ("warn", "Works, 2 settings to fix")),
    ):
        search(stage, asked, entries)
        assert state() == expected
    search(stage, "(|(telephoneNumber=030*)(mobile=030*)(homePhone=030*))", 0)
    search(stage)
    assert state() == ("good", "Works")


def test_the_state_after_a_restart(stage: Stage, alice: Browser) -> None:
    stage.do(phones.store_last_searches, {"desk1": LastSearch(NOW, "no_such_base")})
    page = words_on(alice.get(PHONE))
    assert "desk1: 1 setting to fix The phone is connected, but one of its settings needs to change." in page
    assert "The phone’s search base doesn’t exist. Use dc=acme,dc=example" in page
    assert "No searches since the gateway started." in page
    stage.do(phones.store_last_searches, {"desk1": LastSearch(NOW, "of a newer version", NOW)})
    assert "This phone first found someone: " in words_on(alice.get(PHONE))


def test_a_wrong_password(stage: Stage, alice: Browser) -> None:
    """The page shows when, from where and how often the password was wrong; a later sign-in makes the state good."""

    def warnings() -> list[Any]:
        found: list[Any] = json.loads(alice.get("/acme/status.json").body)["accounts"][0]["warnings"]
        return found

    serve(stage)
    search(stage)
    for _ in range(3):
        stage.refused_logins.note("desk1", "10.0.0.17")
    result_of(stage.refused_logins.judge())
    page = alice.get(PHONE)
    assert '<div class="state bad">' in page.body
    assert "desk1: Wrong password Last refused: " in words_on(page)
    assert "from 10.0.0.17 (3 times). Enter the password again in the phone, or create a new one." in words_on(page)
    assert '<span class="tag bad">Wrong password</span>' in alice.get("/acme/phones").body
    assert [(one["code"], "desk1" in one["message"]) for one in warnings()] == [("rejected_login", True)]
    bind(stage, NOW + 1, "10.0.0.99")
    assert ('<div class="state good">' in alice.get(PHONE).body, warnings()) == (True, [])


UNFIT = {
    PLAIN_ON_TLS_PORT: "It speaks LDAP without TLS to the port for TLS. Switch LDAPS on in the device",
    TLS_ON_PLAIN_PORT: "It speaks TLS to the port for LDAP without TLS. Enter the port for LDAPS",
    UNKNOWN_AUTHORITY: "It doesn’t know the authority of the gateway’s certificate. Load ca.crt into the",
    PASSWORD_WITHOUT_TLS: "It sends a password without TLS, which this gateway refuses. Switch LDAPS",
}


def test_refusals_from_elsewhere_are_for_administrators(stage: Stage, alice: Browser) -> None:
    """Administrators see refusals from other networks, unknown names, and clients that cannot connect."""
    serve(stage)
    bind(stage, NOW, "10.0.0.17")
    for name in ("desk1", "desk01", "desk01", "Hunter2!"):
        stage.refused_logins.note(name, "203.0.113.9")
    result_of(stage.refused_logins.judge())
    for at, reason in enumerate(UNFIT):
        stage.refused_logins.note_unfit_client(reason, f"203.0.113.2{at}")
    root = stage.admin()
    told = "Someone tried to sign in as this phone from another network: 1 time, last from 203.0.113.9"
    assert told in words_on(root.get(PHONE))
    assert '<div class="state quiet">' in root.get(PHONE).body
    assert told not in words_on(alice.get(PHONE))
    admin = words_on(root.get("/acme/admin"))
    for name, times in (("desk1", "1 time"), ("desk01", "2 times"), ("••••••••", "1 time")):
        assert f"{name} {times}, last from 203.0.113.9" in admin
    assert "Hunter2" not in admin
    for at, words in enumerate(UNFIT.values()):
        assert f"203.0.113.2{at} {words}" in admin


def test_a_device_that_cannot_connect_from_the_address_of_a_phone(stage: Stage, alice: Browser) -> None:
    """The page says why the device cannot connect, until the phone has signed in again."""
    serve(stage)
    told = "A device at this phone’s address, 10.0.0.17, can’t connect. It doesn’t know the authority"
    stage.refused_logins.note_unfit_client(UNKNOWN_AUTHORITY, "10.0.0.17")
    assert told not in words_on(alice.get(PHONE))
    bind(stage, NOW - 60, "10.0.0.17")
    assert told in words_on(alice.get(PHONE))
    bind(stage, NOW + 60, "10.0.0.17")
    assert told not in words_on(alice.get(PHONE))


def test_withheld_callers_get_no_advice(stage: Stage, alice: Browser) -> None:
    """The page says that the caller's number was hidden, and no setting has to be fixed."""
    for caller in ("anonymous", "*unknown*", "Restricted"):
        search(stage, f"(telephoneNumber={caller})", 0)
    page = words_on(alice.get(PHONE))
    assert page.count("· hidden number · no name to show") == 3
    assert "to fix" not in page
    assert "Why?" not in page


def test_somebody_at_its_address_does_not_log_in(stage: Stage, alice: Browser) -> None:
    """A search without a login from the phone's address is probably the phone's.

    The page says so for a quarter of an hour.  A read of the root DSE is a proxy's health check.
    """

    def says(words: str) -> bool:
        return words in words_on(alice.get(PHONE))

    bind(stage, NOW - 60)
    search(stage, "(objectClass=*)", login="", entries=1)
    assert not says("Doesn’t sign in")
    search(stage, login="", entries=0, code=ResultCode.INSUFFICIENT_ACCESS_RIGHTS)
    assert (says("Doesn’t sign in"), says("mue")) == (True, False)
    stage.clock.advance(901)
    assert not says("Doesn’t sign in")
    search(stage)
    assert says("Works")
    stage.clock.advance(1)
    search(stage, login="", entries=0, code=ResultCode.INSUFFICIENT_ACCESS_RIGHTS)
    assert says("Works")


def test_the_last_searches(stage: Stage, alice: Browser) -> None:
    """The page shows the time, the question, the result and the details of LDAP; the newest search is first."""
    search(stage, "(telephoneNumber=0301234*)", 0)
    stage.clock.advance(61)
    search(stage, controls=pdu.controls(pdu.control("1.2.840.113556.1.4.473"), pdu.control("1.2.3")))
    log = words_on(alice.get(PHONE)).partition("Latest searches")[2].partition("Change")[0]
    newest, _, oldest = log.partition("(telephoneNumber=0301234*)")
    details = "limit 50 · base dc=acme,dc=example , subtree · cn telephoneNumber mobile · sorted · 1.2.3"
    for words in ("(|(cn=mue*)(sn=mue*))", "· name “mue” · 2 found", f"192.0.2.7 · 2 results · 4.2 ms · {details}"):
        assert words in newest
    assert "192.0.2.7 · 0 results · 4.2 ms · limit 50" in oldest
    assert "· number 0301234 · nobody found" in log


@pytest.mark.parametrize("path", [PHONE, "/acme/phones"], ids=["the phone's page", "the list of phones"])
def test_each_of_the_last_searches_is_decoded_once(stage: Stage, path: str) -> None:
    """Decoding takes a while, and the page's parts share the decoded searches."""
    browser = owner(stage, model="snom")
    for number in range(5):
        search(stage, f"(telephoneNumber=030{number}*)", 0)
    assert calls(lambda: browser.get(path), decode_search.__code__) == 5


def test_hostile_searches_are_text(stage: Stage, alice: Browser) -> None:
    """Anybody with the phone's password can send a search, so the page escapes its text."""
    search(stage, "(cn=<script>alert\\28'\"&\\29</script>*)", 0)
    unreadable = ((b"\x30\x84\xff\xff", ResultCode.PROTOCOL_ERROR), (b"x" * 5000, ResultCode.ADMIN_LIMIT_EXCEEDED))
    for message, code in unreadable:
        stage.watch.search_log.observe(FinishedSearch(DESK1, "192.0.2.7", message, 0, code, 0.0))
    page = alice.get(PHONE)
    assert "<script>alert" not in page.body
    words = words_on(page)
    assert "(cn=<script>alert\\28'\"&\\29</script>*)" in words
    assert words.count("too long to keep, or unreadable") == 2
    assert "(administrative limit exceeded)" in words
    assert "(Grenze des Gateways überschritten)" in words_on(alice.get(f"{PHONE}?language=de"))


def listened_to(stage: Stage, address: str, **query: str) -> list[str]:
    """Return the topics of an open page of a person."""
    visit = visit_by(stage, address, **query)
    return list(result_of(PhonePages(visit.layout).topics(visit)))


def test_what_open_pages_listen_to(stage: Stage) -> None:
    """A user's page listens to the own phones, and an administrator's page to the phone on the page."""
    owner(stage)
    assert listened_to(stage, ALICE) == [DESK1]
    assert listened_to(stage, BOB) == []
    assert listened_to(stage, ROOT, phone="desk1") == [DESK1]
    with pytest.raises(PageError):
        listened_to(stage, BOB, phone="desk1")
    assert 'data-events="/acme/events?phone=desk1"' in owner(stage, name="desk2").get(PHONE).body


def test_nothing_of_it_is_logged(stage: Stage, caplog_twisted: list[str], alice: Browser) -> None:
    """The log names the phone and the act, and has no password and no search."""
    password = password_on(alice.get(PHONE))
    search(stage)
    alice.get(PHONE)
    alice.submit(f"{PHONE}/reset")
    alice.submit(f"{PHONE}/remove")
    said = "\n".join(caplog_twisted)
    assert [line.split(" by ")[0] for line in caplog_twisted if "phone desk1" in line] == [
        "web: phone desk1 of tenant acme was added",
        "web: phone desk1 of tenant acme got a new password",
        "web: phone desk1 of tenant acme was removed",
    ]
    assert password not in said
    assert "mue" not in said


# --- addresses without LDAP ------------------------------------------------------------------------------------------


def test_a_secret_address(stage: Stage) -> None:
    """A secret address is shown for a while, can be replaced and revoked, and is stored as a hash."""
    browser, revoke = owner(stage, model="yealink"), "Revoke secret address"
    assert revoke not in browser.get(PHONE).body
    secrets = []
    for _ in range(2):
        assert browser.submit(f"{PHONE}/book-address").location == PHONE
        secrets.append(secret_on(browser.get(PHONE)).encode())
    assert [verify_password(secret, stored(stage).book_secret) for secret in secrets] == [False, True]
    assert secrets[1].decode() not in repr(stored(stage))
    stage.do(phones.set_book_secret, "desk1", UNKNOWN_LOGIN_HASH)
    assert secret_on(browser.get(PHONE)) == ""
    browser.submit(f"{PHONE}/book-address")
    stage.clock.advance(PASSWORD_SECONDS)
    page = browser.get(PHONE)
    assert (secret_on(page), revoke in page.body) == ("", True)
    browser.submit(f"{PHONE}/book-address/end")
    assert (stored(stage).book_secret, revoke in browser.get(PHONE).body) == ("", False)


def test_addresses_of_photos() -> None:
    """The page shows the address of photos if the tenant has photos, for phones of any vendor."""
    stage, photos = Stage(tenants=(replace(ACME, photos=True),)), "https://phonebook.example.com/acme/photo/"
    browser = owner(stage, model="mitel")
    assert f"{photos}<" in browser.get(PHONE).body
    browser.submit(f"{PHONE}/book-address")
    [secret] = re.findall(rf"{photos}desk1\.([a-z0-9]+)/<", browser.get(PHONE).body)
    assert verify_password(secret.encode(), stored(stage).book_secret)


# --- number format and area code ------------------------------------------------------------------------------------


def choice_on(page: Seen) -> list[tuple[str, str, bool]]:
    """Return the choice of formats: the value, the words, and the selection."""
    form = page.body.partition('id="number-format-choice"')[2].partition("</select>")[0]
    found = re.findall(r'<option value="([^"]*)"( selected)?>([^<]*)<', form)
    return [(value, html.unescape(words), bool(selected)) for value, selected, words in found]


FORMATS = [
    ("", "Default for all phones here (E.164: +49301234567)", False),
    ("e164", "E.164: +49301234567", False),
    ("international", "international: +49 30 1234567", False),
    ("national", "national: 030 1234567", False),
    ("dial", "as dialed here, with the digits for an outside line", False),
]


def test_the_number_format_and_the_area_code_of_a_phone() -> None:
    """The page sets both and takes both back, and the gateway is told at once; the code may have the trunk prefix."""
    stage = Stage(tenants=(replace(ACME, region="DE"),))
    alice = owner(stage)
    assert choice_on(alice.get(PHONE)) == FORMATS
    changes = stage.changes
    made = alice.submit(DIALING_FORM, number_format="dial", area_code="0741")
    assert (made.status, made.location, stage.changes) == (303, PHONE, changes + 1)
    assert (stored(stage).number_format, stored(stage).area_code) == (NumberFormat.DIAL, "741")
    page = alice.get(PHONE)
    assert [value for value, _, is_selected in choice_on(page) if is_selected] == ["dial"]
    assert 'value="741"' in page.body
    assert "Saved. The phone’s next search uses these settings." in words_on(page)
    alice.submit(DIALING_FORM, number_format="", area_code="")
    assert (stored(stage).number_format, stored(stage).area_code) == (None, "")


def test_the_default_format_may_be_none_that_a_phone_can_choose() -> None:
    stage = Stage(tenants=(replace(ACME, number_format=NumberFormat.TYPED),))
    default = ("", "Default for all phones here (as typed in Google)", False)
    assert choice_on(owner(stage).get(PHONE)) == [default, *FORMATS[1:]]


@pytest.mark.parametrize(
    "fields",
    [{}, {"number_format": "typed"}, {"number_format": "E164"}]
    + [{"number_format": "", "area_code": code} for code in ("+49 741", "Rottweil", "7" * 20)],
    ids=str,
)
def test_what_no_phone_can_dial_with(stage: Stage, alice: Browser, fields: dict[str, str]) -> None:
    before = stored(stage)
    assert (alice.submit(DIALING_FORM, **fields).status, stored(stage)) == (400, before)


# --- the connection test ---------------------------------------------------------------------------------------------


def test_trying_a_phone(stage: Stage) -> None:
    """The test uses the password that the page knows, else the typed password, or none; the page shows the steps."""
    browser = owner(stage, model="yealink")
    known = password_on(browser.get(PHONE))
    steps = zip(Step, [*StepStatus, StepStatus.SKIPPED, StepStatus.SKIPPED], strict=True)
    stage.steps = [StepResult(*step, "phonebook.example.com can be resolved") for step in steps]
    page = browser.submit(f"{PHONE}/test")
    states = re.findall(r'<tr><th scope="row">[^<]+</th><td>([^<]+)</td>', page.body.partition('id="test"')[2])
    assert states == ["✓ ok", "! warning", "✗ failed", *["– skipped"] * 3]
    # There is nothing to fetch where the form was sent to, so the page is kept up to date from its own address.
    assert (f'data-look="{PHONE}"' in page.body, "data-look" in browser.get(PHONE).body) == (True, False)
    assert (page.status, "phonebook.example.com can be resolved" in words_on(page)) == (200, True)
    stage.clock.advance(PASSWORD_SECONDS)
    assert 'type="password"' in browser.get(PHONE).body
    browser.submit(f"{PHONE}/test", password=" typed ")
    browser.submit(f"{PHONE}/test")
    assert [access.password for access in stage.tried] == [known, "typed", ""]
    assert {(access.bind_dn, access.base_dn, access.endpoint.url) for access in stage.tried} == {
        (DESK1, "dc=acme,dc=example", "ldaps://phonebook.example.com:636")
    }
    assert "typed" not in repr(stage.tried)


def test_trying_a_phone_that_cannot_connect(stage: Stage) -> None:
    stage.server = replace(stage.server, tls_port=0, start_tls=False, require_tls=True)
    page = owner(stage, model="yealink").submit(f"{PHONE}/test")
    assert ("supports no kind of connection that the gateway offers" in words_on(page), stage.tried) == (True, [])


def test_tests_that_fail(stage: Stage) -> None:
    """A failed test no longer counts as running, so further tests can be made."""
    browser = owner(stage, model="yealink")
    steps, stage.steps = stage.steps, RuntimeError("a fault")
    for _ in range(phone_forms.MAX_TESTS):
        assert browser.submit(f"{PHONE}/test").status == 500
        stage.clock.advance(phone_forms.TEST_INTERVAL_SECONDS)
    stage.steps = steps
    assert browser.submit(f"{PHONE}/test").status == 200

# SPDX-License-Identifier: MIT
"""An account's sources have switches, and Google's consent to each source; the sandbox stands in for Google."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from ldapgw.contact import Source
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.google.sandbox.oauth import EMAIL
from ldapgw.store import accounts, activity, contacts, directory_accounts, sync_state, tables
from ldapgw.store.accounts import SourceState, SyncRequest
from ldapgw.store.activity import Act
from ldapgw.store.sync_state import SyncState
from ldapgw.web.error_pages import CONSENT_CHECKBOXES
from tests.support.results import result_of
from tests.support.site.command_line import person
from tests.support.stage.web import (
    ACME,
    ALICE,
    BOB,
    CLIENT,
    GLOBEX,
    NOW,
    URL,
    Browser,
    Stage,
    edited_code,
    next_address,
    press_switch,
    store_contacts,
    switch_on,
    words_on,
)

ON, OFF, NOT_GRANTED = SourceState.ON, SourceState.OFF, SourceState.NOT_GRANTED
OTHER, DIRECTORY = Source.OTHER_CONTACTS, Source.DIRECTORY
OTHER_SCOPE = SCOPE_OF[OTHER]
ALL = replace(ACME, sources=tuple(Source))
ACCOUNT_PAGE = f"{URL}/acme/account"


@pytest.fixture
def stage() -> Stage:
    return Stage(tenants=(ALL, replace(GLOBEX, sources=tuple(Source))))


@pytest.fixture
def browser(stage: Stage) -> Browser:
    """Return the browser of Alice, who connected a minute ago and whose contacts are synced."""
    browser = stage.visitor()
    account = stage.do(sync_state.begin, stage.account(ALICE).id)
    token = SyncState("token", "fingerprint", NOW)
    stage.do(sync_state.set_sync_state, account.id, Source.CONTACTS, token)
    stage.do(sync_state.end, account, NOW, NOW + 600)
    stage.clock.advance(60)
    return browser


def refresh_token(stage: Stage) -> str:
    held = stage.do(accounts.read_tokens, stage.secret_box, stage.account(ALICE).id)
    return str(held.refresh_token)


def scopes_of(stage: Stage, token: str) -> set[str]:
    """Return the scopes that a token of Google's gives access to."""
    held = stage.world.grants.use_refresh_token(token)
    assert held is not None
    return {scope for scope in held.scopes if scope in SCOPE_OF.values()}


def acts(stage: Stage) -> list[tuple[str, str, str]]:
    entries = stage.do(activity.read_since, "acme", 0.0)
    return sorted((entry.actor, entry.act, entry.detail) for entry in entries)


def fill(stage: Stage, address: str, source: Source, name: str) -> None:
    """Store one contact of a source, as a sync would do."""
    store_contacts(stage, stage.account(address).id, [person(name, "030 1234567")], source)


def names(stage: Stage, address: str = ALICE) -> list[str]:
    (stored,) = stage.do(contacts.read, [stage.account(address).id])
    return [contact.name for contact in stored.contacts]


def test_switching_on_asks_google_for_this_scope_alone(stage: Stage, browser: Browser) -> None:
    """The page asks for offline access with all earlier grants, for this account, without a prompt."""
    seen = press_switch(browser, OTHER)
    assert seen.status == 200
    assert f"Google asks you to allow this: “{CONSENT_CHECKBOXES[OTHER]}”." in words_on(seen)
    asked = dict(pair.split("=", 1) for pair in next_address(seen).partition("?")[2].split("&"))
    assert asked["scope"].split("+") == ["openid", "email", OTHER_SCOPE.replace(":", "%3A").replace("/", "%2F")]
    assert {name: asked.get(name) for name in ("access_type", "include_granted_scopes", "login_hint", "prompt")} == {
        "access_type": "offline",
        "include_granted_scopes": "true",
        "login_hint": stage.account(ALICE).sub,
        "prompt": None,
    }


def test_a_source_is_switched_on(stage: Stage, browser: Browser) -> None:
    """The token covers both scopes, the contacts keep their sync token, and a sync is requested."""
    before = refresh_token(stage)
    visit = switch_on(browser, OTHER)
    assert (visit.status, visit.url) == (200, ACCOUNT_PAGE)
    assert "Switched on. Your phones find these contacts in a minute." in visit.body
    account = stage.account(ALICE)
    assert account.sources == {Source.CONTACTS: ON, OTHER: ON, DIRECTORY: NOT_GRANTED}
    assert account.scopes == {"openid", "email", SCOPE_OF[Source.CONTACTS], OTHER_SCOPE}
    assert refresh_token(stage) != before
    assert scopes_of(stage, refresh_token(stage)) == {SCOPE_OF[Source.CONTACTS], OTHER_SCOPE}
    assert stage.do(sync_state.read_sync_states, account.id)[Source.CONTACTS].sync_token == "token"
    assert (account.last_sync, account.requested_sync) == (NOW, SyncRequest.INCREMENTAL)
    assert acts(stage) == [(ALICE, Act.CONNECTED, ""), (ALICE, Act.SOURCE_SWITCHED_ON, "other_contacts")]


def test_google_issues_no_other_refresh_token(stage: Stage, browser: Browser) -> None:
    """The stored refresh token has the scope already, and stays."""
    switch_on(browser, OTHER)
    before, token = stage.account(ALICE), refresh_token(stage)
    stage.do(sync_state.write_source_states, before.id, {OTHER: NOT_GRANTED})
    stage.do(lambda connection: connection.execute(update(tables.account).values(scopes=["openid"])))
    visit = switch_on(browser, OTHER)
    assert (visit.status, visit.url) == (200, ACCOUNT_PAGE)
    account = stage.account(ALICE)
    assert (account.sources[OTHER], refresh_token(stage)) == (ON, token)
    assert (account.scopes, account.connected_at) == (before.scopes, before.connected_at)
    held = stage.do(accounts.read_tokens, stage.secret_box, account.id)
    found = stage.world.grants.find_access_token(held.access_token)
    assert found is not None
    assert OTHER_SCOPE in found.scopes


def test_a_refresh_token_that_does_not_grow_is_asked_for_with_a_screen(stage: Stage, browser: Browser) -> None:
    """The Google project has the scope through another tenant, so the gateway asks once more with prompt=consent."""
    elsewhere = stage.visitor("/globex/connect")
    assert OTHER_SCOPE not in scopes_of(stage, refresh_token(stage))
    seen = elsewhere.submit("/globex/source", source=OTHER.value, switch="on")
    assert elsewhere.consent(next_address(seen)).url == f"{URL}/globex/account"
    again = browser.get(without_page(browser, next_address(press_switch(browser, OTHER))))
    assert again.status == 302
    assert "prompt=consent&" in f"{again.location}&"
    assert stage.account(ALICE).sources[OTHER] is NOT_GRANTED
    visit = browser.consent(again.location)
    assert (visit.url, stage.account(ALICE).sources[OTHER]) == (ACCOUNT_PAGE, ON)


def test_a_refresh_token_that_never_grows(stage: Stage, browser: Browser) -> None:
    """The gateway does not ask a third time; a page explains this, and the account stays as it was."""
    before = stage.account(ALICE)
    again = browser.get(edited_code(stage, code(browser), refreshable=False))
    seen = browser.get(edited_code(stage, browser.code(again.location), refreshable=False))
    assert (seen.status, "Google didn’t grant lasting access" in seen.body) == (502, True)
    assert stage.account(ALICE) == before


def without_page(browser: Browser, url: str) -> str:
    """Return the address to which Google redirects a browser at once."""
    answer = result_of(browser.http.request("GET", url, allow_redirects=False))
    return str(answer.headers.getRawHeaders("location")[0]).removeprefix(URL)


def code(browser: Browser, source: Source = OTHER) -> str:
    """Press a switch and consent at Google, and stop before the callback."""
    return browser.code(next_address(press_switch(browser, source)))


def cancelled(_stage: Stage, browser: Browser) -> Any:
    return switch_on(browser, OTHER, cancel=True)


def unticked(stage: Stage, browser: Browser) -> Any:
    return browser.get(edited_code(stage, code(browser), scopes=("openid", EMAIL, SCOPE_OF[Source.CONTACTS])))


@pytest.mark.parametrize("refuse", [cancelled, unticked])
def test_whoever_refuses_at_google_keeps_what_there_was(
    stage: Stage, browser: Browser, refuse: Callable[[Stage, Browser], Any]
) -> None:
    """The page names the data that was not allowed, and leads back to the account."""
    before, token = stage.account(ALICE), refresh_token(stage)
    seen = refuse(stage, browser)
    assert seen.status == 403
    assert "you didn’t allow “See and download contact info automatically saved in your “Other" in seen.body
    assert '<a class="button" href="/acme/account">Back to the account</a>' in seen.body
    assert (stage.account(ALICE), refresh_token(stage)) == (before, token)
    assert stage.world.calls["/revoke"] == 0


def test_access_that_was_ended_at_google_meanwhile(stage: Stage, browser: Browser) -> None:
    """Google's answer has only the new scope.

    With this scope the next sync would delete the contacts, so nothing changes.
    """
    stage.world.revoke(ALICE)
    before = stage.account(ALICE)
    visit = switch_on(browser, OTHER)
    assert (visit.status, "you didn’t check “See and download your contacts”" in visit.body) == (403, True)
    assert stage.account(ALICE) == before


def test_another_account_is_not_accepted(stage: Stage, browser: Browser) -> None:
    """The other account's new grant is revoked, and neither account has changed."""
    before = stage.accounts()
    visit = switch_on(browser, OTHER, account=BOB)
    assert (visit.status, "You chose a different Google account" in visit.body) == (403, True)
    assert stage.accounts() == before
    assert not stage.world.grants.granted_scopes(Grantee(stage.world.account(BOB).sub, CLIENT.client_id))


def test_an_account_that_was_disconnected_meanwhile(stage: Stage, browser: Browser) -> None:
    """The account stays disconnected, and Google ends the new grant."""
    callback = code(browser)
    browser.submit("/acme/disconnect")
    assert browser.get(callback).status == 502
    (account,) = stage.accounts()
    assert not account.is_connected
    assert not stage.world.grants.granted_scopes(Grantee(account.sub, CLIENT.client_id))


def end_first(stage: Stage, monkeypatch: pytest.MonkeyPatch, end: Callable[..., object], **how: bool) -> None:
    """End Alice's account before the next change of a page is stored."""
    run, account_id = stage.store.run, stage.account(ALICE).id

    def run_after_the_end(function: Any, *args: Any, **kw: Any) -> Any:
        if function is activity.recorded:
            run(end, account_id, **how)
        return run(function, *args, **kw)

    monkeypatch.setattr(stage.store, "run", run_after_the_end)


@pytest.mark.parametrize(("path", "form"), [("share", {"sharing": "shared"}), ("sync", {})], ids=["share", "sync"])
def test_an_account_that_is_removed_in_the_same_moment_is_not_changed(
    stage: Stage, browser: Browser, monkeypatch: pytest.MonkeyPatch, path: str, form: dict[str, str]
) -> None:
    """The answer says that there is no such account, and the activity log has no change."""
    before = acts(stage)
    end_first(stage, monkeypatch, accounts.remove, with_phones=True)
    seen = browser.submit(f"/acme/{path}", **form)
    assert (seen.status, "There’s no such account" in seen.body) == (404, True)
    assert acts(stage) == before


@pytest.mark.parametrize("end", [accounts.remove, accounts.disconnect], ids=["removed", "disconnected"])
@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_source_of_an_account_that_ends_in_the_same_moment_is_not_switched(
    stage: Stage, browser: Browser, monkeypatch: pytest.MonkeyPatch, end: Callable[..., object], switch: str
) -> None:
    """The answer says that there is no such account, and nothing is stored."""
    switch_on(browser, OTHER)
    if switch == "on":
        press_switch(browser, OTHER, "off")
    changes, before, account_id = stage.changes, acts(stage), stage.account(ALICE).id
    end_first(stage, monkeypatch, end, **({"with_phones": True} if end is accounts.remove else {}))
    seen = press_switch(browser, OTHER, switch)
    assert (seen.status, "There’s no such account" in seen.body) == (404, True)
    assert stage.do(sync_state.read_sync_states, account_id) == {}
    assert (stage.changes, acts(stage)) == (changes, before)


def test_switching_off_ends_a_source_at_once(stage: Stage, browser: Browser) -> None:
    """The source's contacts are gone, other contacts stay, and the source stays off after another consent."""
    switch_on(browser, OTHER)
    fill(stage, ALICE, Source.CONTACTS, "Anna Berg")
    fill(stage, ALICE, OTHER, "Otto Ott")
    generation, changes = stage.account(ALICE).generation, stage.changes
    assert press_switch(browser, OTHER, "off").location == "/acme/account"
    account = stage.account(ALICE)
    assert names(stage) == ["Anna Berg"]
    assert (account.sources[OTHER], account.contacts, account.generation) == (OFF, 1, generation + 1)
    assert stage.changes == changes + 1
    page = browser.get("/acme/account").body
    assert "Your phones no longer find these contacts through this account." in page
    assert 'href="https://myaccount.google.com/connections"' in page
    assert (ALICE, Act.SOURCE_SWITCHED_OFF, "other_contacts") in acts(stage)
    assert OTHER_SCOPE not in browser.depart()["scope"].split()
    for connects in (browser, stage.browser()):
        connects.consent()
        assert stage.account(ALICE).sources == {Source.CONTACTS: ON, OTHER: OFF, DIRECTORY: NOT_GRANTED}


def test_switching_on_again_needs_no_trip_to_google(stage: Stage, browser: Browser) -> None:
    switch_on(browser, OTHER)
    press_switch(browser, OTHER, "off")
    calls = stage.world.calls.total()
    assert press_switch(browser, OTHER).location == "/acme/account"
    account = stage.account(ALICE)
    assert (account.sources[OTHER], account.requested_sync) == (ON, SyncRequest.INCREMENTAL)
    assert stage.world.calls.total() == calls


def test_connecting_without_a_session_loses_nothing(stage: Stage, browser: Browser) -> None:
    """Google's answer includes earlier grants, although the gateway does not know the visitor yet."""
    switch_on(browser, OTHER)
    visit = stage.browser().consent()
    assert visit.status == 200
    account = stage.account(ALICE)
    assert account.sources == {Source.CONTACTS: ON, OTHER: ON, DIRECTORY: NOT_GRANTED}
    assert scopes_of(stage, refresh_token(stage)) == {SCOPE_OF[Source.CONTACTS], OTHER_SCOPE}


def test_what_was_granted_to_another_tenant_is_switched_on_by_the_person(stage: Stage, browser: Browser) -> None:
    """The tenants share a Google project, so Google's answers have the scopes of both."""
    switch_on(browser, OTHER)
    elsewhere = stage.visitor("/globex/connect")
    account = stage.account(ALICE, "globex")
    assert account.sources == {Source.CONTACTS: ON, OTHER: OFF, DIRECTORY: NOT_GRANTED}
    seen = elsewhere.submit("/globex/source", source=OTHER.value, switch="on")
    assert seen.location == "/globex/account"


def feed(stage: Stage) -> dict[str, Browser]:
    """Alice and Bob have switched the directory on, and the directory comes through Alice."""
    browsers = {address: stage.visitor(account=address) for address in (ALICE, BOB)}
    for address, browser in browsers.items():
        switch_on(browser, DIRECTORY, address)
    fill(stage, ALICE, DIRECTORY, "Dora Dienst")
    return browsers


def test_another_account_feeds_the_directory(stage: Stage) -> None:
    """The page names the account that feeds the directory; without a feeding account the directory is gone."""
    browsers = feed(stage)
    note = "All phones here find the company directory through"
    assert f"{note} this account." in words_on(browsers[ALICE].get("/acme/account"))
    assert f"{note} {ALICE}." in words_on(browsers[BOB].get("/acme/account"))
    press_switch(browsers[ALICE], DIRECTORY, "off")
    assert (names(stage, ALICE), names(stage, BOB)) == ([], ["Dora Dienst"])
    assert f"{note} {BOB}." in words_on(browsers[ALICE].get("/acme/account"))
    press_switch(browsers[BOB], DIRECTORY, "off")
    assert names(stage, BOB) == []
    assert stage.do(directory_accounts.read_directory_account, "acme") is None
    assert "No one has switched this on yet." in words_on(browsers[BOB].get("/acme/account"))


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "contacts", "switch": "off"},
        {"source": "other_contacts", "switch": "off"},
        {"source": "other_contacts", "switch": "maybe"},
        {"source": "other_contacts"},
        {"source": "mail", "switch": "on"},
        {},
    ],
    ids=str,
)
def test_a_form_that_the_page_does_not_have_changes_nothing(
    stage: Stage, browser: Browser, fields: dict[str, str]
) -> None:
    before = stage.account(ALICE)
    seen = browser.submit("/acme/source", **fields)
    assert (seen.location, "not-accepted" in seen.cookie("__Host-ldapgw-note")) == ("/acme/account", True)
    assert stage.account(ALICE) == before

# SPDX-License-Identifier: MIT
"""A person can have several Google accounts, and consents can run in a pop-up."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from ldapgw.contact import Sharing
from ldapgw.store import sync_state
from tests.support.stage.web import ACME, ALICE, BOB, EVE, GLOBEX, ROOT, URL, Browser, Stage


def add(browser: Browser, account: str = BOB) -> None:
    visit = browser.consent("/acme/connect?add", account=account)
    assert (visit.status, visit.url) == (200, f"{URL}/acme/")


def shown(browser: Browser, tenant: str = "acme") -> list[str]:
    """Return the accounts that the person sees."""
    return [one["account"] for one in json.loads(browser.get(f"/{tenant}/status.json").body)["accounts"]]


def current(number: int, address: str) -> str:
    """Return the link that marks the account on the page."""
    return f'<a href="?account={number}" aria-current="page">{address}</a>'


def test_adding_an_account(stage: Stage, alice: Browser) -> None:
    """The person stays signed in; the page shows both accounts, and links to the other one by its place."""
    asked = alice.depart("/acme/connect?add")
    assert (asked["prompt"], asked.get("login_hint")) == ("select_account consent", None)
    add(alice)
    assert stage.account(BOB).owner == stage.account(ALICE).sub
    assert current(1, ALICE) in alice.get("/acme/").body
    assert current(2, BOB) in alice.get("/acme/?account=2").body
    assert shown(alice) == [ALICE, BOB]


def test_the_other_account_stays_its_owners(stage: Stage, alice: Browser) -> None:
    """Bob, who signs in with the added account himself, sees only this account."""
    add(alice)
    bob = stage.visitor("/acme/signin", account=BOB)
    assert shown(bob) == [BOB]
    assert bob.submit("/acme/disconnect", account=stage.account(ALICE).sub).status == 404


def test_forms_of_the_added_account(stage: Stage, alice: Browser) -> None:
    """The forms name the added account, change only this account, and lead back to its page."""
    add(alice)
    sub = stage.account(BOB).sub
    assert 'href="/acme/account?account=2"' in alice.get("/acme/?account=2").body
    page = alice.get("/acme/account?account=2").body
    assert f'name="account" value="{sub}"' in page
    assert 'href="/acme/disconnect?account=2"' in page
    seen = alice.submit("/acme/share", account=sub, sharing="shared")
    assert (seen.status, seen.location) == (303, "/acme/account?account=2")
    assert [one.sharing for one in (stage.account(ALICE), stage.account(BOB))] == [Sharing.PRIVATE, Sharing.SHARED]
    assert alice.submit("/acme/sync", account=sub).location == "/acme/?account=2"
    asked = alice.get("/acme/disconnect?account=2").body
    assert '<a class="button plain" href="/acme/account?account=2">Cancel</a>' in asked
    assert alice.submit("/acme/disconnect", account=sub).location == "/acme/"
    bob = stage.account(BOB)
    assert (stage.account(ALICE).is_connected, bob.is_connected, bob.owner) == (True, False, None)
    assert BOB not in alice.get("/acme/").body


def test_an_added_account_that_is_connected_again_while_it_is_disconnected(stage: Stage, alice: Browser) -> None:
    """The account stays on the page of the person who has added the account."""

    def connect_again() -> None:
        stage.while_changing = lambda: None
        add(stage.browser(alice))

    add(alice)
    stage.while_changing = connect_again
    alice.submit("/acme/disconnect", account=stage.account(BOB).sub)
    bob = stage.account(BOB)
    assert (bob.is_connected, bob.owner) == (True, stage.account(ALICE).sub)


def test_connecting_an_added_account_again(stage: Stage, alice: Browser) -> None:
    """Google gets the account as a suggestion, and the account stays on the page."""
    add(alice)
    fail(stage, BOB)
    assert 'href="/acme/connect?account=2"' in alice.get("/acme/?account=2").body
    asked = alice.depart("/acme/connect?account=2")
    assert (asked["login_hint"], asked["prompt"]) == (stage.account(BOB).sub, "consent")
    alice.consent("/acme/connect?account=2", account=BOB)
    assert (stage.account(BOB).error, stage.account(BOB).owner) == (None, stage.account(ALICE).sub)


def fail(stage: Stage, address: str) -> None:
    """Let the sync of an account fail, because the consent is gone."""
    stage.do(sync_state.fail, stage.account(address), "consent_revoked", stage.clock.seconds(), None)


@pytest.mark.parametrize("number", ["0", "3", "-1", "x", "", "1 OR 1", "²"])
def test_an_account_that_is_not_on_the_page(alice: Browser, number: str) -> None:
    add(alice)
    for page in ("/acme/", "/acme/account"):
        assert current(1, ALICE) in alice.get(f"{page}?account={number}").body


@pytest.mark.parametrize(("path", "account"), [("/acme/connect", ALICE), ("", BOB)], ids=["one's own", "signed out"])
def test_adding_what_is_ones_own(stage: Stage, browser: Browser, path: str, account: str) -> None:
    """A person's own account is connected anew; without a sign-in the account is added to nobody."""
    if path:
        browser.consent(path)
    add(browser, account)
    assert [one.owner for one in stage.accounts()] == [None]


def test_adding_in_another_tenant() -> None:
    stage = Stage(tenants=(ACME, GLOBEX))
    browser = stage.visitor()
    browser.consent("/globex/connect?add", account=BOB)
    assert (stage.account(BOB, "globex").owner, shown(browser, "globex")) == (None, [BOB])


@pytest.mark.parametrize("before", ["never connected", "disconnected", "in trouble", "connected"])
def test_the_wrong_account(stage: Stage, browser: Browser, before: str) -> None:
    """A consent with another account than the person's own is not stored, and its grant is given back."""
    browser.consent("/acme/signin" if before == "never connected" else "/acme/connect")
    if before == "disconnected":
        browser.submit("/acme/disconnect")
    if before == "in trouble":
        fail(stage, ALICE)
    stored, revoked = stage.accounts(), stage.world.calls["/revoke"]
    visit = browser.consent(account=BOB)
    assert visit.status == 403
    assert "You chose a different Google account" in visit.body
    assert 'href="/acme/connect?add"' in visit.body
    assert (stage.accounts(), stage.world.calls["/revoke"]) == (stored, revoked + 1)
    assert ALICE in browser.get("/acme/").body


def test_the_wrong_account_for_the_added_one(stage: Stage, alice: Browser) -> None:
    """A consent for the added account takes neither a third account nor the person's own.

    The page offers to try again.
    """
    add(alice)
    fail(stage, BOB)
    stored = stage.accounts()
    for other in (ROOT, ALICE):
        visit = alice.consent("/acme/connect?account=2", account=other)
        assert (visit.status, stage.accounts()) == (403, stored)
        assert "You chose a different Google account" in visit.body
        assert 'href="/acme/connect?account=2">Try again' in visit.body


@pytest.mark.parametrize("act", ["sign-in", "sign-out"])
def test_a_consent_that_outlives_the_sign_in(stage: Stage, browser: Browser, act: str) -> None:
    """A consent is no longer good after a sign-in or a sign-out of the browser."""
    if act == "sign-out":
        browser.consent()
    callback = browser.code(account=BOB)
    if act == "sign-in":
        browser.consent()
    else:
        browser.submit("/acme/signout")
    assert browser.get(callback).status == 403
    assert [one.address for one in stage.accounts()] == [ALICE]


@pytest.mark.parametrize(
    ("path", "again"),
    [("connect", "connect?account=1"), *((path, path) for path in ("connect?account=2", "connect?add", "signin"))],
)
def test_trying_again_after_a_refusal(alice: Browser, path: str, again: str) -> None:
    add(alice)
    assert f'href="/acme/{again}">Try again' in alice.consent(f"/acme/{path}", cancel=True).body


@pytest.mark.parametrize("path", ["connect", "signin"])
def test_choosing_another_account_in_a_popup(browser: Browser, path: str) -> None:
    """The page about an account that is not allowed begins the same consent again, and stays in the pop-up."""
    visit = browser.consent(f"/acme/{path}?popup", account=EVE)
    assert visit.status == 403
    assert f'href="/acme/{path}?choose&amp;popup">Choose another account' in visit.body


def test_the_wrong_account_that_somebody_lives_on(stage: Stage, browser: Browser) -> None:
    """The grant is not given back, because Bob's own account needs the grant."""
    stage.browser().consent(account=BOB)
    browser.consent("/acme/signin")
    assert browser.consent(account=BOB).status == 403
    assert stage.world.calls["/revoke"] == 0


def test_choosing_among_accounts(browser: Browser) -> None:
    """After a refusal Google is asked to let the person choose an account."""
    browser.consent()
    assert browser.depart("/acme/connect?choose")["prompt"] == "select_account consent"
    assert "login_hint" not in browser.depart("/acme/connect?choose")
    assert browser.depart("/acme/signin?choose")["prompt"] == "select_account"


# --- pop-ups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/acme/connect?popup", "/acme/signin?popup", "/acme/connect?add&popup="])
def test_a_popup_ends_on_a_page_of_its_own(browser: Browser, path: str) -> None:
    """The page that opened the pop-up shows the message."""
    assert f'href="{path.partition("?")[0]}" data-popup>' in browser.get("/acme/").body
    visit = browser.consent(path)
    assert visit.url == f"{URL}/acme/done"
    assert '<meta name="ldapgw" content="done">' in visit.body
    assert ("Your Google contacts are connected." in browser.get("/acme/").body) is ("connect" in path)


def test_what_ends_in_a_popup(browser: Browser) -> None:
    """Links on the pages of a refusal and of a wrong account stay in the pop-up, and the way back closes it.

    Google does not learn of the pop-up: the redirect URI is the registered one, to the letter.
    """
    location = browser.get("/acme/connect?popup").location
    assert parse_qs(urlsplit(location).query)["redirect_uri"] == [f"{URL}/oauth/callback"]
    assert "popup" not in location
    body = browser.consent("/acme/connect?popup", cancel=True).body
    assert 'href="/acme/connect?popup"' in body
    assert 'href="/acme/done"' in body
    assert 'href="/acme/"' in browser.consent(cancel=True).body
    browser.consent("/acme/signin")
    body = browser.consent("/acme/connect?popup", account=BOB).body
    assert 'href="/acme/connect?add&amp;popup"' in body

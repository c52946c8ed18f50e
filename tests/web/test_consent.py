# SPDX-License-Identifier: MIT
"""The tests follow consents from the first click to the last page; the sandbox stands in for Google."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.fernet import Fernet

from ldapgw.contact import Sharing, Source
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.google.sandbox.oauth import EMAIL
from ldapgw.google.sandbox.world import RegisteredClient
from ldapgw.ldap.admission import LOG_INTERVAL
from ldapgw.peers.leadership import OnlyGateway
from ldapgw.store import accounts, revocations
from ldapgw.store.accounts import SourceState, SyncRequest
from ldapgw.store.revocations import FIRST_WAIT
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import consent_flow
from ldapgw.sync.tokens import TokenRevoker
from ldapgw.web.sign_in_pages import SIGN_IN_BURST
from tests.support.google_changes import rename_account
from tests.support.results import result_of
from tests.support.stage.web import (
    ACME,
    ALICE,
    BOB,
    CLIENT,
    EVE,
    GLOBEX,
    GOOGLE,
    NOW,
    URL,
    Browser,
    Stage,
    edited_code,
    switch_on,
)

ALL_SOURCES = replace(ACME, sources=tuple(Source))
WITHOUT_CONTACTS = (Source.DIRECTORY, Source.OTHER_CONTACTS)
ANOTHER = Client("999-another.apps.googleusercontent.com", "GOCSPX-ANOTHER")
SIBLING = Client(f"{CLIENT.project}-sibling.apps.googleusercontent.com", "GOCSPX-SIBLING")


def granted(stage: Stage, address: str, client: Client = CLIENT) -> tuple[str, ...]:
    """Return the scopes that a person has granted to a client of the gateway."""
    return tuple(stage.world.grants.granted_scopes(Grantee(stage.world.account(address).sub, client.client_id)))


def back(browser: Browser, **answer: str) -> Any:
    """Send the callback with an answer that seems to come from Google."""
    return browser.get(f"/oauth/callback?{urlencode(answer)}")


def test_connecting_ends_signed_in_with_the_account_stored(stage: Stage, browser: Browser) -> None:
    """After the consent the grant is stored, the first sync is requested, and the page says so."""
    visit = browser.consent()
    assert (visit.status, visit.url) == (200, f"{URL}/acme/")
    assert "Your Google contacts are connected." in visit.body
    assert ALICE in visit.body
    (account,) = stage.accounts()
    assert (account.tenant, account.address, account.sub) == ("acme", ALICE, stage.world.account(ALICE).sub)
    assert (account.sharing, account.requested_sync, account.connected_at) == (Sharing.PRIVATE, SyncRequest.FULL, NOW)
    assert stage.changes == 1
    held = stage.do(accounts.read_tokens, stage.secret_box, account.id)
    assert stage.world.grants.use_refresh_token(held.refresh_token) is not None
    (shown,) = json.loads(browser.get("/acme/status.json").body)["accounts"]
    assert (shown["account"], shown["state"]) == (ALICE, "waiting")


@pytest.mark.parametrize(("sharing", "shared_label"), [(Sharing.SHARED, "Customers"), (Sharing.PRIVATE, "")])
def test_a_new_book_shares_the_tenants_label(sharing: Sharing, shared_label: str) -> None:
    stage = Stage(tenants=(replace(ACME, sharing=sharing, shared_label="Customers"),))
    stage.browser().consent()
    (account,) = stage.accounts()
    assert (account.sharing, account.shared_label) == (sharing, shared_label)


def test_what_google_is_asked_for(browser: Browser) -> None:
    """The gateway asks for an offline code with PKCE, state and nonce; a sign-in asks for the identity alone."""
    asked = browser.depart()
    assert {name: asked[name] for name in asked.keys() - {"state", "nonce", "code_challenge"}} == {
        "client_id": CLIENT.client_id,
        "response_type": "code",
        "redirect_uri": f"{URL}/oauth/callback",
        "scope": f"openid email {SCOPE_OF[Source.CONTACTS]}",
        "access_type": "offline",
        "include_granted_scopes": "true",
        "prompt": "consent",
        "code_challenge_method": "S256",
    }
    assert [len(asked[name]) for name in ("state", "nonce", "code_challenge")] == [43] * 3
    assert browser.depart()["state"] != asked["state"]
    signing_in = browser.depart("/acme/signin")
    assert (signing_in["scope"], signing_in.keys() & {"access_type", "prompt"}) == ("openid email", set())


@pytest.mark.parametrize("path", ["/acme/connect", "/acme/connect?add"])
@pytest.mark.parametrize(("sources", "first"), [(tuple(Source), Source.CONTACTS), (WITHOUT_CONTACTS, Source.DIRECTORY)])
def test_the_first_consent_asks_for_one_source(sources: tuple[Source, ...], first: Source, path: str) -> None:
    """The first consent asks for the contacts, or for the tenant's first source if contacts are no source."""
    browser = Stage(tenants=(replace(ACME, sources=sources),)).browser()
    assert browser.depart(path)["scope"].split() == ["openid", "email", SCOPE_OF[first]]


def test_too_many_sign_ins_from_one_place(stage: Stage) -> None:
    """The gateway limits sign-ins of a network, as each one costs a row or a call to Google.

    Other networks are not limited.
    """
    stage.trusts = lambda address: address == "127.0.0.1"
    browser = stage.browser()
    here, there = ({"X-Forwarded-For": address} for address in ("2001:db8::1", "2001:db8:1::1"))
    seen = [browser.get("/acme/signin", here).status for _ in range(SIGN_IN_BURST + 1)]
    assert seen == [302] * SIGN_IN_BURST + [429]
    refused = browser.get("/oauth/callback?state=x", {"X-Forwarded-For": "2001:db8::2"})
    assert (refused.status, refused.headers["retry-after"]) == (429, ["1"])
    assert "Too many requests" in refused.body
    assert browser.get("/acme/connect", there).status == 302
    assert browser.get("/acme/", here).status == 200
    stage.set_back = 3600.0
    stage.clock.advance(1)
    assert browser.get("/acme/connect", here).status == 302


def test_refused_sign_ins_are_logged_by_count(stage: Stage, browser: Browser, caplog_twisted: list[str]) -> None:
    """The log has one line a minute; a stop of the gateway logs the rest."""
    stage.misuse.startService()
    for _ in range(SIGN_IN_BURST + 237):
        browser.get("/acme/signin")
    stage.clock.advance(LOG_INTERVAL)
    for _ in range(3):
        browser.get("/oauth/callback?state=x")
    stage.misuse.stopService()
    assert caplog_twisted == [
        "web: too many sign-ins, from 127.0.0.1",
        "web: too many sign-ins, from 127.0.0.1, 236 times",
        "web: a callback without its consent, from 127.0.0.1",
        "web: a callback without its consent, from 127.0.0.1, 2 times",
    ]


def test_connecting_again_names_the_person_and_renews_the_grant(stage: Stage, browser: Browser) -> None:
    """The account stays the same and keeps its sharing; the URL for Google names the person by sub, not by address."""
    browser.consent()
    browser.submit("/acme/share", sharing="shared")
    asked = browser.depart()
    assert asked["login_hint"] == stage.world.account(ALICE).sub
    rename_account(stage.world, ALICE, "alice.new@acme.example")
    browser.consent(account="alice.new@acme.example")
    (account,) = stage.accounts()
    assert (account.address, account.sharing) == ("alice.new@acme.example", Sharing.SHARED)


def test_signing_in_touches_no_stored_token(stage: Stage, browser: Browser) -> None:
    """The tokens, the scopes and the time of consent stay the same."""
    browser.consent()
    (before,) = stage.accounts()
    tokens = stage.do(accounts.read_tokens, stage.secret_box, before.id)
    stage.clock.advance(60)
    other = stage.browser()
    visit = other.consent("/acme/signin")
    assert (visit.status, visit.url) == (200, f"{URL}/acme/")
    assert "Connected" in visit.body
    assert stage.accounts() == (before,)
    after = stage.do(accounts.read_tokens, stage.secret_box, before.id)
    assert (after.refresh_token, after.access_token) == (tokens.refresh_token, tokens.access_token)


def test_signing_in_without_an_account_offers_to_connect(stage: Stage, browser: Browser) -> None:
    """The person is signed in without an account, and the page offers to connect."""
    visit = browser.consent("/acme/signin")
    assert "Not connected" in visit.body
    assert 'href="/acme/connect"' in visit.body
    assert "/acme/disconnect" not in visit.body
    assert stage.accounts() == ()


@pytest.mark.parametrize("path", ["/acme/connect", "/acme/signin"])
def test_each_sign_in_has_a_new_session(browser: Browser, path: str) -> None:
    """The former session ends, so nobody can prepare a session for another person (session fixation)."""
    browser.consent()
    before = browser.stage.browser(browser)
    first = browser.cookies()["__Host-ldapgw.acme"]
    browser.consent(path)
    assert browser.cookies()["__Host-ldapgw.acme"] != first
    assert "Sign out" in browser.get("/acme/").body
    assert "Sign out" not in before.get("/acme/").body


# --- ways to end ----------------------------------------------------------------------------------------------------


NOT_ALLOWED, REJECTED = "isn’t allowed to connect here", "Google doesn’t accept this gateway"
# Each row has how a consent begins, the person's choices and a fault at Google; the status and words of the page, and
# whether the new grant is given back.  Signing in gives nothing back: that would end what the person has connected
# elsewhere.
FAILURES = {
    "connect, cancelled": ("connect", {"cancel": True}, "", 403, "You didn’t grant access", False),
    "sign-in, cancelled": ("signin", {"cancel": True}, "", 403, "You didn’t grant access", False),
    "not allowed": ("connect", {"account": EVE}, "", 403, NOT_ALLOWED, True),
    "not allowed, no revocation": ("connect", {"account": EVE}, "/revoke lost", 403, NOT_ALLOWED, True),
    "sign-in, not allowed": ("signin", {"account": EVE}, "", 403, "isn’t allowed to sign in here", False),
    "code": ("connect", {}, "/token token_error_invalid_grant_code", 502, "Google didn’t confirm access", False),
    "secret": ("connect", {}, "/token token_error_invalid_client_secret", 503, REJECTED, False),
    "deleted client": ("connect", {}, "/token token_error_deleted_client", 503, REJECTED, False),
    "redirect URI": ("connect", {}, "/token token_error_redirect_uri_mismatch", 503, REJECTED, False),
    "policy": ("connect", {}, "/token token_error_admin_policy", 403, "Your organization doesn’t allow", False),
    "busy": ("connect", {}, "/token token_error_503_html", 503, "Google is busy", False),
    "away": ("connect", {}, "/token lost", 502, "Google couldn’t be reached", False),
}


@pytest.mark.parametrize(("way", "choices", "fault", "status", "said", "ends"), FAILURES.values(), ids=FAILURES)
def test_a_consent_that_fails(
    stage: Stage, browser: Browser, way: str, choices: dict[str, Any], fault: str, status: int, said: str, ends: bool
) -> None:
    """The page says why the consent failed.

    Nothing is stored, nobody is signed in, and a new grant is given back if it has to be.
    """
    if fault:
        path, name = fault.split()
        stage.world.faults.inject("broken_connection_lost" if name == "lost" else name, path=path)
    visit = browser.consent(f"/acme/{way}", **choices)
    assert (visit.status, said in visit.body, stage.accounts()) == (status, True, ())
    assert "__Host-ldapgw.acme" not in browser.cookies()
    assert stage.world.calls["/revoke"] == ends
    if ends:
        assert not granted(stage, EVE)


def test_the_scope_of_the_contacts_was_not_granted(stage: Stage, browser: Browser) -> None:
    """Nothing is stored; the page names the box in Google's words, and a button begins again.

    The new grant is revoked, because no account lives on it.
    """
    visit = browser.get(edited_code(stage, browser.code(), scopes=("openid", EMAIL, SCOPE_OF[Source.DIRECTORY])))
    assert visit.status == 403
    assert "you didn’t check “See and download your contacts”" in visit.body
    assert '<a class="button" href="/acme/connect">Try again</a>' in visit.body
    assert stage.accounts() == ()
    assert not granted(stage, ALICE)
    assert stage.world.calls["/revoke"] == 1


@pytest.mark.parametrize(
    ("sources", "ticked", "status"),
    [
        (tuple(Source), [Source.CONTACTS, Source.DIRECTORY], 200),
        (tuple(Source), [Source.DIRECTORY], 403),
        (WITHOUT_CONTACTS, [Source.OTHER_CONTACTS], 200),
        (WITHOUT_CONTACTS, [], 403),
    ],
    ids=["with contacts", "without contacts", "one of two", "none"],
)
def test_a_box_less_costs_only_its_source(sources: tuple[Source, ...], ticked: list[Source], status: int) -> None:
    """Connecting again asks for all that the account has, and the account keeps what was ticked.

    Where contacts are no source, one of the sources is enough.  A refused consent costs nothing of the old grant.
    """
    stage = Stage(tenants=(replace(ACME, sources=sources),))
    browser = stage.visitor()
    for source in sources[1:]:
        assert switch_on(browser, source).status == 200
    asked = {"openid", "email", *(SCOPE_OF[source] for source in sources)}
    assert set(browser.depart()["scope"].split()) == asked
    scopes = [SCOPE_OF[source] for source in ticked]
    assert browser.consent(tick=scopes).status == status
    (account,) = stage.accounts()
    assert account.scopes == ({"openid", "email", *scopes} if status == 200 else asked)
    assert {source for source, state in account.sources.items() if state is SourceState.ON} == (
        {*ticked} if status == 200 else {*sources}
    )
    assert stage.world.calls["/revoke"] == 0


def test_an_account_that_is_not_allowed_keeps_the_grant_that_another_tenant_lives_on() -> None:
    """A revocation at Google would end the other tenant's grant too."""
    stage = Stage(tenants=(ACME, GLOBEX))
    stage.browser().consent("/globex/connect", account=EVE)
    visit = stage.browser().consent("/acme/connect", account=EVE)
    assert visit.status == 403
    assert stage.world.calls["/revoke"] == 0
    assert [account.tenant for account in stage.accounts()] == ["globex"]


def test_a_consent_that_was_encrypted_with_a_key_that_is_lost(
    stage: Stage, browser: Browser, caplog_twisted: list[str]
) -> None:
    """The page asks the person to begin again, and a reload too; the log names the key once."""
    callback = browser.code()
    stage.secret_box = SecretBox([Fernet.generate_key()])
    later = stage.browser(browser)
    for _ in range(2):
        seen = later.get(callback)
        assert (seen.status, "no longer valid" in seen.body) == (400, True)
    assert (stage.world.calls["/token"], stage.accounts()) == (0, ())
    assert caplog_twisted == [
        "web: a consent from 127.0.0.1 cannot be continued, and the person has to begin again: "
        "a stored secret does not fit the key file; put back the "
        "key with which the secret was sealed",
        "web: a callback without its consent, from 127.0.0.1",
    ]
    assert later.consent().status == 200


@pytest.mark.parametrize(
    ("client", "others", "is_kept"),
    [
        pytest.param(ANOTHER, (), False, id="another project"),
        pytest.param(SIBLING, (), True, id="another client of the same project"),
        pytest.param(ANOTHER, ("globex",), True, id="another project, and another tenant uses the former grant"),
    ],
)
def test_a_grant_that_another_client_replaces_is_revoked(
    client: Client, others: tuple[str, ...], *, is_kept: bool
) -> None:
    """The tenant has another client now.  The account has the new grant, and no other tenant loses a grant."""
    stage = Stage(tenants=(ACME, GLOBEX))
    browser = stage.visitor()
    for other in others:
        assert stage.browser().consent(f"/{other}/connect").status == 200
    stage.world.register(RegisteredClient(client.client_id, client.client_secret, (f"{URL}/oauth/callback",)))
    stage.tenants = (replace(ACME, client=client), GLOBEX)
    assert stage.browser(browser).consent().status == 200
    assert stage.world.calls["/revoke"] == 0
    oauth, store = stage.gate.oauth, stage.gate.store
    revoker = TokenRevoker(
        clock=stage.clock, store=store, leader=OnlyGateway(store), secret_box=stage.secret_box, oauth=oauth
    )
    stage.clock.advance(FIRST_WAIT)
    result_of(revoker.revoke_pending())
    assert (granted(stage, ALICE) != (), granted(stage, ALICE, client) != ()) == (is_kept, True)
    held = stage.do(accounts.read_tokens, stage.secret_box, stage.account(ALICE).id)
    assert stage.world.grants.use_refresh_token(held.refresh_token) is not None
    assert stage.do(revocations.read_due, stage.secret_box, stage.clock.seconds() + 2 * FIRST_WAIT) == ()


@pytest.mark.parametrize(("minutes", "age"), [(11, 660), (-11, -660)], ids=["too long", "another clock"])
def test_a_consent_that_took_too_long(
    stage: Stage, browser: Browser, caplog_twisted: list[str], minutes: int, age: int
) -> None:
    """After ten minutes the gateway does not use the code; the log says that a clock may be wrong."""
    callback = browser.code()
    stage.set_back = -60.0 * minutes
    seen = browser.get(callback)
    assert seen.status == 400
    assert "no longer valid" in seen.body
    assert stage.world.calls["/token"] == 0
    assert stage.accounts() == ()
    assert caplog_twisted == [
        f"web: a consent from 127.0.0.1 is {age} s old by the gateways' clocks, and 600 s are allowed: the person took "
        "too long, or a clock is wrong"
    ]


def test_a_callback_is_answered_once(stage: Stage, browser: Browser) -> None:
    """A callback is good for ten minutes; a repeated callback is refused and changes nothing."""
    callback = browser.code()
    assert urlencode({"iss": GOOGLE}) in callback
    stage.clock.advance(599)
    assert browser.get(callback).status == 303
    before = stage.accounts()
    assert browser.get(callback).status == 400
    assert stage.world.calls["/token"] == 1
    assert stage.accounts() == before


@pytest.mark.parametrize(
    ("signed_in", "home"), [((), "/"), (("acme",), "/acme/"), (("acme", "globex"), "/")], ids=["none", "one", "two"]
)
def test_where_a_callback_leads_that_comes_again(signed_in: tuple[str, ...], home: str) -> None:
    """The page links to the only tenant that the browser is signed in to, or else to the front page."""
    browser = Stage(tenants=(ACME, GLOBEX)).browser()
    for tenant in signed_in:
        browser.consent(f"/{tenant}/connect")
    seen = browser.get("/oauth/callback")
    assert (seen.status, f'<a class="button" href="{home}"' in seen.body) == (400, True)


def test_a_callback_in_another_browser(stage: Stage, browser: Browser) -> None:
    """The address of a callback is worth nothing in another browser, and the right browser can still use it."""
    callback = browser.code()
    other = stage.browser()
    other.depart()  # this browser has a secret of its own
    for thief in (stage.browser(), other):
        assert thief.get(callback).status == 400
    assert stage.accounts() == ()
    assert browser.get(callback).status == 303


@pytest.mark.parametrize("state", ["", "x", "A" * 43, "A" * 5000, "'; DROP TABLE account; --"])
def test_a_state_that_nobody_gave_out(browser: Browser, state: str) -> None:
    """An unknown state ends in an error page, and so does a state that comes twice (RFC 6749 3.1)."""
    given = browser.depart()["state"]
    assert back(browser, state=state, code="4/code").status == 400
    assert browser.get(f"/oauth/callback?state={given}&state={given}&code=1").status == 400


def test_two_consents_at_once_in_one_browser(stage: Stage, browser: Browser) -> None:
    first, second = browser.code(), browser.code("/acme/signin")
    assert [browser.get(second).status, browser.get(first).status] == [303, 303]
    assert len(stage.accounts()) == 1


@pytest.mark.parametrize("twice", ["iss=https://evil.example", "code=4/other", "prompt=none&prompt=none"])
def test_an_answer_with_a_parameter_twice_ends_the_consent(stage: Stage, browser: Browser, twice: str) -> None:
    """The gateway uses nothing of the answer (RFC 6749 3.1), and the answer cannot be sent again."""
    callback = browser.code()
    seen = browser.get(f"{callback}&{twice}")
    assert seen.status == 502
    assert "Google didn’t confirm access" in seen.body
    assert stage.world.calls["/token"] == 0
    assert browser.get(callback).status == 400
    assert not stage.accounts()


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"error": "access_denied"}, 403, "You didn’t grant access"),
        ({"error": "admin_policy_enforced"}, 403, "Your organization doesn’t allow this app"),
        ({"error": "unauthorized_client"}, 503, REJECTED),
        ({"error": "server_error"}, 503, "Google is busy"),
        ({"error": "temporarily_unavailable"}, 503, "Google is busy"),
        ({"error": "interaction_required"}, 502, "Google didn’t confirm access"),
        ({"error": "<script>alert(1)</script>"}, 502, "Google didn’t confirm access"),
        # RFC 9207: a code of another service is not sent to Google's.
        ({"code": "4/code", "iss": "https://evil.example"}, 400, "didn’t come from Google"),
        ({}, 400, "incomplete"),
    ],
    ids=str,
)
def test_answers_without_a_code(stage: Stage, browser: Browser, answer: dict[str, str], status: int, said: str) -> None:
    """Each answer has its page, which repeats nothing of the answer; Google is not asked."""
    seen = back(browser, state=browser.depart()["state"], error_description="SENT", **answer)
    assert (seen.status, said in seen.body, stage.world.calls["/token"]) == (status, True, 0)
    assert not any(sent in seen.body for sent in ("SENT", "alert", "evil"))
    assert 'href="/acme/connect"' in seen.body


@pytest.mark.parametrize(
    ("is_inspected", "fault", "path", "status"),
    [
        (False, "broken_signature", "/token", 200),
        (True, "broken_empty_page", "/v1/", 200),
        (True, "broken_signature", "/token", 502),
        (True, "error_internal_500", "/oauth2/v3/certs", 502),
    ],
)
def test_a_sign_in_that_is_inspected(is_inspected: bool, fault: str, path: str, status: int) -> None:
    """If a proxy could have made up Google's answer, the answer's signature decides who is let in."""
    stage = Stage(is_inspected=is_inspected)
    browser = stage.browser()
    stage.world.faults.inject(fault, path=path)
    visit = browser.consent()
    assert visit.status == status
    assert ("Your sign-in couldn’t be verified" in visit.body) == (status == 502)
    assert len(stage.accounts()) == (status == 200)
    assert ("__Host-ldapgw.acme" in browser.cookies()) == (status == 200)


def test_no_refresh_token(stage: Stage, browser: Browser) -> None:
    """An account that would end after an hour is not stored; the page names Google's page of permissions."""
    seen = browser.get(edited_code(stage, browser.code(), refreshable=False))
    assert seen.status == 502
    assert "Google didn’t grant lasting access" in seen.body
    assert "https://myaccount.google.com/permissions" in seen.body
    assert stage.accounts() == ()
    assert "__Host-ldapgw.acme" not in browser.cookies()


def test_no_refresh_token_keeps_the_one_that_is_stored(stage: Stage, browser: Browser) -> None:
    """A second consent without a refresh token leaves the account connected."""
    browser.consent()
    (before,) = stage.accounts()
    held = stage.do(accounts.read_tokens, stage.secret_box, before.id)
    assert browser.get(edited_code(stage, browser.code(), refreshable=False)).status == 303
    assert stage.do(accounts.read_tokens, stage.secret_box, before.id).refresh_token == held.refresh_token


@pytest.mark.parametrize("path", ["/acme/connect", "/acme/signin"])
def test_a_tenant_without_a_client(path: str) -> None:
    """The page says that the gateway is not set up, and no consent is stored."""
    stage = Stage(tenants=(replace(ACME, client=None),))
    browser = stage.browser()
    seen = browser.get(path)
    assert seen.status == 503
    assert "Not set up yet" in seen.body
    with stage.database.begin() as connection:
        assert connection.execute(consent_flow.select()).all() == []
    assert "/acme/connect" not in browser.get("/acme/").body


def test_a_tenant_that_was_taken_out_meanwhile(stage: Stage, browser: Browser) -> None:
    callback = browser.code()
    stage.tenants = (GLOBEX,)
    assert stage.browser(browser).get(callback).status == 400


def test_one_address_of_several_accounts(stage: Stage) -> None:
    """The gateway tells accounts apart by sub, so the next holder of an e-mail address gets another account."""
    stage.browser().consent()
    rename_account(stage.world, ALICE, "gone@acme.example")
    rename_account(stage.world, BOB, ALICE)
    second = stage.visitor(account=ALICE)
    assert len({account.sub for account in stage.accounts()}) == 2
    assert [one["account"] for one in json.loads(second.get("/acme/status.json").body)["accounts"]] == [ALICE]


@pytest.mark.parametrize("page", ["contacts", "account"])
def test_a_sign_in_leads_back(browser: Browser, page: str) -> None:
    browser.consent()
    browser.submit("/acme/signout")
    seen = browser.get(f"/acme/{page}")
    assert seen.status == 403
    assert f'href="/acme/signin?to={page}"' in seen.body
    back = browser.get(browser.code(f"/acme/signin?to={page}"))
    assert (back.status, back.location) == (303, f"/acme/{page}")
    assert browser.get(browser.code("/acme/signin")).location == "/acme/"


@pytest.mark.parametrize(
    "to",
    [
        *("//evil.example", "https://evil.example", "https:evil.example", "/\\evil.example", "@evil.example"),
        *("../globex/", "contacts/../../evil", "contacts//evil.example", "signout", "connect", "done", "privacy"),
        *("contacts?x=1", "contacts#x", "contacts%2f..", "phones/a/b/c", "/contacts", ""),
    ],
)
def test_a_sign_in_leads_nowhere_else(browser: Browser, to: str) -> None:
    """A sign-in leads only to pages of the tenant that change nothing when they are opened, whatever a cookie says."""
    browser.consent()
    query = urlencode({"to": to})
    assert browser.get(browser.code(f"/acme/signin?{query}")).location == "/acme/"
    callback = browser.code("/acme/signin")
    sent = {**browser.cookies(), "__Host-ldapgw-return": f"acme/{to}"}
    header = "; ".join(f"{name}={value}" for name, value in sent.items())
    assert browser.get(callback, {"Cookie": header}).location == "/acme/"


def test_a_sign_in_leads_back_within_its_tenant() -> None:
    browser = Stage(tenants=(ACME, GLOBEX)).browser()
    browser.consent()
    callback = browser.code("/acme/signin")
    browser.get("/globex/signin?to=contacts")
    assert browser.cookies()["__Host-ldapgw-return"] == "globex/contacts"
    assert browser.get(callback).location == "/acme/"

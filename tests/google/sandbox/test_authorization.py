# SPDX-License-Identifier: MIT
"""The tests cover the authorization endpoint and its consent page."""

from __future__ import annotations

import re

import pytest

from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL, REDIRECT_URIS
from ldapgw.google.sandbox.world import World
from tests.support.browser import read_forms
from tests.support.sandbox_client import CONTACTS, DIRECTORY, OTHER, Google, authorization_path

THREE = f"openid email {CONTACTS} {OTHER} {DIRECTORY}"


def boxes(page: str) -> dict[str, bool]:
    """Return the tick boxes of a page, and the state of each box."""
    return {c.value: c.checked for form in read_forms(page) for c in form.controls if c.kind == "checkbox"}


def chosen(page: str) -> list[str]:
    return [c.value for form in read_forms(page) for c in form.controls if c.kind == "radio" and c.checked]


@pytest.mark.parametrize(
    ("scope", "unticked"),
    [(THREE, [CONTACTS, OTHER, DIRECTORY]), (f"openid email {CONTACTS}", []), ("openid email", [])],
    ids=["several scopes", "one scope", "sign-in alone"],
)
def test_only_several_scopes_have_boxes(google: Google, scope: str, unticked: list[str]) -> None:
    """No box is ticked. A single scope is named without a box, and signing in asks only for an account."""
    page = google.authorize(scope=scope).text
    assert boxes(page) == dict.fromkeys(unticked, False)
    assert ("See and download your contacts" in page) is (CONTACTS in scope)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [(None, []), (BOB, [BOB]), ("sub of Carol", [CAROL]), ("nobody@acme.example", [])],
    ids=["none", "address", "sub", "unknown"],
)
def test_login_hint_chooses_an_account(google: Google, world: World, hint: str | None, expected: list[str]) -> None:
    """The page preselects the hinted account, and the person may choose another account."""
    page = google.authorize(login_hint=world.account(CAROL).sub if hint == "sub of Carol" else hint).text
    assert chosen(page) == expected
    assert all(address in page for address in (ALICE, BOB, CAROL))


def test_consent_goes_back_with_a_code(google: Google) -> None:
    """The callback gets code, state, issuer, granted scopes, hd, authuser and prompt. The code has a slash."""
    answer = google.agree(BOB)
    assert answer.status == 302
    assert answer.header("location").startswith(REDIRECT_URIS[0] + "?")
    code = answer.query.pop("code")
    assert code.startswith("4/")
    assert f"code={code.replace('/', '%2F')}&" in answer.header("location")
    assert {name: value for name, value in answer.query.items() if name != "code"} == {
        "state": "a state",
        "iss": "https://accounts.google.com",
        "scope": f"openid email {CONTACTS}",
        "authuser": "1",
        "hd": "acme.example",
        "prompt": "consent",
    }
    assert "hd" not in google.agree(CAROL).query


def test_cancel(google: Google) -> None:
    """Cancel goes back with access_denied and the state, and grants nothing."""
    answer = google.form(authorization_path(), decision="cancel")
    assert (answer.status, answer.query) == (302, {"error": "access_denied", "state": "a state"})


@pytest.mark.parametrize(
    ("ticked", "granted"),
    [((), set()), ((OTHER,), {OTHER}), ((CONTACTS, DIRECTORY), {CONTACTS, DIRECTORY}), (("made up",), set())],
    ids=["none", "one", "two", "one that was not asked for"],
)
def test_unticked_scopes_are_missing(google: Google, ticked: tuple[str, ...], granted: set[str]) -> None:
    """The flow succeeds with any ticks, and the scope has only the ticked scopes."""
    tokens = google.exchange(google.agree(ALICE, ticked, scope=THREE).query["code"]).json
    assert set(tokens["scope"].split()) - {"openid", "https://www.googleapis.com/auth/userinfo.email"} == granted


def test_account_has_to_be_chosen(google: Google) -> None:
    """The button Continue without an account shows the page again, with a message."""
    page = google.form(authorization_path(), decision="continue")
    assert page.status == 200
    assert "Choose an account." in page.text


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"redirect_uri": "http://localhost:8080/oauth/callback/"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": None}, 400, "invalid_request"),
        ({"response_type": "token"}, 400, "unsupported_response_type"),
        ({"response_type": None}, 400, "invalid_request"),
        ({"scope": "openid contacts"}, 400, "invalid_scope"),
        ({"scope": None}, 400, "invalid_request"),
        ({"prompt": "none consent"}, 400, "invalid_request"),
        ({"prompt": "please"}, 400, "invalid_request"),
        ({"access_type": "always"}, 400, "invalid_request"),
        ({"code_challenge_method": "s256"}, 400, "invalid_request"),
        ({"code_challenge": "short"}, 400, "invalid_request"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_google_shows_its_own_error_page(
    google: Google, method: str, changes: dict[str, str | None], status: int, code: str
) -> None:
    """A wrong client, redirect URI or parameter leads to an error page, and never back to the client."""
    path = authorization_path(**changes)
    answer = google.authorize(**changes) if method == "GET" else google.form(path, account=ALICE, decision="continue")
    assert answer.status == status
    assert answer.header("location") == ""
    assert f"Error {status}: {code}" in answer.text


def test_parameter_given_twice(google: Google) -> None:
    """A repeated parameter is an error."""
    answer = google.request("GET", authorization_path() + "&state=another")
    assert (answer.status, "single value: state" in answer.text) == (400, True)


def test_known_account_passes_without_a_page(google: Google) -> None:
    """A hinted account with a grant goes straight back without a prompt, and gets no new refresh token."""
    google.connect(BOB)
    answer = google.authorize(login_hint=BOB, prompt=None, include_granted_scopes="true")
    assert (answer.status, answer.query["prompt"]) == (302, "none")
    assert "refresh_token" not in google.exchange(answer.query["code"]).json


@pytest.mark.parametrize("prompt", ["consent", "select_account", "select_account consent"])
def test_prompt_shows_the_page_again(google: Google, prompt: str) -> None:
    """A prompt shows the page even if all scopes were granted before."""
    google.connect(BOB)
    assert google.authorize(login_hint=BOB, prompt=prompt).status == 200


@pytest.mark.parametrize(
    ("hint", "prompt", "asked"),
    [
        (BOB, None, {OTHER, DIRECTORY}),
        (BOB, "select_account", {OTHER, DIRECTORY}),
        (BOB, "consent", {CONTACTS, OTHER, DIRECTORY}),
        (ALICE, None, {CONTACTS, OTHER, DIRECTORY}),
        (None, None, {CONTACTS, OTHER, DIRECTORY}),
    ],
)
def test_the_page_asks_for_new_scopes_only(
    google: Google, hint: str | None, prompt: str | None, asked: set[str]
) -> None:
    """The page leaves out scopes that the hinted account granted before, unless a consent screen is demanded."""
    google.connect(BOB)
    page = google.authorize(login_hint=hint, prompt=prompt, scope=THREE)
    assert (page.status, {*boxes(page.text)}) == (200, asked)


def test_one_new_scope_needs_no_box(google: Google) -> None:
    """The new tokens and the refreshed tokens have the union of the scopes."""
    google.connect(BOB)
    more = {"login_hint": BOB, "prompt": None, "scope": f"openid email {OTHER}", "include_granted_scopes": "true"}
    page = google.authorize(**more).text
    assert (boxes(page), "“Other contacts”" in page, "download your contacts" in page) == ({}, True, False)
    tokens = google.exchange(google.agree(BOB, **more).query["code"]).json
    for held in (tokens, google.refresh(tokens["refresh_token"]).json):
        assert {CONTACTS, OTHER} < {*held["scope"].split()}


def test_a_scope_that_is_refused_is_not_in_the_union(google: Google) -> None:
    """The consent screen asked for the scope again, and the person left out the scope."""
    google.connect(BOB, scope=THREE)
    answer = google.agree(BOB, (CONTACTS,), scope=THREE, include_granted_scopes="true", login_hint=BOB)
    scope = google.exchange(answer.query["code"]).json["scope"].split()
    assert {*scope} & {CONTACTS, OTHER, DIRECTORY} == {CONTACTS}


@pytest.mark.parametrize(
    ("hint", "error"), [(BOB, "consent_required"), (None, "interaction_required")], ids=["not granted", "not chosen"]
)
def test_prompt_none_never_shows_a_page(google: Google, hint: str | None, error: str) -> None:
    """The answer is a code if no question is open, and otherwise an error."""
    assert google.authorize(prompt="none", login_hint=hint).query == {"error": error, "state": "a state"}
    google.connect(ALICE)
    assert "code" in google.authorize(prompt="none", login_hint=ALICE).query


def test_internal_client_is_for_its_own_workspace(google: Google, world: World) -> None:
    """An Internal project's client refuses other accounts on an error page."""
    world.set_client(audience="internal", domain="acme.example")
    refused = google.agree(CAROL)
    assert (refused.status, "org_internal" in refused.text) == (403, True)
    assert google.agree(ALICE).status == 302


def test_redirect_uri_keeps_its_query(google: Google, world: World) -> None:
    """A registered redirect URI may have a query of its own, which comes back in front."""
    world.add_redirect_uri("http://localhost:1/cb?tenant=a")
    location = google.agree(redirect_uri="http://localhost:1/cb?tenant=a").header("location")
    assert location.startswith("http://localhost:1/cb?tenant=a&state=a+state&")


def test_page_is_strict_and_plain(google: Google) -> None:
    """The page has no script, no inline style and no foreign content. Values of the request are escaped."""
    answer = google.authorize(state='"><script>alert(1)</script>')
    assert answer.header("content-security-policy").startswith("default-src 'none'; style-src 'self'")
    assert "form-action" not in answer.header("content-security-policy")
    assert not re.search(r"<script|style=|https?://(?!localhost)[^%]*\.js", answer.text)
    assert google.request("GET", "/sandbox/style.css").header("content-type") == "text/css; charset=utf-8"


def test_form_keeps_the_request(google: Google) -> None:
    """The page's form goes to the request's own address, so no parameter is lost."""
    (form,) = read_forms(google.authorize(scope=THREE).text)
    assert (form.method, form.action) == ("post", authorization_path(scope=THREE))

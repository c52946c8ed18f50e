# SPDX-License-Identifier: MIT
"""The tests ask every route for the same protection, and look for the tests that ``guarding.rst`` names."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.store import phones, recordings
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web import phone_forms
from ldapgw.web.app import FORM_BURST, FORM_INTERVAL_SECONDS, routes
from ldapgw.web.book_clients import LONGEST_DELAY
from ldapgw.web.contact_pages import SEARCH_BURST
from ldapgw.web.error_pages import PAGES
from ldapgw.web.explain_pages import EXPLAIN_BURST
from ldapgw.web.layout import Layout, RequiredRole, Route
from tests.support.checkout import ROOT
from tests.support.stage.web import ALICE, BOB, GOOGLE, URL, Browser, Seen, Stage, owner, words_on

ALL_ROUTES = routes(Layout.of(Stage().gate))
# The routes for phones and PBXs have logins of their own, and no forms.
FOR_PHONES = [route for route in ALL_ROUTES if route.required_role is RequiredRole.PHONE]
ROUTES = [route for route in ALL_ROUTES if route not in FOR_PHONES]
# A wrong secret of these routes is answered late.
LATE = [route for route in ROUTES if "/<secret>" in route.path]
GETS = [route for route in ROUTES if route.method == "GET"]
POSTS = [route for route in ROUTES if route.method == "POST"]
GUARDING = (ROOT / "docs" / "explanation" / "guarding.rst").read_text()


def by_path(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, value: str = "style.css") -> str:
    """Return the route's address in Acme, with a value for each other part."""
    return re.sub(r"<[^>]+>", quote(value, safe=""), route.path.replace("<tenant>", "acme"))


def ask(browser: Browser, route: Route, value: str = "style.css", fields: Mapping[str, str] | None = None) -> Seen:
    path = path_of(route, value)
    browser.patience = LONGEST_DELAY if route in LATE else 0.0
    if route.method == "POST":
        return browser.post(path, fields)
    query = "&".join(f"{name}={quote(text)}" for name, text in (fields or {}).items() if name != "token")
    return browser.get(f"{path}?{query}", method="HEAD" if path.endswith("/events") else "GET")


def dump(stage: Stage) -> list[str]:
    """Return the stored rows, except for sign-ins and for consents under way."""
    with stage.database.begin() as connection:
        driver: Any = connection.connection.driver_connection
        return [line for line in driver.iterdump() if '"sign_in"' not in line and '"consent_flow"' not in line]


def bob_of(stage: Stage) -> Browser:
    """Return Bob's browser; Alice is connected too."""
    stage.browser().consent()
    browser = stage.visitor(account=BOB)
    browser.get("/acme/")
    stage.changes = 0
    return browser


@pytest.fixture
def bob(stage: Stage) -> Browser:
    return bob_of(stage)


@pytest.fixture(scope="module")
def unchanged() -> Browser:
    """Bob's browser sends requests that must change nothing; each test compares the stored rows."""
    return bob_of(Stage())


# Visitors with these roles are signed in.
SIGNED_IN = {RequiredRole.SIGNED_IN, RequiredRole.PERSON, RequiredRole.ADMIN}

FOREIGN = ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": f"{URL}.evil.example"})


@pytest.mark.parametrize("route", POSTS, ids=by_path)
def test_every_form_asks_for_its_token(unchanged: Browser, route: Route) -> None:
    """A form without its token, or from another site, does nothing; only then does the page check who is signed in."""
    stage, before = unchanged.stage, dump(unchanged.stage)
    token, stranger = unchanged.get("/acme/").token, stage.browser()
    for headers in FOREIGN:
        fields = {"sharing": "shared", "name": "x", "sought": "x"} | ({"token": token} if headers else {})
        foreign, signed_out = unchanged.post(path_of(route), fields, headers), stranger.post(path_of(route), fields)
        assert (foreign.status, signed_out.status) == (403, 403)
        if route.required_role in SIGNED_IN:
            assert PAGES.foreign_form.title in words_on(foreign)
            assert PAGES.signed_out.title in words_on(signed_out)
    assert (dump(stage), stage.changes) == (before, 0)


def test_a_session_sends_forms_no_faster_than_people(stage: Stage, bob: Browser) -> None:
    """Further forms do nothing; searches have a limit of their own, and signing out always works."""
    before, token = dump(stage), {"token": bob.get("/acme/").token}
    sent = [bob.post("/acme/source", token).status for _ in range(FORM_BURST + 1)]
    assert sent == [303] * FORM_BURST + [429]
    with_session = [route for route in POSTS if route.required_role is not RequiredRole.TENANT]
    forms = [route for route in with_session if not route.is_unlimited]
    assert {route.path for route in set(with_session) - set(forms)} == {"/<tenant>/search", "/<tenant>/signout"}
    refused = [bob.post(path_of(route), token | {"sharing": "shared", "name": "x"}) for route in forms]
    assert {(one.status, *one.headers["retry-after"]) for one in refused} == {(429, "1")}
    assert (dump(stage), stage.changes) == (before, 0)
    stage.clock.advance(FORM_INTERVAL_SECONDS)
    assert [bob.post("/acme/share", token | {"sharing": "shared"}).status for _ in range(2)] == [303, 429]
    other = stage.visitor(account=BOB)
    other.go_to_gateway_of(bob)
    assert other.submit("/acme/sync").status == 303
    assert bob.post("/acme/signout", token).status == 303


@pytest.mark.parametrize(
    ("path", "fields", "burst", "seconds"),
    [
        ("/acme/search", {"sought": "a"}, SEARCH_BURST, 1.0),
        ("/acme/explain", {"asked": "a", "phone": "desk1"}, EXPLAIN_BURST, 2.0),
        ("/acme/phones/desk1/test", {"password": "guess"}, phone_forms.TEST_BURST, phone_forms.TEST_INTERVAL_SECONDS),
    ],
)
def test_costly_forms_are_limited(stage: Stage, path: str, fields: dict[str, str], burst: int, seconds: float) -> None:
    """A session sends some forms at once, and one more after a while, even if somebody sets the machine's clock."""
    browser = owner(stage, model="yealink")
    form = {"token": browser.get("/acme/").token, **fields}
    assert [browser.post(path, form).status == 429 for _ in range(burst + 1)] == [False] * burst + [True]
    stage.set_back = 3600.0
    stage.clock.advance(seconds)
    assert browser.post(path, form).status != 429


@pytest.mark.parametrize("route", GETS, ids=by_path)
def test_get_changes_nothing(unchanged: Browser, route: Route) -> None:
    stage, before = unchanged.stage, dump(unchanged.stage)
    fields = {"token": unchanged.get("/acme/").token, "sharing": "shared", "account": "1", "accept_shrink": "yes"}
    assert ask(unchanged, route, fields=fields).status < 500
    assert (dump(stage), stage.changes) == (before, 0)


@pytest.mark.long  # each page's own tests have the ids that it takes
@pytest.mark.parametrize("route", ROUTES, ids=by_path)
def test_other_peoples_ids_lead_nowhere(stage: Stage, bob: Browser, route: Route) -> None:
    """Another account's sub, address, id and place on a page neither show nor change anything."""
    alice = next(one for one in stage.accounts() if one.address == ALICE)
    token = bob.get("/acme/").token
    for key in (alice.sub, ALICE, str(alice.id), "2", "0"):
        names = ("account", "sub", "id", "account_id", "owner", "user", "phone", "name")
        seen = ask(bob, route, key, {"token": token, "sharing": "shared"} | dict.fromkeys(names, key))
        assert ALICE.upper() not in seen.body.upper()
        assert alice.sub not in seen.body
        if route.path.endswith("signout"):
            break
    assert next(one for one in stage.accounts() if one.address == ALICE) == alice


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if "phone" in route.path and "<name>" in route.path], ids=by_path
)
def test_other_peoples_phones_are_not_found(unchanged: Browser, route: Route) -> None:
    """A colleague's phone and another tenant's phone get the same answer as an unknown name."""
    stage, now = unchanged.stage, unchanged.stage.clock.seconds()
    alice = next(account.id for account in stage.accounts() if account.address == ALICE)
    for name, tenant, owner_id in (("hers", "acme", alice), ("theirs", "globex", None)):
        stage.do(phones.add, PhoneLogin(name, tenant, owner_id, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, now))
        stage.do(recordings.begin, name, now, now + 600, is_plain=False)
        found = stage.do(recordings.read, name)
        stage.do(recordings.store_part, stage.secret_box, found, "one", recordings.RecordingPart(1, "{}\n"))
        stage.do(recordings.end, name, now)
    fields = {"token": unchanged.get("/acme/").token, "model": "other", "owner": BOB, "action": "start"}
    before, of_snom = dump(stage), replace(route, path=route.path.replace("<vendor>", "snom"))
    unknown = ask(unchanged, of_snom, "unknown", fields)
    assert unknown.status == 404
    for name in ("hers", "theirs"):
        seen = ask(unchanged, of_snom, name, fields)
        assert (seen.status, seen.body) == (404, unknown.body)
    assert (dump(stage), stage.changes, stage.tried) == (before, 0, [])


@pytest.mark.long  # test_consent has the addresses that a sign-in may lead to
@pytest.mark.parametrize("route", ROUTES, ids=by_path)
def test_redirects_lead_to_ourselves_or_to_google(bob: Browser, route: Route) -> None:
    elsewhere = "https://evil.example/"
    names = ("next", "back", "return", "redirect", "redirect_uri", "url", "to", "account", "name")
    for suggested in (elsewhere, "//evil.example", "/\\evil.example", "https:evil.example"):
        fields = dict.fromkeys(names, suggested) | {"token": bob.get("/acme/").token, "sharing": "shared"}
        seen = ask(bob, route, suggested, fields)
        for location in seen.headers.get("location", []):
            parts = urlsplit(location)
            google = f"{parts.scheme}://{parts.netloc}" == GOOGLE and route.path.endswith(("/connect", "/signin"))
            ours = not parts.scheme and not parts.netloc and location.startswith("/acme/") and "\\" not in location
            assert google or ours
            assert "evil" not in location


@pytest.mark.parametrize("route", [route for route in ROUTES if route.required_role in SIGNED_IN], ids=by_path)
def test_pages_for_those_who_are_signed_in(browser: Browser, route: Route) -> None:
    assert ask(browser, route).status == 403


def test_pages_for_administrators(bob: Browser) -> None:
    """Visitors without the role get 403 on every page of the administration."""
    assert {route for route in ROUTES if "/admin" in route.path} == {
        r for r in ROUTES if r.required_role is RequiredRole.ADMIN
    }
    token = {"token": bob.get("/acme/").token}
    assert {ask(bob, route, fields=token).status for route in ROUTES if route.required_role is RequiredRole.ADMIN} <= {
        403
    }


@pytest.mark.parametrize("route", FOR_PHONES, ids=by_path)
def test_what_phones_ask_for_needs_their_login(unchanged: Browser, route: Route) -> None:
    """A session opens none of these routes, and a wrong secret is refused late."""
    stage, before = unchanged.stage, dump(unchanged.stage)
    path = path_of(route, "snom")
    if "<secret>" in route.path:
        with pytest.raises(AssertionError, match="still waiting"):
            ask(unchanged, route, "snom")
    else:
        answer = unchanged.ask(route.method, path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, ['Basic realm="acme", charset="UTF-8"'])
    assert (dump(stage), stage.changes) == (before, 0)


def test_wrong_secrets_are_answered_late(unchanged: Browser) -> None:
    """These routes have a secret in the path and no login."""
    assert [by_path(route) for route in LATE] == [
        "GET /<tenant>/provision/<secret>/",
        "GET /<tenant>/provision/<secret>/<file>",
    ]
    for route in LATE:
        unchanged.patience = 0.0
        with pytest.raises(AssertionError, match="still waiting"):
            unchanged.get(path_of(route))
        assert ask(unchanged, route).status == 404


def test_every_route_of_a_tenant_says_who_may_ask() -> None:
    """A form needs a sign-in, except for the button that signs in with the key of a link."""
    open_to_all = {route.path for route in POSTS if route.required_role is RequiredRole.TENANT}
    assert open_to_all == {"/<tenant>/link"}
    others = {route.required_role for route in POSTS if route.path not in open_to_all}
    assert others == SIGNED_IN
    assert all("<tenant>" in route.path for route in ALL_ROUTES if route.required_role is not RequiredRole.PUBLIC)


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(re.findall(r"``(tests/[\w/.]+::\w+)``", GUARDING))))
def test_a_test_that_the_page_names_is_there(name: str) -> None:
    path, _, function = name.partition("::")
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    assert function in {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_item_names_a_test() -> None:
    """Each item of the page has to name a test that keeps the promise."""
    items = GUARDING.split("   * - ")[1:]
    assert len(items) == 2 + 17 + 23
    assert [item.splitlines()[0] for item in items if "``tests/" not in item] == ["Item", "Item"]

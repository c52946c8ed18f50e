# SPDX-License-Identifier: MIT
"""The tests ask every route for its headers and cookies, and show the answers to requests that no route takes."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from ldapgw.errors import StoreError
from ldapgw.store import sync_state
from ldapgw.store.sign_ins import IDLE_SECONDS
from ldapgw.web.app import routes
from ldapgw.web.layout import Layout
from tests.support import rst
from tests.support.checkout import ROOT
from tests.support.stage.web import ACME, ALICE, GLOBEX, URL, Browser, Connection, Seen, Stage, add

ROUTES = [
    (route.method, route.path.replace("<name>", "style.css").replace("<tenant>", "acme"))
    for route in routes(Layout.of(Stage().gate))
    if "<secret>" not in route.path  # a wrong secret is answered late (test_book_clients.py)
]
# No route answers these requests; each row has the method, path, status, and allowed methods.
NONE = [
    ("GET", "/nobody/", 404, None),
    ("GET", "/nobody/connect", 404, None),
    ("POST", "/nobody/sync", 404, None),
    ("GET", "/acme/nothing", 404, None),
    ("GET", "/static/../app.py", 404, None),
    ("GET", "/static/..%2fapp.py", 404, None),
    ("GET", "/static/nothing.css", 404, None),
    ("GET", "/favicon.png", 404, None),
    ("GET", "/%ff/", 404, None),
    ("GET", "//nobody/", 404, None),
    ("GET", "/acme//connect", 404, None),
    ("GET", "/acme/sync", 405, "POST"),
    ("PUT", "/acme/share", 405, "POST"),
    ("POST", "/", 405, "GET, HEAD"),
    ("POST", "/acme/", 405, "GET, HEAD"),
    ("POST", "/oauth/callback", 405, "GET, HEAD"),
    ("DELETE", "/acme/", 405, "GET, HEAD"),
    ("OPTIONS", "/acme/", 405, "GET, HEAD"),
    ("TRACE", "/", 405, "GET, HEAD"),
    ("BREW", "/acme/", 405, "GET, HEAD"),
]
ICONS = {
    "/favicon.ico": "image/x-icon",
    "/apple-touch-icon.png": "image/png",
    "/apple-touch-icon-precomposed.png": "image/png",
}
ALWAYS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin-allow-popups",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def ask(browser: Browser, method: str, path: str) -> Seen:
    if path.endswith("/events"):
        method = "HEAD"  # the answer to a GET has no end
    return browser.post(path) if method == "POST" else browser.get(path, method=method)


@pytest.mark.parametrize(
    "signed_in", [pytest.param(False, id="signed out"), pytest.param(True, id="signed in", marks=pytest.mark.long)]
)
@pytest.mark.parametrize(("method", "path"), ROUTES + [row[:2] for row in NONE])
def test_headers_of_every_answer(browser: Browser, method: str, path: str, signed_in: bool) -> None:
    """Pages, redirects and errors have the same protective headers, and no header names the server."""
    if signed_in:
        browser.consent()
    seen = ask(browser, method, path)
    headers = {name: values[0] for name, values in seen.headers.items()}
    assert {name: headers.get(name) for name in ALWAYS} == ALWAYS
    assert headers["strict-transport-security"] == "max-age=15768000"
    assert "server" not in headers
    cacheable = path in {"/static/style.css", *ICONS}
    assert headers["cache-control"] == ("public, max-age=3600" if cacheable else "no-store")
    assert headers["content-type"].partition(";")[0] in {
        *("text/html", "text/plain", "application/json", "text/css", "text/event-stream", *ICONS.values())
    }
    for cookie in seen.headers.get("set-cookie", []):
        assert cookie.startswith("__Host-ldapgw")
        assert {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


@pytest.mark.parametrize(("path", "media_type"), ICONS.items())
def test_the_icons_that_browsers_ask_for(browser: Browser, path: str, media_type: str) -> None:
    seen = browser.get(path)
    assert (seen.status, seen.headers["content-type"]) == (200, [media_type])


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://127.0.0.1:8080"])
def test_on_a_loopback_address(url: str) -> None:
    """Over HTTP, cookies have neither Secure nor its prefix, and no header asks browsers to use HTTPS."""
    stage = Stage(url=url)
    browser = stage.browser()
    assert browser.consent().status == 200
    assert set(browser.cookies()) == {"ldapgw.acme", "ldapgw-consent"}
    assert "strict-transport-security" not in browser.get("/acme/").headers
    token = browser.get("/acme/").token
    assert browser.post("/acme/share", {"token": token, "sharing": "shared"}, {"Origin": url}).status == 303


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "https://phonebook.example.com/"),
        ("/acme/contacts?page=2&q=%C3%BC", "https://phonebook.example.com/acme/contacts?page=2&q=%C3%BC"),
        ("/static/style.css", "https://phonebook.example.com/static/style.css"),
        ("/healthz", None),
        ("/readyz", None),
        ("/metrics", None),
        ("/acme/ca.crt", None),
        ("/acme/caller?number=1", None),
        ("/acme/book/yealink.xml", None),
        ("/acme/provision/desk1.secret/", None),
        ("/acme/provision/desk1.secret/y000000000000.cfg", None),
    ],
)
def test_plain_http_where_the_gateway_serves_https(path: str, location: str | None) -> None:
    """Pages redirect to the public URL; phones and monitoring are answered.

    A browser behind a proxy counts as on HTTPS.
    """
    stage = Stage(serves_https=True)
    browser = stage.browser()
    browser.patience = 10.0  # a wrong secret is answered late
    assert browser.get(path).status != 307
    browser._origin = "http://phonebook.example.com"
    plain = browser.get(path, {"Host": "evil.example"})
    assert (plain.status == 307, plain.headers.get("location")) == (bool(location), [location] if location else None)
    proxied = Stage(serves_https=True, trusts=lambda _: True).browser()
    proxied.patience, proxied._origin = 10.0, browser._origin
    assert proxied.get(path, {"X-Forwarded-For": "198.51.100.7"}).status != 307


def test_hsts_waits_for_a_proven_certificate() -> None:
    """A certificate that turns out to be wrong in its first hours must not lock browsers out."""
    stage = Stage(sends_hsts=False)
    assert "strict-transport-security" not in stage.browser().get("/acme/").headers


@pytest.mark.parametrize("path", ["", "/phonebook"], ids=["stripped", "kept"])
def test_pages_below_a_path(path: str) -> None:
    """A proxy may remove the path or keep the path; links, redirects and the redirect URI have the path."""
    stage = Stage(url=f"{URL}/phonebook")
    browser = stage.browser()
    assert browser.depart(f"{path}/acme/connect")["redirect_uri"] == f"{URL}/phonebook/oauth/callback"
    for root in {f"{path}/", path or "/"}:
        assert browser.get(root).location == "/phonebook/acme/"
    body = browser.get(f"{path}/acme/").body
    assert 'href="/phonebook/acme/connect"' in body
    assert 'href="/phonebook/static/style.css?v=' in body
    assert browser.get(f"{path}/static/style.css").status == 200
    assert browser.get(f"{path}/acme/caller?number=1").status == 401
    assert [browser.get(f"{wrong}/acme/").status for wrong in ("/phonebook/phonebook", "/phone", "/x")] == [404] * 3


def test_cookies_below_a_path_go_to_no_other_program_of_the_host() -> None:
    """A cookie below a path has no prefix ``__Host-``, because browsers take this prefix for the whole host only."""
    browser = Stage(url=f"{URL}/phonebook").browser()
    [cookie] = browser.get("/phonebook/acme/connect").headers["set-cookie"]
    assert cookie.startswith("__Secure-ldapgw-consent=")
    assert {"Path=/phonebook", "HttpOnly", "SameSite=Lax", "Secure"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [("/", 303, "/acme/"), ("/acme", 308, "/acme/"), ("/acme/search?language=de", 303, "/acme/contacts")],
)
def test_redirects_among_pages(browser: Browser, path: str, status: int, location: str) -> None:
    """Redirects are paths, so no Host header gets into them."""
    seen = browser.get(path, {"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert (seen.status, seen.location) == (status, location)


def test_the_front_page_names_the_tenants() -> None:
    """The page lists the tenants if there are several; HTML in their titles stays text."""
    body = Stage(tenants=(ACME, GLOBEX)).browser().get("/").body
    assert '<a class="tile" href="/acme/">Acme GmbH</a>' in body
    assert '<a class="tile" href="/globex/">Globex &lt;b&gt;&amp; Sons&lt;/b&gt;</a>' in body


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"])
def test_what_a_request_says_of_our_address_is_not_believed(browser: Browser, header: str) -> None:
    """The redirect URI comes from the configuration."""
    seen = browser.get("/acme/connect", {header: "evil.example"})
    assert "evil" not in seen.location
    assert "phonebook.example.com%2Foauth%2Fcallback" in seen.location
    assert "evil" not in browser.get("/acme/", {header: "evil.example"}).body


@pytest.mark.parametrize(("method", "path", "status", "allow"), NONE)
def test_what_is_no_route(browser: Browser, method: str, path: str, status: int, allow: str | None) -> None:
    """The answer is a plain page; a wrong method gets the list of the right methods."""
    seen = ask(browser, method, path)
    assert seen.status == status
    assert seen.headers.get("allow") == ([allow] if allow else None)
    assert "<h1>" in seen.body
    assert path not in seen.body or path in ("/", "/acme/")


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/acme/sync", 8192, 403),
        ("/acme/sync", 8193, 413),
        ("/acme/admin/phones/act", 8193, 413),
        ("/acme/admin/phones/import", 65_536, 403),
        ("/acme/admin/phones/import/add", 65_536, 403),
        ("/acme/admin/delegation", 65_536, 403),
        ("/acme/admin/phones/import", 65_537, 413),
        ("/acme/sync", 100_000, 413),
    ],
)
def test_a_large_body(browser: Browser, path: str, size: int, status: int) -> None:
    """A list of phones or people may have 64 KiB, and any other form 8 KiB."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.send(path, b"x" * size, form).status == status


@pytest.mark.parametrize("body", [b"&" * 8000, b"a=1&" * 2000, b"%", b"\xff=\xfe", b"token=%ff", b"\0" * 100])
def test_a_strange_body(browser: Browser, body: bytes) -> None:
    browser.consent()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.send("/acme/sync", body, form).status == 403


def test_health_and_readiness(stage: Stage, browser: Browser) -> None:
    """The process is healthy; readiness says whether the directory is loaded, and whether the database fails."""
    assert (browser.get("/healthz").status, browser.get("/healthz").body) == (200, "ok\n")
    assert (browser.get("/readyz").status, browser.get("/readyz").body) == (200, "ready\n")
    stage.database_fails_since = stage.clock.seconds()
    assert (browser.get("/readyz").status, browser.get("/readyz").body) == (200, "degraded\n")
    stage.is_stale = True
    assert (browser.get("/readyz").status, browser.get("/readyz").body) == (200, "stale\n")
    stage.is_ready = False
    seen = browser.get("/readyz")
    assert (seen.status, seen.body) == (503, "not ready\n")


@pytest.mark.parametrize(
    ("address", "status"),
    [("192.0.2.1", 200), ("192.0.2.1:80", 200), ("192.0.2.2", 403), ("192.0.2.1:", 403), ("", 403)],
)
def test_figures_are_for_some_networks_alone(stage: Stage, address: str, status: int) -> None:
    """Only some addresses may read the figures, as a trusted proxy gives the address; other clients get 403."""
    stage.trusts = lambda _: True
    stage.metrics_from = ("192.0.2.1",)
    seen = stage.browser().get("/metrics", {"X-Forwarded-For": address})
    assert (seen.status, "ldapgw_ready" in seen.body) == (status, status == 200)
    kind = "text/plain; version=1.0.0; charset=utf-8" if status == 200 else "text/plain; charset=utf-8"
    assert seen.headers["content-type"] == [kind]


def test_requests_are_counted_by_route(stage: Stage, browser: Browser) -> None:
    """The figures also count requests that are answered before the router, and requests that no route answers."""
    for path in ("/acme/", "/acme/phones/desk1", "/acme/caller?number=1", "/healthz", "/x/y/z", "/nobody/"):
        browser.get(path)
    seen = {key: count for key, count in stage.requests.requests.items() if count}
    assert seen == {
        ("GET", "/{tenant}/", "2xx"): 1,
        ("GET", "/{tenant}/", "4xx"): 1,
        ("GET", "/{tenant}/phones/{name}", "4xx"): 1,
        ("GET", "/{tenant}/caller", "4xx"): 1,
        ("GET", "/healthz", "2xx"): 1,
        ("unknown", "unknown", "4xx"): 1,
    }
    counted = {role: sum(one.counts) for role, one in stage.requests.durations.items()}
    assert counted == {"unknown": 1, "public": 1, "tenant": 2, "signed_in": 1, "phone": 1}


def test_the_addresses_of_phones_and_monitoring_are_promised() -> None:
    """All promised addresses exist, and the list has every address that machines ask for over HTTP."""
    rows = rst.table(ROOT / "docs" / "reference" / "compatibility.rst", "Addresses that stay")
    promised = {
        (method, address) for paths, methods, _ in rows for method in methods.literals for address in paths.literals
    }
    there = routes(Layout.of(Stage().gate))
    assert promised - {(route.method, route.template) for route in there} == set()
    assert {(route.method, route.template) for route in there if route.over_http} - promised == set()


@pytest.mark.parametrize(("name", "kind"), [("style.css", "text/css; charset=utf-8"), ("icon.svg", "image/svg+xml")])
def test_static_files(browser: Browser, name: str, kind: str) -> None:
    """The entity tag of a file saves sending the file again."""
    seen = browser.get(f"/static/{name}?v=1")
    assert (seen.status, seen.headers["content-type"]) == (200, [kind])
    again = browser.get(f"/static/{name}", {"If-None-Match": seen.headers["etag"][0]})
    assert (again.status, again.body) == (304, "")
    assert "://" not in seen.body.replace("http://www.w3.org/2000/svg", "")


def test_the_first_page_is_small(browser: Browser) -> None:
    """The first page with its style sheet, script and icon has at most 40 kB before compression."""
    addresses = ("/acme/", "/static/style.css", "/static/page.js", "/static/icon.svg")
    sizes = {address: len(browser.get(address).body.encode()) for address in addresses}
    assert sum(sizes.values()) <= 40_000, sizes
    assert "// ---" not in browser.get("/static/page.js").body


@pytest.mark.parametrize("is_packed", [True, False])
def test_static_files_are_compressed(stage: Stage, browser: Browser, is_packed: bool) -> None:
    """A browser that takes gzip gets fewer octets, with the same entity tag."""
    seen = browser.get("/static/style.css")
    accept = b"Accept-Encoding: gzip\r\n" if is_packed else b""
    request = b"GET /static/style.css HTTP/1.1\r\nHost: a\r\n" + accept + b"Connection: close\r\n\r\n"
    head, _, body = Connection(stage.site()).send(request).partition(b"\r\n\r\n")
    assert f"\r\nETag: {seen.headers['etag'][0]}\r\n".encode() in head + b"\r\n"
    assert (b"\r\nContent-Encoding: gzip" in head, len(body) < len(seen.body) / 3) == (is_packed, is_packed)
    assert (gzip.decompress(body) if is_packed else body).decode() == seen.body


def test_a_page_that_is_still_the_same(stage: Stage, browser: Browser) -> None:
    """An unchanged page is not sent again; a changed page is sent, and so is an error."""
    browser.consent()
    browser.get("/acme/")
    seen = browser.get("/acme/")
    kept = {"If-None-Match": seen.headers["etag"][0]}
    again = browser.get("/acme/", kept)
    assert (again.status, again.body) == (304, "")
    (account,) = stage.accounts()
    stage.do(sync_state.begin, account.id)
    assert browser.get("/acme/", kept).status == 304
    stage.do(sync_state.end, account, stage.clock.seconds(), stage.clock.seconds() + 600)
    assert browser.get("/acme/", kept).status == 200
    missing = browser.get("/acme/nothing")
    assert browser.get("/acme/nothing", {"If-None-Match": missing.headers["etag"][0]}).status == 404


def test_what_a_page_fetches_by_itself(stage: Stage, browser: Browser) -> None:
    """A window that is left open keeps nobody signed in."""
    browser.consent()
    for _ in range(IDLE_SECONDS // 3600 + 1):
        stage.clock.advance(3600)
        page = browser.get("/acme/", {"Ldapgw-Live": "look"}).body
    assert "Sign out" not in page


def test_a_look_for_news_does_not_take_the_message_of_the_next_page(browser: Browser) -> None:
    """Another window may look for news while a form is answered, and must not take the form's message."""
    browser.consent()
    browser.submit("/acme/share", sharing="shared")
    assert "Saved." not in browser.get("/acme/", {"Ldapgw-Live": "look"}).body
    assert "Saved." in browser.get("/acme/").body
    assert "Saved." not in browser.get("/acme/").body


def test_pages_need_nothing_but_themselves(browser: Browser) -> None:
    bodies = [browser.get("/acme/").body, browser.consent().body, browser.get("/nothing").body]
    for body in bodies:
        for unwanted in ("<script>", "style=", "onclick", "<style", 'src="http', "@import", "url("):
            assert unwanted not in body


@pytest.mark.parametrize(
    ("error", "status", "title", "event", "logged"),
    [
        (
            StoreError("ldapgw.db: disk full"),
            503,
            "The gateway can’t use its database",
            "page_unavailable",
            "disk full",
        ),
        (ZeroDivisionError("secret detail"), 500, "Something went wrong", "page_failed", "ZeroDivisionError"),
    ],
    ids=["database", "fault of ours"],
)
def test_a_page_that_fails(
    stage: Stage, json_log: list[dict[str, Any]], error: Exception, status: int, title: str, event: str, logged: str
) -> None:
    """One line in the log has the cause, and the page shows nothing of the cause."""

    class BrokenStore:
        def run(self, *_: object, **__: object) -> Deferred[Any]:
            return fail(error)

        read = run

    stage.store = BrokenStore()
    seen = stage.browser().get("/acme/")
    assert (seen.status, title in seen.body) == (status, True)
    assert [word for word in ("disk full", "secret", "Error") if word in seen.body] == []
    [line] = json_log
    assert (line["event"], line["tenant"]) == (event, "acme")
    assert logged in line["message"] + line.get("exception", "")


def test_sign_ins_are_logged_without_a_secret(stage: Stage, browser: Browser, caplog_twisted: list[str]) -> None:
    """The log has the act, the user's ID and the address.

    It has no token, no person's e-mail address, and no forged line.
    """
    stage.trusts = lambda address: address == "127.0.0.1"
    browser = stage.browser()
    hostile = {"X-Forwarded-For": "203.0.113.7\u0020fake, 192.0.2.1"}
    callback = browser.code()
    browser.get(callback, hostile)
    browser.submit("/acme/signout")
    sub = stage.world.account(ALICE).sub
    assert caplog_twisted == [
        f"web: a consent (connect) of tenant acme was given by user {sub}, from 192.0.2.1",
        f"web: sign-out by user {sub} of tenant acme, from 127.0.0.1",
    ]


def test_the_log_has_the_number_of_an_account(
    stage: Stage, browser: Browser, json_log: list[dict[str, object]]
) -> None:
    """The log has the account's number for each act of a person, from the first consent to the end."""
    browser.consent()
    add(browser)
    browser.submit("/acme/disconnect")
    browser.submit("/acme/signout")
    browser.consent("/acme/signin")
    [account] = stage.accounts()
    whose = [(line["event"], line.get("tenant"), line.get("account")) for line in json_log]
    assert [one for one in whose if one[0] != "google_answered"] == [
        ("consent_given", "acme", account.id),
        ("phone_changed", "acme", account.id),
        ("account_changed", "acme", account.id),
        ("account_changed", "acme", account.id),
        ("consent_given", "acme", account.id),
    ]


def test_refusals_are_logged(stage: Stage, browser: Browser, caplog_twisted: list[str]) -> None:
    """The log has a failed consent, a callback without a consent, and a form from another site."""
    browser.consent(cancel=True)
    browser.get("/oauth/callback?state=x")
    browser.consent()
    browser.post("/acme/sync", {"token": "x"})
    assert [line for line in caplog_twisted if line.startswith("web: ") and "by user" not in line] == [
        "web: a consent (connect) of tenant acme has failed, from 127.0.0.1: You didn’t grant access",
        "web: a callback without its consent, from 127.0.0.1",
        "web: refused a form from another site for tenant acme, from 127.0.0.1",
    ]

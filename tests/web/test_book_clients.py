# SPDX-License-Identifier: MIT
"""Phones and PBXs log in over HTTP; each address treats right and wrong logins in the same way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ldapgw.directory.catalog import Freshness
from ldapgw.ldap.admission import FIRST_DELAY
from ldapgw.web.book_clients import HttpCredentials, read_credentials
from tests.support.stage.book_clients import PASSWORD, SECRET, Pbx, basic, bearer, serve
from tests.support.stage.web import Browser, Stage

# A login opens the first addresses, and a secret in the path opens the others.
WITH_LOGIN = {
    "book": "/acme/book/snom.xml",
    "feed": "/acme/book/contacts.json",
    "caller": "/acme/caller?number=0301234567",
    "photo": "/acme/photo/+49301234567.png",
}
WITH_SECRET = {
    "book": "/acme/book/{secret}/snom.xml",
    "feed": "/acme/book/{secret}/contacts.json",
    "photo": "/acme/photo/{secret}/+49301234567.png",
}
CALLER = WITH_LOGIN["caller"]
GUARDS = (b"Cache-Control: no-store", b"Referrer-Policy: no-referrer", b"X-Content-Type-Options: nosniff")


@pytest.fixture
def stage() -> Stage:
    return serve()


@pytest.mark.parametrize("path", WITH_LOGIN.values(), ids=WITH_LOGIN)
@pytest.mark.parametrize(
    ("tenant", "headers"),
    [
        ("acme", basic("pbx", "wrong")),
        ("acme", basic("nobody")),
        ("acme", basic("other.pbx")),
        ("acme", basic("", "")),
        ("acme", bearer("pbx", "wrong")),
        ("acme", bearer("other.pbx")),
        ("acme", bearer("pbx", SECRET)),
        ("globex", basic()),
    ],
    ids=["wrong", "unknown", "of globex", "empty", "wrong token", "token of globex", "a secret", "at globex"],
)
def test_a_wrong_login(stage: Stage, path: str, tenant: str, headers: dict[str, str]) -> None:
    """A login that is wrong, unknown or another tenant's gets the same late answer; a secret is no password."""
    pbx = Pbx(stage)
    assert pbx.get(path.replace("acme", tenant, 1), headers) == b""
    answer = pbx.wait(FIRST_DELAY)
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert f'WWW-Authenticate: Basic realm="{tenant}", charset="UTF-8"'.encode() in answer
    assert answer.endswith(b"\r\n\r\nName or password is wrong.\n")
    assert [guard for guard in GUARDS if guard not in answer] == []
    assert pbx.ask(basic(), number="0307654321").endswith(b"\r\n\r\nBob Bauer")


@pytest.mark.parametrize("path", WITH_SECRET.values(), ids=WITH_SECRET)
@pytest.mark.parametrize(
    ("tenant", "secret"),
    [
        ("acme", f"pbx.{SECRET[:-1]}0"),
        ("acme", f"other.pbx.{SECRET}"),
        ("acme", f"nobody.{SECRET}"),
        ("acme", SECRET),
        ("acme", "hall."),
        ("acme", f"pbx.{PASSWORD}"),
        ("globex", f"pbx.{SECRET}"),
    ],
    ids=["wrong", "of globex", "unknown", "nameless", "empty", "a password", "at globex"],
)
def test_a_wrong_secret(stage: Stage, path: str, tenant: str, secret: str) -> None:
    """A wrong secret is answered as late as a wrong login; the password of a phone is no secret of an address."""
    pbx = Pbx(stage)
    assert pbx.get(path.replace("acme", tenant, 1).format(secret=secret), {}) == b""
    answer = pbx.wait(FIRST_DELAY)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"Anna" not in answer
    assert [guard for guard in GUARDS if guard not in answer] == []


@pytest.mark.parametrize("path", WITH_LOGIN.values(), ids=WITH_LOGIN)
@pytest.mark.parametrize("authorization", ["", "Digest x", "Basic x", "Bearer x"])
def test_no_login(browser: Browser, path: str, authorization: str) -> None:
    """A request without a login is no guess, and is answered at once: most clients ask first without a login."""
    answer = browser.get(path, {"Authorization": authorization} if authorization else {})
    assert (answer.status, answer.body) == (401, "This needs the login of a phone.\n")
    assert answer.headers["www-authenticate"] == ['Basic realm="acme", charset="UTF-8"']


def test_a_wrong_password_is_noted(stage: Stage) -> None:
    """The phone's page has the wrong password; the right password at another tenant's address is not noted there."""
    Pbx(stage).ask(basic("pbx", "wrong"))
    Pbx(stage).ask(basic(), "globex")
    assert [name for name, _ in stage.refused_logins._noted] == ["pbx"]


def test_guessing_becomes_slow(stage: Stage) -> None:
    """Delays grow as they do over LDAP, and a second connection is answered no sooner."""
    guesser = Pbx(stage)
    for wait in (FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY):
        assert guesser.ask(basic("pbx", "wrong")) == b""
        assert guesser.wait(wait - 0.01) == b""
        assert b" 401 " in guesser.wait(0.02)
    guesser.ask(basic("pbx", "wrong"))
    another = Pbx(stage)
    another.ask(basic("pbx", "wrong"))
    assert another.wait(7.9) == b""
    assert b" 401 " in another.wait(0.2)
    assert Pbx(stage).ask(basic()).endswith(b"Anna Berg")


@pytest.mark.parametrize(
    ("peer", "headers", "is_served"),
    [
        ("127.0.0.1", {}, True),
        ("192.0.2.1", {}, False),
        ("192.0.2.1", {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}, False),
        ("192.0.2.9", {}, False),
        ("192.0.2.9", {"X-Forwarded-For": "192.0.2.1"}, True),
        ("192.0.2.9", {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}, True),
        ("192.0.2.9", {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}, False),
        ("192.0.2.9", {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http\r\nX-Forwarded-Proto: http"}, False),
    ],
)
def test_a_login_in_clear(stage: Stage, peer: str, headers: dict[str, str], is_served: bool) -> None:
    """The gateway refuses a login that came unencrypted; 192.0.2.9 is a trusted proxy."""
    stage.trusts = lambda address: address == "192.0.2.9"
    answer = Pbx(stage, peer).ask(basic() | headers)
    assert answer.startswith(b"HTTP/1.1 200" if is_served else b"HTTP/1.1 403")
    assert answer.endswith(
        b"Anna Berg" if is_served else b"a proxy that ends TLS has to be in [web] trusted_proxies.\n"
    )


@pytest.mark.parametrize("path", [*WITH_LOGIN.values(), *WITH_SECRET.values()])
def test_each_address_in_clear(stage: Stage, path: str) -> None:
    """Neither a login nor a secret may cross the network unencrypted."""
    answer = Pbx(stage, "192.0.2.1").get(path.format(secret=f"pbx.{SECRET}"), basic())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"a proxy that ends TLS has to be in [web] trusted_proxies.\n")


def test_nobody_knows_the_logins(stage: Stage, browser: Browser) -> None:
    """A gateway that has served too long without its database answers 503, and calls no login wrong."""
    stage.catalog.publish(replace(stage.catalog.snapshot, logins={}, freshness=Freshness.EXPIRED), ())
    for answer in (browser.get(CALLER, basic()), browser.get("/acme/book/pbx.secret/snom.xml")):
        assert (answer.status, answer.body) == (503, "Not now: the gateway cannot read its database.\n")


@pytest.mark.parametrize(
    ("authorization", "credentials"),
    [
        ("basic cGJ4OmE6Yg==", HttpCredentials("pbx", b"a:b")),
        ("BASIC  cGJ4OnDDpHNz ", HttpCredentials("pbx", "päss".encode())),
        ("Bearer a.b.c", HttpCredentials("a.b", b"c")),
        ("Basic cGJ4", None),
        ("Basic cGJ4Og", None),
        ("Basic ü", None),
        ("Bearer pbx", None),
        ("", None),
    ],
)
def test_credentials(authorization: str, credentials: HttpCredentials | None) -> None:
    assert read_credentials(authorization) == credentials
    assert repr(HttpCredentials("pbx", b"secret")) == "<HttpCredentials>"

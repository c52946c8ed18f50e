# SPDX-License-Identifier: MIT
"""The played browser, on a small gateway that keeps its state in a cookie and on the sandbox."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, quote

import pytest
from treq.testing import StubTreq
from twisted.web.resource import Resource

from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL, REDIRECT_URIS
from ldapgw.google.sandbox.world import World
from tests.support.browser import LostInBrowser, Visit, consent, open_page, read_forms, submit
from tests.support.results import result_of
from tests.support.sandbox_client import CONTACTS, DIRECTORY, authorization_path

GATEWAY = "http://localhost:8080"
# A page with a form that leaves a choice open.
HALF = (
    b"<form action=/done><input name=a value=1>"
    b"<label><input type=radio name=x value=alice@acme.example></label><button>Continue</button></form>"
)
TWO = f"openid email {CONTACTS} {DIRECTORY}"


class Gateway(Resource):
    """Gateway and sandbox in one site: the gateway has /connect and the callback, the sandbox the rest."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.isLeaf = True
        self._google = sandbox(world)
        self._pages = {
            b"/connect": self._connect,
            b"/oauth/callback": self._callback,
            b"/done": self._done,
            b"/round": lambda request: _redirect(request, "/round"),
            b"/half": lambda _: HALF,
        }

    def render(self, request: Any) -> Any:
        return self._pages.get(request.path, self._google.render)(request)

    def _connect(self, request: Any) -> bytes:
        request.addCookie("flow", "the browser's own", path="/", httpOnly=True)
        return _redirect(request, f"http://127.0.0.1:9000{authorization_path(scope=TWO)}")

    def _callback(self, request: Any) -> bytes:
        query = parse_qs(request.uri.partition(b"?")[2].decode())
        outcome = query.get("error", query.get("scope", [""]))[0]
        cookie = (request.getCookie(b"flow") or b"none").decode()
        return _redirect(request, f"/done?outcome={quote(outcome)}&cookie={quote(cookie)}")

    def _done(self, request: Any) -> bytes:
        return json.dumps({name.decode(): values[0].decode() for name, values in request.args.items()}).encode()


def _redirect(request: Any, location: str) -> bytes:
    request.setResponseCode(303)
    request.setHeader("Location", location)
    return b""


@pytest.fixture
def http(world: World) -> StubTreq:
    return StubTreq(Gateway(world))


def travel(http: StubTreq, **wishes: Any) -> Visit:
    visit: Visit = result_of(consent(http, f"{GATEWAY}/connect", **wishes))
    return visit


@pytest.mark.parametrize(
    ("tick", "outcome"),
    [(None, TWO), ((), "openid email"), ((DIRECTORY,), f"openid email {DIRECTORY}")],
    ids=["every box", "no box", "one box"],
)
def test_consent(http: StubTreq, tick: tuple[str, ...] | None, outcome: str) -> None:
    """From the gateway over the consent page back to the gateway, with the cookie that it set."""
    visit = travel(http, account=ALICE, tick=tick)
    assert visit.status == 200
    assert visit.url.startswith(f"{GATEWAY}/done?")
    assert json.loads(visit.body) == {"outcome": outcome, "cookie": "the browser's own"}


def test_cancel(http: StubTreq) -> None:
    """Cancel goes back with access_denied."""
    assert json.loads(travel(http, account=BOB, cancel=True).body)["outcome"] == "access_denied"


def test_account_that_is_not_there(http: StubTreq) -> None:
    """A person who does not find the account is lost."""
    with pytest.raises(LostInBrowser, match="does not offer the account"):
        travel(http, account="nobody@acme.example")


def test_error_page_on_the_way(http: StubTreq, world: World) -> None:
    """An error page of Google's is where the browser ends."""
    world.set_client(state="deleted")
    visit = travel(http, account=ALICE)
    assert (visit.status, visit.url.startswith("http://127.0.0.1:9000/o/oauth2/")) == (401, True)
    assert "deleted_client" in visit.body


def test_silent_way_back(http: StubTreq) -> None:
    """Where Google shows no page, the browser simply arrives."""
    travel(http, account=CAROL)
    url = f"http://127.0.0.1:9000{authorization_path(prompt='none')}"
    visit = result_of(consent(http, url, account=CAROL))
    assert json.loads(visit.body)["outcome"] == "interaction_required"
    assert visit.url.startswith(REDIRECT_URIS[0].removesuffix("/oauth/callback"))


def test_page_without_a_way_to_refuse(http: StubTreq) -> None:
    """A person who wants to cancel and finds no button is lost; one who agrees sends the form, by GET too."""
    with pytest.raises(LostInBrowser, match="has no button cancel"):
        result_of(consent(http, f"{GATEWAY}/half", account=ALICE, cancel=True))
    agreed = result_of(consent(http, f"{GATEWAY}/half", account=ALICE))
    assert agreed.url == f"{GATEWAY}/done?a=1&x=alice%40acme.example"
    page = result_of(open_page(http, f"{GATEWAY}/half"))
    assert json.loads(result_of(submit(http, page, read_forms(page.body)[0], [("b", "2")])).body) == {"b": "2"}


def test_endless_redirects(http: StubTreq) -> None:
    """Redirects that do not end are not followed for ever."""
    with pytest.raises(LostInBrowser, match="20 redirects and no page"):
        result_of(open_page(http, f"{GATEWAY}/round"))


def test_forms_are_read_as_a_person_sees_them() -> None:
    """Labels and buttons give controls their texts; what is outside a form is none."""
    page = """<input name=outside><form action="/a"><label>First <b>one</b> <input type=checkbox name=c checked></label>
    <input type=submit name=s value=Go></form><form method=POST><button name=b value=1>Press &amp; go</button></form>"""
    first, second = read_forms(page)
    assert (first.action, first.method, second.action, second.method) == ("/a", "get", "", "post")
    box, go = first.controls
    assert (box.kind, box.name, box.value, box.checked, box.text) == ("checkbox", "c", "on", True, "First one")
    assert (go.kind, go.name, go.value) == ("submit", "s", "Go")
    assert [(c.kind, c.name, c.value, c.text) for c in second.controls] == [("submit", "b", "1", "Press & go")]

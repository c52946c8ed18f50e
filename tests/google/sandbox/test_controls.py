# SPDX-License-Identifier: MIT
"""Scripts use the controls with JSON, and people use them with forms."""

from __future__ import annotations

import html
from typing import Any

import pytest

from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS
from ldapgw.google.sandbox.world import World
from tests.support.browser import read_forms
from tests.support.sandbox_client import START, Google

PERSON = {"names": [{"givenName": "Neu"}], "phoneNumbers": [{"value": "+49 30 23125 990"}]}


def persons(google: Google, account: str = ALICE, source: str = "") -> list[dict[str, Any]]:
    path = f"/sandbox/persons?account={account}&source={source}"
    return google.request("GET", path, headers={"Accept": "application/json"}).json["persons"]


def test_state(google: Google, world: World) -> None:
    """The state shows everything except for secrets and tokens."""
    tokens = google.connect()
    world.faults.inject("error_internal_500", times=3, account=BOB, path="/v1/otherContacts", after=1)
    answer = google.request("GET", "/sandbox/state")
    state = answer.json
    assert state.keys() == {
        *("time", "accounts", "clients", "service_accounts", "groups", "calls", "faults", "known_faults")
    }
    assert state["time"] == START
    assert [account["persons"] for account in state["accounts"]] == [
        {"contacts": 300, "other_contacts": 6, "directory": 25},
        {"contacts": 40, "other_contacts": 0, "directory": 25},
        {"contacts": 12, "other_contacts": 0},
    ]
    assert state["clients"] == [
        {"client_id": CLIENT_ID, "state": "ok", "audience": "external", "redirect_uris": list(REDIRECT_URIS)}
    ]
    assert state["calls"] == {"/o/oauth2/v2/auth": 1, "/token": 1}
    fault = {"name": "error_internal_500", "times": 3, "after": 1, "account": BOB, "path": "/v1/otherContacts"}
    assert state["faults"] == [fault]
    assert not any(secret in answer.text for secret in (CLIENT_SECRET, tokens["access_token"], tokens["refresh_token"]))


def test_person_is_added_changed_moved_and_deleted(google: Google) -> None:
    """The test uses JSON for each step of a person's life."""
    name = google.control("add-person", account=ALICE, person=PERSON).json["resourceName"]
    added = persons(google)[-1]
    assert (added["resourceName"], added["names"][0]["displayName"]) == (name, "Neu")
    assert added["memberships"][0]["contactGroupMembership"]["contactGroupId"] == "myContacts"
    changes = {"names": [{"givenName": "Alt"}], "phoneNumbers": None}
    assert google.control("change-person", account=ALICE, resourceName=name, person=changes).json == {}
    changed = persons(google)[-1]
    assert (changed["names"][0]["displayName"], "phoneNumbers" in changed) == ("Alt", False)
    moved = google.control("move-person", account=ALICE, resourceName=name).json["resourceName"]
    assert google.control("delete-person", account=ALICE, resourceName=moved).status == 200
    assert len(persons(google)) == 300


@pytest.mark.parametrize(("source", "before"), [("other_contacts", 6), ("directory", 25)])
def test_other_sources(google: Google, source: str, before: int) -> None:
    """Other contacts and colleagues are added the same way. The directory belongs to the whole Workspace."""
    google.control("add-person", account=ALICE, source=source, person=PERSON)
    assert len(persons(google, ALICE, source)) == before + 1
    assert len(persons(google, BOB, source)) == (26 if source == "directory" else 0)


def test_short_form(google: Google) -> None:
    """The page's form needs no JSON, and leads back to the list."""
    given = {"account": CAROL, "source": "contacts", "givenName": "Zoë", "familyName": "", "company": "Zoo"}
    answer = google.form("/sandbox/add-person", **given, number="+49 40 66969 299")
    assert (answer.status, answer.header("location")) == (
        303,
        "/sandbox/persons?account=carol.private%40gmail.example&source=contacts",
    )
    added = persons(google, CAROL)[-1]
    assert added["organizations"][0]["name"] == "Zoo"
    assert (added["phoneNumbers"][0]["type"], added["phoneNumbers"][0]["canonicalForm"]) == ("work", "+494066969299")


def test_every_control_turns_the_world(google: Google) -> None:
    """The test uses the controls of faults, tokens, consent, client and time."""
    tokens = google.connect()
    sync = google.connections(tokens["access_token"]).json["nextSyncToken"]
    google.control("inject-fault", name="error_internal_500", times=1, account=ALICE)
    assert google.connections(tokens["access_token"]).status == 500
    google.control("inject-fault", name="error_internal_500", after="2")
    google.control("clear-faults")
    google.control("expire-sync-tokens")
    assert google.connections(tokens["access_token"], syncToken=sync).status == 400
    google.control("expire-access-tokens", account=ALICE)
    assert google.connections(tokens["access_token"]).status == 401
    google.control("client", state="deleted")
    assert google.refresh(tokens["refresh_token"]).json["error"] == "deleted_client"
    google.control("client", state="ok", audience="testing")
    assert google.refresh(tokens["refresh_token"]).status == 200
    google.control("revoke", account=ALICE)
    assert google.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    google.control("add-redirect-uri", uri="http://localhost:1/cb")
    assert google.authorize(redirect_uri="http://localhost:1/cb").status == 200
    for minutes in (1, 2):
        assert google.control("advance", seconds=60).json == {"time": START + 60 * minutes}


@pytest.mark.parametrize("zero", [0, "0"], ids=["as a number", "as text"])
def test_zero_is_a_number(google: Google, zero: object) -> None:
    """Zero seconds pass no time, zero calls leave no quota, and a fault after zero calls is in the next call."""
    assert google.control("advance", seconds=zero).json == {"time": START}
    assert google.control("quota", calls_per_minute=zero).status == 200
    assert google.connections(google.connect()["access_token"]).status == 429
    assert google.control("quota", calls_per_minute=None).status == 200
    assert google.control("inject-fault", name="error_internal_500", after=zero).status == 200
    assert google.connections(google.connect()["access_token"]).status == 500


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("explode", {}, "explode is no control; the controls are: add-person"),
        ("add-person", {"person": PERSON}, "account: is missing"),
        (
            "add-person",
            {"account": "x@y", "person": PERSON},
            "x@y is no account of the sandbox; its accounts are: alice@acme.example, bob@",
        ),
        (
            "add-person",
            {"account": CAROL, "source": "directory", "person": PERSON},
            "source = directory: expected one of",
        ),
        ("add-person", {"account": ALICE, "person": "{"}, "person: is not JSON"),
        ("add-person", {"account": ALICE, "person": "[" * 100_000}, "person: is not JSON"),
        ("add-person", {"account": ALICE, "person": {"names": "Bob"}}, 'person: "names": expected a list of objects'),
        ("add-person", {"account": ALICE, "person": []}, "person: expected an object"),
        ("add-person", {"account": ALICE}, "person: has no field of a person"),
        ("delete-person", {"account": ALICE, "resourceName": "people/c1"}, "people/c1: is no person of"),
        ("inject-fault", {"name": "error_418"}, "error_418 is no fault"),
        ("inject-fault", {"name": "error_internal_500", "times": "often"}, "times: expected a number"),
        ("inject-fault", {"name": "error_internal_500", "after": -1}, "after = -1: expected 0 or more"),
        ("inject-fault", {"name": "error_internal_500", "account": "x@y"}, "x@y is no account"),
        ("revoke", {}, "account: is missing"),
        ("revoke", {"account": 7}, "account: expected text"),
        ("client", {"state": "lost"}, "client: the audience must be one of"),
        ("client", {"state": "ok", "audience": "all"}, "client: the audience must be one of external, testing"),
        ("client", {"client_id": "nobody", "state": "ok"}, "client_id: is no client"),
        ("add-redirect-uri", {"uri": "http://localhost/", "client_id": "nobody"}, "client_id: is no client"),
        ("advance", {"seconds": -1}, "time only goes forward"),
        ("advance", {"seconds": "nan"}, "seconds: expected a number of at most 316224000"),
        ("advance", {"seconds": "1e400"}, "seconds: expected a number of at most 316224000"),
        ("advance", {}, "seconds: expected a number"),
        ("advance", {"seconds": None}, "seconds: expected a number"),
        ("set-user", {"account": BOB, "suspended": "maybe"}, "suspended: expected true or false"),
        ("set-service-account", {"state": "lost"}, "state = lost: expected one of ok, disabled, deleted"),
        ("replace-key", {"service_account": "x"}, "service_account: is no service account of this sandbox"),
        ("delete-group", {"group": "x@acme.example"}, "x@acme.example: is no group of the sandbox"),
    ],
)
def test_wrong_wishes(google: Google, name: str, arguments: dict[str, Any], problem: str) -> None:
    """An impossible request gets 400 with a line of explanation, in JSON and on the page."""
    answer = google.control(name, **arguments)
    assert answer.status == 400
    assert len(answer.json["problems"]) == 1
    assert answer.json["problems"][0].startswith(problem) or problem in answer.json["problems"][0]
    fields = {key: value for key, value in arguments.items() if isinstance(value, str)}
    if fields == arguments:
        page = google.form(f"/sandbox/{name}", **fields)
        assert (page.status, problem in html.unescape(page.text)) == (400, True)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"], ids=["cut off", "a list", "no text"])
def test_body_that_is_no_json_object(google: Google, body: bytes) -> None:
    """A body of another shape is refused."""
    answer = google.request("POST", "/sandbox/advance", headers={"Content-Type": "application/json"}, data=body)
    assert answer.status == 400


def test_pages(google: Google, world: World) -> None:
    """The front page, control page, lists and person's page show the world. Unknown pages get errors."""
    front = google.request("GET", "/").text
    assert all(address in front for address in (ALICE, BOB, CAROL))
    assert 'token_endpoint = "https://google.example/token"' in front
    assert f'client_id = "{CLIENT_ID}"' in front
    world.faults.inject("broken_silence")
    control = google.request("GET", "/sandbox/").text
    assert "2026-02-02 02:40:00 UTC" in control
    assert "<code>broken_silence</code>" in control
    listed = google.request("GET", f"/sandbox/persons?account={ALICE}").text
    assert "Jörg Müller" in listed
    name = persons(google)[0]["resourceName"]
    shown = google.request("GET", f"/sandbox/person?account={ALICE}&resourceName={name}").text
    assert '"familyName": "Müller"' in html.unescape(shown)
    assert google.request("GET", "/sandbox/person?account=x&resourceName=y").status == 400
    assert google.request("GET", "/sandbox/persons?account=x").status == 400
    assert google.request("GET", "/nowhere").status == 404
    assert google.request("GET", "/token").status == 405


def test_person_is_edited_on_its_page(google: Google) -> None:
    """A person saved without edits changes only in date and etag."""
    before = persons(google)[0]
    page = google.request("GET", f"/sandbox/person?account={ALICE}&resourceName={before['resourceName']}").text
    text = html.unescape(page.split('spellcheck="false">')[1].split("</textarea>")[0])
    saved = google.form("/sandbox/change-person", account=ALICE, resourceName=before["resourceName"], person=text)
    assert saved.status == 303
    after = persons(google)[-1]
    for person in (before, after):
        person["metadata"]["sources"][0].pop("updateTime")
        person["metadata"]["sources"][0].pop("etag")
    assert {**after, "etag": ""} == {**before, "etag": ""}


def test_every_form_of_the_control_page_works(google: Google) -> None:
    """Each form goes to an existing control."""
    page = google.request("GET", "/sandbox/").text
    targets = {form.action for form in read_forms(page)}
    assert targets >= {"/sandbox/inject-fault", "/sandbox/revoke", "/sandbox/client", "/sandbox/advance"}
    for target in targets:
        problem = google.form(target).text
        assert "is no control" not in problem


def test_hostile_names_are_escaped(google: Google, world: World) -> None:
    """A name with markup is text on every page."""
    name = world.add_person(ALICE, {"names": [{"givenName": '<script>alert("x")</script>'}]})
    for path in (f"/sandbox/persons?account={ALICE}", f"/sandbox/person?account={ALICE}&resourceName={name}"):
        answer = google.request("GET", path)
        assert "<script" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert answer.header("x-content-type-options") == "nosniff"

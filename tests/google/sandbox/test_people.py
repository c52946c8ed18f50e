# SPDX-License-Identifier: MIT
"""The tests cover the People API's lists: scopes, parameters, pages, tokens, changes, and contact groups."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import treq
from twisted.web.http_headers import Headers

from ldapgw.google.sandbox.tenant import ALICE, CAROL
from ldapgw.google.sandbox.world import World
from tests.google.sandbox.lists import (
    ALL,
    COLLEAGUES,
    CONNECTIONS,
    DOMAIN,
    GROUPS,
    KEYS,
    OTHERS,
    QUERIES,
    SIZES,
    pages,
    problem,
)
from tests.support.google_changes import delete_label
from tests.support.results import result_of
from tests.support.sandbox_client import BASE, CONTACTS, DIRECTORY, MASK, OTHER, Clock, Google

# --- Permission -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", QUERIES)
def test_no_token_no_list(google: Google, path: str) -> None:
    """A missing or invalid token gets 401 with Google's reasons."""
    answer = google.people(path, "", **QUERIES[path])
    assert problem(answer) == (401, "UNAUTHENTICATED", ["CREDENTIALS_MISSING"])
    assert answer.header("www-authenticate") == 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    assert problem(google.people(path, "made-up", **QUERIES[path]))[2] == ["ACCESS_TOKEN_EXPIRED"]


@pytest.mark.parametrize(
    ("path", "granted", "missing"),
    [
        (CONNECTIONS, OTHER, CONTACTS),
        (OTHERS, CONTACTS, OTHER),
        (COLLEAGUES, CONTACTS, DIRECTORY),
        (GROUPS, OTHER, CONTACTS),
    ],
    ids=KEYS.values(),
)
def test_scope_is_needed(google: Google, path: str, granted: str, missing: str) -> None:
    """A token without the list's scope gets 403, which names the scope."""
    token = google.connect(scope=f"openid {granted}")["access_token"]
    answer = google.people(path, token, **QUERIES[path])
    assert problem(answer) == (403, "PERMISSION_DENIED", ["ACCESS_TOKEN_SCOPE_INSUFFICIENT"])
    assert f'scope="{missing}"' in answer.header("www-authenticate")


def test_consumer_has_no_directory(google: Google) -> None:
    """A gmail.com account's directory is refused with Google's own words."""
    token = google.connect(CAROL, scope=ALL)["access_token"]
    answer = google.people(COLLEAGUES, token, **QUERIES[COLLEAGUES])
    assert answer.status == 400
    assert answer.json["error"]["message"] == "Must be a G Suite domain user."
    assert google.people(OTHERS, token, **QUERIES[OTHERS]).json.keys() == {"nextSyncToken"}


# --- Parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        (CONNECTIONS, {"personFields": ""}, "personFields mask is required"),
        (CONNECTIONS, {"personFields": "names,nope"}, 'Invalid personFields mask path: "nope".'),
        (CONNECTIONS, {"personFields": "fileAses"}, 'Invalid personFields mask path: "fileAses".'),
        (CONNECTIONS, {"pageSize": "1001"}, "Page size must be between 1 and 1000."),
        (CONNECTIONS, {"pageSize": "-1"}, "Invalid value at 'page_size'"),
        (CONNECTIONS, {"requestSyncToken": "yes"}, "Invalid value at 'requestSyncToken'"),
        (CONNECTIONS, {"sources": "CONTACT"}, "Invalid value at 'sources'"),
        (CONNECTIONS, {"sortOrder": "LAST_MODIFIED_DESCENDING"}, "LAST_MODIFIED_ASCENDING"),
        (CONNECTIONS, {"readMask": "names"}, 'Unknown name "readMask"'),
        (CONNECTIONS, {"pageToken": "made up"}, "Request contains an invalid argument."),
        (CONNECTIONS, {"syncToken": "made up"}, "Request contains an invalid argument."),
        (CONNECTIONS, {"syncToken": "ä"}, "Request contains an invalid argument."),
        (OTHERS, {"readMask": "names,organizations"}, 'Invalid readMask mask path: "organizations".'),
        (OTHERS, {"sources": "READ_SOURCE_TYPE_PROFILE"}, "READ_SOURCE_TYPE_CONTACT is required"),
        (COLLEAGUES, {"sources": []}, "sources is required"),
        (COLLEAGUES, {"sources": "READ_SOURCE_TYPE_CONTACT"}, "Invalid value at 'sources'"),
        (GROUPS, {"groupFields": "names"}, 'Invalid groupFields mask path: "names".'),
        (GROUPS, {"requestSyncToken": "true"}, 'Unknown name "requestSyncToken"'),
    ],
)
def test_wrong_parameters(google: Google, token: str, path: str, changes: dict[str, Any], message: str) -> None:
    """A wrong parameter gets 400 INVALID_ARGUMENT."""
    answer = google.people(path, token, **(QUERIES[path] | changes))
    assert problem(answer) == (400, "INVALID_ARGUMENT", [])
    assert message in answer.json["error"]["message"]


def test_mask_is_respected(google: Google, token: str) -> None:
    """Fields outside the mask are left out, even metadata. The resource name and etag are always there."""
    persons = google.connections(token, personFields="names").json["connections"]
    assert {field for person in persons for field in person} == {"resourceName", "etag", "names"}
    persons = google.connections(token, personFields="organizations.name,metadata").json["connections"]
    assert {field for person in persons for field in person} == {"resourceName", "etag", "metadata", "organizations"}


def test_other_contacts_may_have_more_fields_with_profiles(google: Google, token: str) -> None:
    """The source PROFILE allows all fields."""
    sources = ["READ_SOURCE_TYPE_CONTACT", "READ_SOURCE_TYPE_PROFILE"]
    answer = google.people(OTHERS, token, readMask="names,organizations", sources=sources)
    assert (answer.status, len(answer.json["otherContacts"])) == (200, 6)


def test_sources_choose_items(google: Google, token: str, world: World) -> None:
    """A merged person shows only the items of the requested sources."""
    merged = {
        "resourceName": "people/c1",
        "metadata": {"sources": [{"type": "CONTACT", "id": "1"}, {"type": "PROFILE", "id": "2"}]},
        "names": [
            {"metadata": {"primary": True, "source": {"type": "CONTACT", "id": "1"}}, "displayName": "Typed"},
            {"metadata": {"source": {"type": "PROFILE", "id": "2"}}, "displayName": "Profile"},
        ],
    }
    world.add_person(ALICE, merged)

    def names(**query: Any) -> list[str]:
        persons = google.connections(token, **query).json["connections"]
        return [name["displayName"] for p in persons if p["resourceName"] == "people/c1" for name in p["names"]]

    assert names() == ["Typed", "Profile"]
    assert names(sources=["READ_SOURCE_TYPE_CONTACT"]) == ["Typed"]
    only = google.connections(token, sources=["READ_SOURCE_TYPE_PROFILE"]).json["connections"]
    assert [person["resourceName"] for person in only] == ["people/c1"]


def test_directory_sources(google: Google, token: str) -> None:
    """The directory lists profiles or shared contacts, as requested."""
    profiles = google.people(COLLEAGUES, token, readMask="metadata", sources=DOMAIN[1]).json["people"]
    contacts = google.people(COLLEAGUES, token, readMask="metadata,names", sources=DOMAIN[0]).json["people"]
    assert len(profiles) == 24
    assert [person["names"][0]["displayName"] for person in contacts] == ["Sicherheitsdienst Nachtwache"]


@pytest.mark.parametrize(
    ("accept", "agent", "encoding"),
    [("gzip", "ldapgw/1.0 (gzip)", "gzip"), ("gzip", "ldapgw/1.0", ""), ("identity", "gzip", "")],
    ids=["both", "no gzip in User-Agent", "not accepted"],
)
def test_gzip_needs_both_headers(google: Google, token: str, accept: str, agent: str, encoding: str) -> None:
    """Google compresses if Accept-Encoding and User-Agent both say gzip."""
    headers = {"Authorization": [f"Bearer {token}"], "Accept-Encoding": [accept], "User-Agent": [agent]}
    url = f"{BASE}{CONNECTIONS}?personFields=names".encode()
    # The test uses the bare agent, because treq would ask for gzip and decode the body.
    response = result_of(google.http._agent.request(b"GET", url, Headers(headers)))
    assert response.headers.getRawHeaders("content-encoding", [""]) == [encoding]
    pieces: list[bytes] = []
    result_of(treq.collect(response, pieces.append))
    body = b"".join(pieces)
    assert json.loads(gzip.decompress(body) if encoding else body)["connections"]


# --- Pages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", QUERIES)
def test_all_in_one_page(google: Google, token: str, path: str) -> None:
    """A page with everybody has the sync token and no next page token."""
    answer = google.people(path, token, **QUERIES[path], pageSize="1000")
    assert answer.header("content-type") == "application/json; charset=UTF-8"
    assert len(answer.json[KEYS[path]]) == SIZES[path]
    totals = {
        CONNECTIONS: {"totalItems", "totalPeople"},
        OTHERS: {"totalSize"},
        COLLEAGUES: set(),
        GROUPS: {"totalItems"},
    }
    assert answer.json.keys() == {KEYS[path], "nextSyncToken", *totals[path]}
    assert all(answer.json[key] == SIZES[path] for key in totals[path])


@pytest.mark.parametrize("size", [1, 2, 6, 7, 1000])
def test_pages_hold_everybody_once(google: Google, token: str, size: int) -> None:
    """Each person comes once at any page size. Only the last page has the sync token."""
    found = pages(google, token, OTHERS, **QUERIES[OTHERS], pageSize=str(size))
    assert [len(page["otherContacts"]) for page in found] == [min(size, 6 - at) for at in range(0, 6, size)]
    names = [person["resourceName"] for page in found for person in page["otherContacts"]]
    assert len(set(names)) == len(names) == 6
    assert ["nextSyncToken" in page for page in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(("path", "size"), [(CONNECTIONS, 100), (GROUPS, 11)], ids=["connections", "groups"])
@pytest.mark.parametrize("given", [{}, {"pageSize": "0"}], ids=["absent", "zero"])
def test_default_page_size(
    google: Google, token: str, world: World, path: str, size: int, given: dict[str, str]
) -> None:
    """A page without a size has 100 persons or 30 groups."""
    assert len(google.people(path, token, **QUERIES[path], **given).json[KEYS[path]]) == size
    for number in range(30):
        world.add_label(ALICE, f"Label {number}")
    assert len(google.people(GROUPS, token, **given).json["contactGroups"]) == 30


def test_changes_between_pages_lose_nobody(google: Google, token: str, world: World) -> None:
    """A person changed between pages comes again, and the next delta has the deletion."""
    query = QUERIES[OTHERS] | {"pageSize": "2"}
    first = google.people(OTHERS, token, **query).json
    one, two = (person["resourceName"] for person in first["otherContacts"])
    world.change_person(ALICE, one, {"names": [{"givenName": "Changed"}]})
    world.delete_person(ALICE, two)
    rest = pages(google, token, OTHERS, **query, pageToken=first["nextPageToken"])
    later = [person for page in rest for person in page["otherContacts"]]
    assert len(later) == 5
    assert [p["names"][0]["displayName"] for p in later if p["resourceName"] == one] == ["Changed"]
    delta = pages(google, token, OTHERS, **query, syncToken=rest[-1]["nextSyncToken"])
    told = {p["resourceName"]: p["metadata"].get("deleted", False) for d in delta for p in d["otherContacts"]}
    assert told == {one: False, two: True}


@pytest.mark.parametrize(
    "changes",
    [
        {"personFields": "metadata"},
        {"pageSize": "11"},
        {"requestSyncToken": "false"},
        {"sources": "READ_SOURCE_TYPE_CONTACT"},
    ],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.parametrize("kind", ["page", "sync"])
def test_tokens_are_bound_to_their_parameters(google: Google, token: str, kind: str, changes: dict[str, str]) -> None:
    """Changed parameters make a token invalid. The order of the mask and the format of the answer do not count."""
    query = {
        "personFields": "metadata,names",
        "pageSize": "10" if kind == "page" else "1000",
        "requestSyncToken": "true",
    }
    page = google.people(CONNECTIONS, token, **query).json
    given = {"pageToken": page["nextPageToken"]} if kind == "page" else {"syncToken": page["nextSyncToken"]}
    assert problem(google.people(CONNECTIONS, token, **(query | given | changes))) == (400, "INVALID_ARGUMENT", [])
    same = query | {"personFields": "names,metadata", "prettyPrint": "false"}
    assert google.people(CONNECTIONS, token, **same, **given).status == 200


def test_tokens_are_bound_to_account_and_list(google: Google, token: str) -> None:
    """A token is bound to its account, its list and its kind."""
    page = google.connections(token, pageSize="10").json["nextPageToken"]
    carol = google.connect(CAROL, scope=ALL)["access_token"]
    assert google.connections(carol, pageSize="10", pageToken=page).status == 400
    assert google.connections(token, pageSize="10", syncToken=page).status == 400
    sync = google.connections(token).json["nextSyncToken"]
    assert google.connections(token, pageToken=sync).status == 400
    assert google.people(OTHERS, token, readMask=MASK, requestSyncToken="true", syncToken=sync).status == 400


def test_token_is_opaque_and_cannot_be_made(google: Google, token: str) -> None:
    """A token with a changed sign is invalid."""
    sync = google.connections(token).json["nextSyncToken"]
    forged = sync[:-6] + ("A" if sync[-6] != "A" else "B") + sync[-5:]
    assert problem(google.connections(token, syncToken=forged)) == (400, "INVALID_ARGUMENT", [])


def test_page_tokens_expire(google: Google, token: str, clock: Clock) -> None:
    """A page token is invalid after an hour."""
    page = google.connections(token, pageSize="10").json["nextPageToken"]
    clock.now += 3601
    fresh = google.connect(scope=ALL)["access_token"]
    assert google.connections(fresh, pageSize="10", pageToken=page).status == 400


# --- Incremental lists ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", QUERIES)
def test_quiet_delta_has_no_list(google: Google, token: str, path: str) -> None:
    """A delta without changes has only a new sync token."""
    query = QUERIES[path] | {"pageSize": "1000"}
    sync = google.people(path, token, **query).json["nextSyncToken"]
    for _ in range(3):
        delta = google.people(path, token, **query, syncToken=sync).json
        assert delta.keys() == {"nextSyncToken"}
        sync = delta["nextSyncToken"]


def test_delta_tells_changes_whole_and_deletions(google: Google, token: str, world: World) -> None:
    """Added and changed persons come whole, and deleted persons as deleted. The next delta is empty."""
    full = google.connections(token).json
    changed, deleted = (person["resourceName"] for person in full["connections"][:2])
    world.change_person(ALICE, changed, {"phoneNumbers": [{"value": "+49 30 23125 999", "type": "work"}]})
    world.change_person(ALICE, changed, {"nicknames": [{"value": "Jo"}]})
    world.delete_person(ALICE, deleted)
    added = world.add_person(ALICE, {"names": [{"givenName": "Neu", "familyName": "Hinzu"}]})
    delta = google.connections(token, syncToken=full["nextSyncToken"]).json
    assert delta.keys() == {"connections", "nextSyncToken"}
    first, second, third = delta["connections"]
    assert [first["resourceName"], second["resourceName"], third["resourceName"]] == [changed, deleted, added]
    assert first["names"] == full["connections"][0]["names"]
    assert [number["canonicalForm"] for number in first["phoneNumbers"]] == ["+493023125999"]
    assert first["etag"] != full["connections"][0]["etag"]
    assert second["metadata"]["deleted"] is True
    assert "names" not in second
    assert third["names"][0]["displayNameLastFirst"] == "Hinzu, Neu"
    assert google.connections(token, syncToken=delta["nextSyncToken"]).json.keys() == {"nextSyncToken"}


def test_a_change_keeps_identity_and_the_rest(world: World) -> None:
    """A change gives a new etag and date. The resource name and the source stay."""
    person = next(iter(world.account(ALICE).contacts))
    name = person["resourceName"]
    world.change_person(ALICE, name, {"resourceName": "people/c0", "metadata": {}, "nicknames": [{"value": "Jo"}]})
    changed = world.person(ALICE, name)
    assert changed["metadata"]["sources"][0]["id"] == person["metadata"]["sources"][0]["id"]
    assert changed["metadata"]["sources"][0]["updateTime"] == "2026-02-02T02:40:00.000000Z"
    assert changed["etag"] != person["etag"]
    assert "nicknames" not in person
    assert {**changed, "etag": 0, "metadata": 0, "nicknames": 0} == {**person, "etag": 0, "metadata": 0, "nicknames": 0}


def test_deltas_are_paged(google: Google, token: str, world: World) -> None:
    """A long delta has pages, and the page tokens are bound to the sync token."""
    query = QUERIES[OTHERS] | {"pageSize": "2"}
    sync = pages(google, token, OTHERS, **query)[-1]["nextSyncToken"]
    for number in range(5):
        world.add_person(ALICE, {"emailAddresses": [{"value": f"{number}@mail.example"}]}, "other_contacts")
    found = pages(google, token, OTHERS, **query, syncToken=sync)
    assert [len(page["otherContacts"]) for page in found] == [2, 2, 1]
    assert [page["totalSize"] for page in found] == [11, 11, 11]
    lost = google.people(OTHERS, token, **query, pageToken=found[0]["nextPageToken"])
    assert problem(lost) == (400, "INVALID_ARGUMENT", [])
    again = pages(google, token, OTHERS, **query, syncToken=found[-1]["nextSyncToken"])
    assert again[0].keys() == {"nextSyncToken"}


def test_moved_person_tells_its_former_name(google: Google, token: str, world: World) -> None:
    """Only a delta names the previous resource name, and the former name is not listed as deleted."""
    full = google.connections(token).json
    old = full["connections"][0]
    new = world.move_person(ALICE, old["resourceName"])
    (moved,) = google.connections(token, syncToken=full["nextSyncToken"]).json["connections"]
    assert moved["resourceName"] == new != old["resourceName"]
    assert moved["metadata"]["previousResourceNames"] == [old["resourceName"]]
    assert moved["metadata"]["sources"][0]["id"] == old["metadata"]["sources"][0]["id"]
    again = google.connections(token).json["connections"]
    assert len(again) == 300
    assert "previousResourceNames" not in again[-1]["metadata"]


def test_sync_token_expires_seven_days_after_the_full_sync(google: Google, token: str, clock: Clock) -> None:
    """Incremental syncs do not extend the token's life. An expired token gets EXPIRED_SYNC_TOKEN."""
    sync = google.connections(token).json["nextSyncToken"]
    clock.now += 6 * 86400
    fresh = google.connect(scope=ALL)["access_token"]
    sync = google.connections(fresh, syncToken=sync).json["nextSyncToken"]
    clock.now += 86401
    fresh = google.connect(scope=ALL)["access_token"]
    expired = google.connections(fresh, syncToken=sync)
    assert problem(expired) == (400, "INVALID_ARGUMENT", ["EXPIRED_SYNC_TOKEN"])
    assert google.connections(fresh).json["nextSyncToken"]


def test_sync_tokens_are_expired_by_hand(google: Google, token: str, world: World) -> None:
    """The control expires an account's tokens of all lists. The next full sync gives a valid token."""
    tokens = {
        path: google.people(path, token, **QUERIES[path], pageSize="1000").json["nextSyncToken"] for path in QUERIES
    }
    world.expire_sync_tokens(CAROL)
    assert google.connections(token, syncToken=tokens[CONNECTIONS]).status == 200
    world.expire_sync_tokens(ALICE)
    for path, sync in tokens.items():
        answer = google.people(path, token, **QUERIES[path], pageSize="1000", syncToken=sync)
        assert problem(answer)[2] == ["EXPIRED_SYNC_TOKEN"]
    sync = google.connections(token).json["nextSyncToken"]
    assert google.connections(token, syncToken=sync).status == 200


def test_empty_account(google: Google, world: World) -> None:
    """A full sync of an empty account has only a sync token."""
    world.add_account("new@acme.example", "New", "Comer", hd="acme.example")
    token = google.connect("new@acme.example")["access_token"]
    assert google.connections(token).json.keys() == {"nextSyncToken"}
    assert google.people(CONNECTIONS, token, personFields=MASK).json == {}


# --- Contact groups -------------------------------------------------------------------------------------------------


def test_groups(google: Google, token: str, world: World) -> None:
    """The list has system groups and labels, and counts the members of groups with members."""
    groups = {group["name"]: group for group in google.people(GROUPS, token).json["contactGroups"]}
    assert set(groups) == {
        *("myContacts", "starred", "friends", "family", "coworkers", "blocked", "all", "chatBuddies"),
        *("Customers", "Suppliers", "Family"),
    }
    mine, customers = groups["myContacts"], groups["Customers"]
    assert mine == {
        "resourceName": "contactGroups/myContacts",
        "groupType": "SYSTEM_CONTACT_GROUP",
        "name": "myContacts",
        "formattedName": "My Contacts",
        "memberCount": 299,
    }
    assert "memberCount" not in groups["friends"]
    assert customers.keys() == {"resourceName", "etag", "groupType", "name", "formattedName", "metadata", "memberCount"}
    members = [p for p in world.account(ALICE).contacts if customers["resourceName"] in str(p.get("memberships"))]
    assert customers["memberCount"] == len(members) > 20
    assert groups["all"]["memberCount"] == 300


def test_group_fields(google: Google, token: str) -> None:
    """The parameter groupFields is a mask, and binds the sync token."""
    answer = google.people(GROUPS, token, groupFields="name").json
    assert {key for group in answer["contactGroups"] for key in group} == {
        "resourceName",
        "etag",
        "name",
        "formattedName",
    }
    assert google.people(GROUPS, token, syncToken=answer["nextSyncToken"]).status == 400


def test_group_deltas(google: Google, token: str, world: World) -> None:
    """The delta lists added and deleted labels. The members of a deleted label count as changed."""
    groups, persons = google.people(GROUPS, token).json, google.connections(token).json
    label = next(g["resourceName"] for g in groups["contactGroups"] if g["name"] == "Family")
    added = world.add_label(ALICE, "New")
    delete_label(world, ALICE, label)
    delta = google.people(GROUPS, token, syncToken=groups["nextSyncToken"]).json
    assert [(g["resourceName"], g["metadata"].get("deleted", False)) for g in delta["contactGroups"]] == [
        (added, False),
        (label, True),
    ]
    assert delta["totalItems"] == 2
    changed = google.connections(token, syncToken=persons["nextSyncToken"], personFields=MASK).json["connections"]
    assert changed
    assert not any(label in str(person) for person in world.account(ALICE).contacts)

# SPDX-License-Identifier: MIT
"""The tests cover incremental lists of the People API, the life of sync tokens, and contact groups."""

from __future__ import annotations

import pytest

from ldapgw.google.sandbox.tenant import ALICE, CAROL
from ldapgw.google.sandbox.world import World
from tests.google.sandbox.lists import ALL, CONNECTIONS, GROUPS, OTHERS, QUERIES, pages, problem
from tests.support.google_changes import delete_label
from tests.support.sandbox_client import MASK, Clock, Google

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

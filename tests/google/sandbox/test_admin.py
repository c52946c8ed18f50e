# SPDX-License-Identifier: MIT
"""The gateway's own client and plain requests read the Directory API of the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from ldapgw.errors import DelegationRefused
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL
from ldapgw.google.sandbox.workspace import EVERYBODY, GROUPS_SCOPE, USERS_SCOPE, customer_id
from ldapgw.google.sandbox.world import World
from ldapgw.google.workspace import WorkspaceDirectory
from tests.google.double import ENDPOINTS, NOW, clock_at
from tests.support.results import result_of
from tests.support.sandbox_client import CONTACTS, Answer, Google

SALES, INNER, FOREIGN = "sales@acme.example", "inner@acme.example", "team@other.example"


def token_of(world: World, address: str = ALICE, *scopes: str) -> str:
    grantee = Grantee(world.account(address).sub, "1")
    return world.grants.issue_access(grantee, scopes or (USERS_SCOPE, GROUPS_SCOPE))


def read(google: Google, path: str, token: str = "", **query: str) -> Answer:
    return google.people(f"/admin/directory/v1/{path}", token or token_of(google.world), **query)


def users(google: Google, **query: str) -> list[str]:
    found = read(google, "users", **({"customer": "my_customer"} | query)).json
    return [user["primaryEmail"].partition("@")[0] for user in found.get("users", [])]


def reason(answer: Answer) -> tuple[int, str, str]:
    (error,) = answer.json["error"]["errors"]
    return answer.status, error["reason"], error["message"]


def directory(google: Google) -> WorkspaceDirectory:
    return WorkspaceDirectory(google.http, ENDPOINTS, clock_at(NOW))


def test_the_gateway_reads_all_users(google: Google, world: World) -> None:
    """The client reads all pages of the Workspace's users, with state and unit. The consumer account is left out."""
    for number in range(600):
        world.add_account(f"user{number}@acme.example", "Uli", str(number), hd="acme.example")
    world.set_user(BOB, suspended=True, org_unit="/Sales/West")
    listing = result_of(directory(google).users(token_of(world)))
    assert len(listing.users) == 602
    bob = next(user for user in listing.users if user.address == BOB)
    assert (bob.id, bob.name, bob.is_suspended, bob.is_archived) == (
        world.account(BOB).sub,
        "Bob Bergmann",
        True,
        False,
    )
    assert (bob.org_unit, bob.customer_id, bob.is_guest) == ("/Sales/West", customer_id("acme.example"), False)


def test_the_gateway_reads_nested_groups(google: Google, world: World) -> None:
    """The members of inner groups belong to the group. Foreign groups and deleted members do not belong."""
    ids = {address: world.account(address).sub for address in (ALICE, BOB)}
    world.workspaces.set_group(INNER, "Inner", (BOB, FOREIGN, "outsider@other.example", "gone@acme.example"))
    world.workspaces.set_group(FOREIGN, "Team", ("boss@other.example",))
    world.workspaces.set_group(SALES, "Sales", (ALICE, INNER))
    found = result_of(directory(google).group_members(token_of(world), SALES))
    assert found.ids >= set(ids.values())
    assert len(found.ids) == 3
    assert found.customers == frozenset()
    world.workspaces.set_group(INNER, "Inner", (EVERYBODY,))
    found = result_of(directory(google).group_members(token_of(world), SALES))
    assert (found.ids, found.customers) == ({ids[ALICE]}, {customer_id("acme.example")})
    with pytest.raises(DelegationRefused, match="Resource Not Found"):
        result_of(directory(google).group_members(token_of(world), "none@acme.example"))


def test_a_deleted_user_is_no_user(google: Google, world: World) -> None:
    """Neither the list nor the call for a single user finds a deleted user."""
    bob = world.account(BOB).sub
    assert (users(google), read(google, f"users/{bob}").json["primaryEmail"]) == (["alice", "bob"], BOB)
    world.delete_account(BOB)
    assert users(google) == ["alice"]
    assert reason(read(google, f"users/{bob}")) == (404, "notFound", "Resource Not Found: userKey")
    assert reason(read(google, f"users/{world.account(CAROL).sub}"))[:2] == (403, "forbidden")


def test_pages_belong_to_their_call(google: Google) -> None:
    """A page token is good for three days, and only for the same parameters."""
    first = read(google, "users", customer="my_customer", maxResults="1")
    token = first.json["nextPageToken"]
    assert users(google, maxResults="1", pageToken=token) == ["bob"]
    for changes in ({"maxResults": "2"}, {"maxResults": "1", "fields": "users(id)"}):
        assert read(google, "users", customer="my_customer", pageToken=token, **changes).status == 400
    google.world.advance(3 * 86400 + 1)
    assert read(google, "users", customer="my_customer", maxResults="1", pageToken=token).status == 400


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("users", {}, (400, "invalid")),
        ("users", {"customer": "C0other"}, (403, "forbidden")),
        ("users", {"customer": "my_customer", "maxResults": "501"}, (400, "invalid")),
        ("users", {"customer": "my_customer", "colour": "red"}, (400, "invalid")),
        ("users", {"customer": "my_customer", "fields": "users(id,nope)"}, (400, "invalidParameter")),
        ("users", {"customer": "my_customer", "fields": "users(id"}, None),
        ("users", {"customer": "my_customer", "fields": "users)id"}, (400, "invalidParameter")),
        ("users", {"customer": "my_customer", "fields": "users id"}, (400, "invalidParameter")),
        ("groups/none@acme.example/members", {}, (404, "notFound")),
    ],
)
def test_parameters_are_checked(google: Google, path: str, query: dict[str, str], expected: Any) -> None:
    """Each wrong parameter has Google's error. An open bracket in a mask is forgiven."""
    answer = read(google, path, **query)
    assert (reason(answer)[:2] if answer.status != 200 else None) == expected


def test_who_may_read(google: Google, world: World) -> None:
    """The token, the scope and the role of its owner are checked."""
    everybody = {"customer": "my_customer"}
    assert reason(read(google, "users", "nobody", **everybody))[:2] == (401, "authError")
    assert reason(read(google, "users", token_of(world, ALICE, CONTACTS), **everybody))[1] == "insufficientPermissions"
    assert reason(read(google, "users", token_of(world, BOB), **everybody))[1] == "forbidden"
    assert reason(read(google, "users", token_of(world, CAROL), **everybody))[2] == "Domain not found"
    assert read(google, "nothing/at/all/here").status == 404


def test_fields_are_selected(google: Google) -> None:
    """A mask leaves out all other fields, as in Google's partial responses."""
    mask = "users(id,name/fullName)"
    (alice, _) = read(google, "users", customer="my_customer", fields=mask).json["users"]
    assert alice == {"id": google.world.account(ALICE).sub, "name": {"fullName": "Alice Adler"}}

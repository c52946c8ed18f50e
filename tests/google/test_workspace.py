# SPDX-License-Identifier: MIT
"""The Directory API lists all users of a Workspace and the members of groups, and an incomplete list is an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ldapgw.errors import (
    AccessTokenRejected,
    BadResponse,
    DelegationRefused,
    GoogleError,
    GoogleUnavailable,
    QuotaExceeded,
)
from ldapgw.google import workspace
from ldapgw.google.delegation import DelegationRefusal
from ldapgw.google.endpoints import CallSource
from ldapgw.google.workspace import GroupMembers, UserListing, WorkspaceDirectory, WorkspaceUser
from tests.support.results import result_of

from .double import ENDPOINTS, NOW, Answer, Google, clock_at, ok

USERS = "https://admin.googleapis.com/admin/directory/v1/users"
ADA = {
    "id": "100000000000000000001",
    "primaryEmail": "ada@acme.example",
    "name": {"fullName": "Ada Berg"},
    "suspended": False,
    "archived": False,
    "orgUnitPath": "/Sales",
    "customerId": "C0demo1",
}


def error(http: int, reason: str = "", message: str = "", **more: object) -> Answer:
    errors = [{"message": message, "domain": "usageLimits", "reason": reason}] if reason else []
    body = {"error": {"code": http, "message": message, "errors": errors, **more}}
    return http, {"Content-Type": "application/json"}, json.dumps(body).encode()


def users(*answers: Answer) -> tuple[UserListing, Google]:
    google = Google(*answers)
    return result_of(WorkspaceDirectory(google.http, ENDPOINTS, clock_at(NOW)).users("ya29.c..")), google


def members(*answers: Answer) -> tuple[GroupMembers, Google]:
    google = Google(*answers)
    directory = WorkspaceDirectory(google.http, ENDPOINTS, clock_at(NOW))
    return result_of(directory.group_members("ya29.c..", "sales@acme.example")), google


def member(ident: str, kind: str = "USER") -> dict[str, str]:
    return {"id": ident, "type": kind, "role": "MEMBER"}


def test_all_users_are_listed_page_by_page():
    """The list includes suspended and archived users. Users without a known state are named apart."""
    bo = {"id": "2", "primaryEmail": "bo@acme.example", "suspended": True, "archived": True, "isGuestUser": True}
    unknown = {"id": "3", "primaryEmail": "cy@acme.example", "suspended": False}
    odd = {**ADA, "name": {"fullName": "Ada \ud83d Berg"}}
    found, google = users(ok({"users": [odd], "nextPageToken": "p2"}), ok({"users": [bo, unknown]}))
    assert found == UserListing(
        (
            WorkspaceUser(ADA["id"], "ada@acme.example", "Ada \ufffd Berg", False, False, "/Sales", False, "C0demo1"),
            WorkspaceUser("2", "bo@acme.example", "", True, True, "/", True, ""),
        ),
        frozenset({"3"}),
    )
    assert "ada@" not in repr(found)
    first, second = google.requests
    assert (first.url, first.headers["authorization"]) == (USERS, "Bearer ya29.c..")
    assert first.args["customer"] == ["my_customer"]
    assert second.args == {**first.args, "pageToken": ["p2"]}


@pytest.mark.parametrize(
    "answer",
    [
        ok({"kind": "admin#directory#users"}),
        ok({"users": None}),
        ok({"users": [{"id": "1"}]}),
        ok({"users": [{**ADA, "suspended": "no"}]}),
        ok({"users": [{**ADA, "id": "\ud83d"}]}),
        ok([]),
        (200, {}, b"<html>"),
        (403, {}, b"<html>"),
        error(400, "invalid", "Invalid Input"),
    ],
)
def test_a_damaged_list_is_no_list(answer: Answer):
    """A list without its key, with an unreadable user, or with a repeated page is an error."""
    with pytest.raises(BadResponse):
        users(answer)


def test_pages_end():
    """A repeated page token ends the list at once, and so does the largest number of pages."""
    google = Google(ok({"users": [], "nextPageToken": "p2"}))
    directory = WorkspaceDirectory(google.http, ENDPOINTS, clock_at(NOW))
    with pytest.raises(BadResponse, match="same page token"):
        result_of(directory.users("t"))
    assert len(google.requests) == 2
    google = Google(*(ok({"users": [], "nextPageToken": f"p{number}"}) for number in range(workspace.MOST_PAGES + 1)))
    directory = WorkspaceDirectory(google.http, ENDPOINTS, clock_at(NOW))
    with pytest.raises(BadResponse, match="more than 500 pages"):
        result_of(directory.users("t"))


@pytest.mark.parametrize(
    ("answer", "kind", "refusal"),
    [
        (error(403, "forbidden", "Not Authorized to access this resource/api"), DelegationRefused, "not_an_admin"),
        (error(403, "accessNotConfigured"), DelegationRefused, "api_disabled"),
        (error(403, "domainCannotUseApis"), DelegationRefused, "api_access_off"),
        (error(403, "insufficientPermissions"), DelegationRefused, "some_scopes"),
        (error(403, "userRateLimitExceeded"), QuotaExceeded, ""),
        (error(403, "quotaExceeded"), QuotaExceeded, ""),
        (error(403, status="RESOURCE_EXHAUSTED"), QuotaExceeded, ""),
        (error(429, "rateLimitExceeded"), QuotaExceeded, ""),
        (error(404, "notFound", "Domain not found"), DelegationRefused, "not_workspace"),
        (error(400, status="FAILED_PRECONDITION"), DelegationRefused, "not_workspace"),
        (error(401, "authError"), AccessTokenRejected, ""),
        (error(403, "backendError"), GoogleUnavailable, ""),
        ((503, {}, b"<html>"), GoogleUnavailable, ""),
    ],
)
def test_each_error_has_its_meaning(answer: Answer, kind: type[GoogleError], refusal: str):
    """The reason tells whether a 403 means missing rights or too many calls."""
    with pytest.raises(GoogleError) as caught:
        users(answer)
    assert type(caught.value) is kind
    assert getattr(caught.value, "refusal", "") == refusal


def test_groups_within_a_group_are_read_once():
    """Members of all levels belong to the group. Foreign and deleted groups are skipped."""
    inner = {"members": [member("5"), member("g1", "GROUP"), member("g2", "GROUP"), {"id": "6", "type": "EXTERNAL"}]}
    found, google = members(
        ok({"members": [member("1"), member("g1", "GROUP")], "nextPageToken": "p"}),
        ok({"members": [member("C0demo1", "CUSTOMER"), member("g3", "GROUP"), member("g4", "GROUP")]}),
        error(403, "forbidden"),
        error(404, "notFound", "Resource Not Found: groupKey"),
        ok(inner),
        ok({"kind": "admin#directory#members"}),
    )
    assert found == GroupMembers(frozenset({"1", "5"}), frozenset({"C0demo1"}))
    read = [request.url.removeprefix(USERS.removesuffix("users")) for request in google.requests]
    assert read[:2] == ["groups/sales%40acme.example/members"] * 2
    assert sorted(read[2:]) == [f"groups/g{number}/members" for number in (1, 2, 3, 4)]
    ada = WorkspaceUser("7", "", "", False, False, "/", False, "C0demo1")
    assert found.has(ada)


@pytest.mark.parametrize(
    ("answers", "kind", "refusal"),
    [
        ([error(404, "notFound")], DelegationRefused, DelegationRefusal.NO_GROUP),
        ([error(403, "forbidden")], DelegationRefused, DelegationRefusal.NOT_AN_ADMIN),
        ([ok({"members": [member("g", "GROUP")]}), error(403, "userRateLimitExceeded")], QuotaExceeded, ""),
        ([ok({"members": [member("g", "GROUP")]}), error(403, "accessNotConfigured")], DelegationRefused, None),
        ([ok({"members": [member("g", "GROUP")]}), (503, {}, b"")], GoogleUnavailable, ""),
        ([ok({"members": [member(f"g{n}", "GROUP") for n in range(4)]})], BadResponse, ""),
    ],
)
def test_a_group_that_cannot_be_read_loses_no_member(
    answers: list[Answer], kind: type[GoogleError], refusal: Any, monkeypatch: pytest.MonkeyPatch
):
    """The group itself is never skipped. An inner group is skipped for missing rights, but not for too many calls."""
    monkeypatch.setattr(workspace, "MOST_GROUPS", 4)
    with pytest.raises(kind) as caught:
        members(*answers)
    assert refusal in (None, getattr(caught.value, "refusal", ""))


def test_calls_are_counted_by_their_subject():
    """The observer distinguishes calls for users and for groups."""
    calls: list[CallSource] = []
    google = Google(ok({"users": []}), ok({}))
    directory = WorkspaceDirectory(google.http, ENDPOINTS, clock_at(NOW), lambda source, *_: calls.append(source))
    result_of(directory.users("t"))
    result_of(directory.group_members("t", "g@acme.example"))
    assert calls == [CallSource.USERS, CallSource.GROUPS]

# SPDX-License-Identifier: MIT
"""Lists that are not what they say."""

from __future__ import annotations

from typing import Any

import pytest

from ldapgw.google.sandbox.world import World
from tests.support.sandbox_client import Google


@pytest.fixture
def token(google: Google) -> str:
    return str(google.connect()["access_token"])


def damaged(google: Google, world: World, token: str, fault: str, **params: str) -> Any:
    world.faults.clear()
    world.faults.inject(fault)
    return google.connections(token, **params)


@pytest.mark.parametrize(
    ("fault", "persons"),
    [
        ("broken_short_list", lambda whole: whole[::2]),
        ("broken_few_missing", lambda whole: [one for at, one in enumerate(whole) if at % 20]),
        ("broken_no_list", lambda _: None),
        ("broken_twice", lambda whole: whole * 2),
        ("broken_no_sync_token", lambda whole: whole),
        ("broken_too_large", lambda whole: whole),
    ],
)
def test_lists_that_are_damaged(google: Google, world: World, token: str, fault: str, persons: Any) -> None:
    """The persons differ, and nothing else does but the sync token of one fault and the size of another."""
    whole = google.connections(token).json
    answer = damaged(google, world, token, fault)
    expected = {**whole, "connections": persons(whole["connections"])}
    if fault == "broken_no_sync_token":
        del expected["nextSyncToken"]
    assert answer.json == {key: value for key, value in expected.items() if value is not None}
    assert (len(answer.body) > 17 << 20) == (fault == "broken_too_large")


def test_pages_without_end(google: Google, world: World, token: str) -> None:
    """Each page's next one is itself."""
    first = damaged(google, world, token, "broken_loop").json
    again = damaged(google, world, token, "broken_loop", pageToken=first["nextPageToken"]).json
    assert first == again
    assert "nextSyncToken" not in first


def test_page_tokens_that_died(google: Google, world: World, token: str) -> None:
    """The first page comes, no other does."""
    first = damaged(google, world, token, "broken_page_token", pageSize="100")
    assert (first.status, len(first.json["connections"])) == (200, 100)
    answer = damaged(google, world, token, "broken_page_token", pageSize="100", pageToken=first.json["nextPageToken"])
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_errors_stay_errors(google: Google, world: World) -> None:
    """There is no list that could be damaged."""
    assert damaged(google, world, "no token", "broken_no_list").status == 401

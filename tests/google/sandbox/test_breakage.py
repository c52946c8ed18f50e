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


def test_lists_that_lack_persons(google: Google, world: World, token: str) -> None:
    """The total tells that there are more; or nothing does."""
    whole = google.connections(token).json
    short = damaged(google, world, token, "broken_short_list").json
    assert short["connections"] == whole["connections"][::2]
    assert short["totalItems"] == whole["totalItems"]
    none = damaged(google, world, token, "broken_no_list").json
    assert none.keys() == whole.keys() - {"connections"}


def test_persons_that_come_twice(google: Google, world: World, token: str) -> None:
    """One behind the other."""
    whole = google.connections(token).json
    assert damaged(google, world, token, "broken_twice").json["connections"] == whole["connections"] * 2


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


def test_a_last_page_without_a_sync_token(google: Google, world: World, token: str) -> None:
    """Though one was asked for."""
    assert "nextSyncToken" not in damaged(google, world, token, "broken_no_sync_token").json


def test_an_answer_that_is_too_large(google: Google, world: World, token: str) -> None:
    """JSON, and blanks behind it."""
    answer = damaged(google, world, token, "broken_too_large")
    assert len(answer.body) > 17 << 20
    assert answer.json["totalItems"] == 300


def test_errors_stay_errors(google: Google, world: World) -> None:
    """There is no list that could be damaged."""
    assert damaged(google, world, "no token", "broken_no_list").status == 401

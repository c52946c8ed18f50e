# SPDX-License-Identifier: MIT
"""The state by itself: what it refuses, and what changes leave alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ldapgw.errors import UserError
from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL, CLIENT_ID, CLIENT_SECRET
from ldapgw.google.sandbox.world import RegisteredClient, World
from tests.support.sandbox_client import Clock


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        (
            lambda world: world.account("x@y"),
            "x@y is no account of the sandbox; its accounts are: alice@acme.example, bob@",
        ),
        (
            lambda world: world.persons_of(CAROL, "directory"),
            "source = directory: expected one of contacts, other_contacts",
        ),
        (lambda world: world.persons_of(ALICE, "friends"), "source = friends: expected one of"),
        (lambda world: world.person(BOB, "people/c0"), "people/c0: is no person of bob@acme.example"),
        (lambda world: world.advance(-1), "time only goes forward"),
        (
            lambda world: world.register(RegisteredClient("a", "b", (), audience="all")),
            "the audience must be one of external, testing",
        ),
    ],
)
def test_wrong_wishes(world: World, wish: Callable[[World], object], problem: str) -> None:
    """What makes no sense is refused with a line that says why."""
    with pytest.raises(UserError) as caught:
        wish(world)
    assert problem in str(caught.value)


def test_time_is_the_clocks_and_what_was_added(world: World, clock: Clock) -> None:
    """Time goes with the clock, and ahead of it as far as it was advanced."""
    before = world.time()
    world.advance(100)
    clock.now += 10
    assert world.time() == before + 110


def test_a_change_keeps_identity_and_the_rest(world: World) -> None:
    """A change gives a new etag and date; name and source cannot be changed."""
    person = next(iter(world.account(ALICE).contacts))
    name = person["resourceName"]
    world.change_person(ALICE, name, {"resourceName": "people/c0", "metadata": {}, "nicknames": [{"value": "Jo"}]})
    changed = world.person(ALICE, name)
    assert changed["metadata"]["sources"][0]["id"] == person["metadata"]["sources"][0]["id"]
    assert changed["metadata"]["sources"][0]["updateTime"] == "2026-02-02T02:40:00.000000Z"
    assert changed["etag"] != person["etag"]
    assert "nicknames" not in person
    assert {**changed, "etag": 0, "metadata": 0, "nicknames": 0} == {**person, "etag": 0, "metadata": 0, "nicknames": 0}


def test_secret_is_not_shown() -> None:
    """A client's repr holds no secret."""
    assert CLIENT_SECRET not in repr(RegisteredClient(CLIENT_ID, CLIENT_SECRET, ()))

# SPDX-License-Identifier: MIT
"""The Workspace of the demo: a whole company, the same each time."""

from __future__ import annotations

from ldapgw.google.sandbox.tenant import (
    ADMINISTRATOR,
    DOMAIN,
    PHONES,
    SALES,
    SALES_WEST,
    SERVICE_ACCOUNT,
    workspace_world,
)
from tests.support.sandbox_client import Clock, Randomness


def test_the_demo_shows_a_company() -> None:
    """Its people have contacts, units and profiles; one of them has left; one group is within another."""
    world, again = (workspace_world(now=Clock(), random=Randomness(), users=60) for _ in range(2))
    assert list(world.accounts) == list(again.accounts)
    assert len(world.accounts) == 60
    _, *people = world.accounts.values()
    assert all(5 <= len(person.contacts) <= 30 for person in people)
    assert [person.is_suspended for person in people] == [False] * 58 + [True]
    assert len(world.persons_of(ADMINISTRATOR, "directory")) == 58
    assert {person.org_unit for person in people} >= {"/Sales", "/Sales/West"}
    assert SALES_WEST in world.workspaces.groups[SALES].members
    assert len(world.workspaces.groups[PHONES].members) == 15
    assert len(world.workspaces.service_account(SERVICE_ACCOUNT).scopes[DOMAIN]) == 5

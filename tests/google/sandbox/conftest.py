# SPDX-License-Identifier: MIT
"""A world with a clock in the test's hands, and the sandbox over it in memory."""

from __future__ import annotations

import pytest

from ldapgw.google.sandbox.tenant import demo_world
from ldapgw.google.sandbox.world import World
from tests.google.sandbox.lists import ALL
from tests.support.sandbox_client import Clock, Google, randomness


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return demo_world(now=clock, random=randomness())


@pytest.fixture
def google(world: World) -> Google:
    return Google(world)


@pytest.fixture
def token(google: Google) -> str:
    """An access token of Alice's with every scope."""
    return str(google.connect(scope=ALL)["access_token"])

# SPDX-License-Identifier: MIT
"""The fixtures are a world with a clock that the tests set, and the sandbox over this world in memory."""

from __future__ import annotations

import pickle
from functools import cache
from random import Random

import pytest

from ldapgw.google.sandbox.faults import Faults
from ldapgw.google.sandbox.tenant import demo_world
from ldapgw.google.sandbox.world import World
from tests.google.sandbox.lists import ALL
from tests.support.damaged_replies import ALL_FAULTS
from tests.support.sandbox_client import Clock, Google


@cache
def _made() -> bytes:
    """Return the demo's world and clock as a pickle, because the making of the persons takes longer than most tests."""
    clock = Clock()
    return pickle.dumps((demo_world(now=clock, random=Random(1).randbytes), clock))


@pytest.fixture
def _world_and_clock() -> tuple[World, Clock]:
    copied: tuple[World, Clock] = pickle.loads(_made())
    return copied


@pytest.fixture
def clock(_world_and_clock: tuple[World, Clock]) -> Clock:
    return _world_and_clock[1]


@pytest.fixture
def world(_world_and_clock: tuple[World, Clock]) -> World:
    world = _world_and_clock[0]
    world.faults = Faults(ALL_FAULTS)
    return world


@pytest.fixture
def google(world: World) -> Google:
    return Google(world)


@pytest.fixture
def token(google: Google) -> str:
    """Return an access token of Alice with every scope."""
    return str(google.connect(scope=ALL)["access_token"])

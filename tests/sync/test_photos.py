# SPDX-License-Identifier: MIT
"""Photos are fetched after the contacts, slowly, and come to the phones."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from ldapgw.errors import ProcessLost
from ldapgw.google.photos import scale
from ldapgw.store import tables
from ldapgw.sync.photos import INTERVAL
from tests.support.photo import jpeg
from tests.support.results import result_of
from tests.support.stage.sync import ALICE, ALL_SOURCES, BOB, Stage, connected_stage, person


def served(stage: Stage, book: str = ALICE) -> dict[str, bytes]:
    """The photos that phones are served, by name."""
    return {one.attribute("cn")[0].decode(): b"".join(one.attribute("jpegPhoto")) for one in stage.entries(book)}


def sync(stage: Stage, address: str = ALICE, **kw: bool) -> None:
    """A sync as the scheduler makes it."""
    stage.sync(address, **kw)
    result_of(stage.publisher.refresh())


def image_calls(stage: Stage) -> int:
    return sum(count for path, count in stage.calls().items() if path.startswith("/a/"))


def fetch(stage: Stage) -> int:
    """Fetch the photos that are due; returns how many were asked for."""
    image_calls(stage)
    result_of(stage.photo_fetcher.fetch_due())
    return image_calls(stage)


def with_photos(*names: str, **kw: Any) -> Stage:
    """A synced account whose contacts have photos at Google."""
    stage = connected_stage(photos=True, **kw)
    for name in names:
        stage.world.add_photo(ALICE, stage.world.add_person(ALICE, person(name)), jpeg())
    sync(stage)
    stage.calls()
    return stage


def test_a_photo_reaches_the_phones() -> None:
    """Scaled, once; a person with a letter that Google has drawn has none."""
    stage = connected_stage(photos=True)
    ada = stage.world.add_person(ALICE, person("Ada Riese"))
    stage.world.add_person(ALICE, person("Ben Alt"))
    stage.world.add_photo(ALICE, ada, jpeg(1, 600))
    sync(stage)
    assert served(stage) == {"Ada Riese": b"", "Ben Alt": b""}
    assert image_calls(stage) == 0
    assert fetch(stage) == 1
    assert served(stage) == {"Ada Riese": scale(jpeg(1, 600)), "Ben Alt": b""}
    sync(stage)
    sync(stage, full=True)
    assert fetch(stage) == 0
    assert served(stage)["Ada Riese"] == scale(jpeg(1, 600))


def test_every_source_has_photos() -> None:
    """As far as Google allows to ask for them."""
    stage = connected_stage(photos=True, sources=ALL_SOURCES)
    for source in ("contacts", "other_contacts", "directory"):
        name = stage.world.add_person(ALICE, person(f"From {source}"), source)
        stage.world.add_photo(ALICE, name, jpeg(3))
    sync(stage)
    fetch(stage)
    assert served(stage) == {f"From {source}": scale(jpeg(3)) for source in ("contacts", "other_contacts")}
    assert served(stage, "directory") == {"From directory": scale(jpeg(3))}


def test_a_tenant_without_photos_asks_for_none(stage: Stage) -> None:
    """Neither for addresses nor for photos; and its books have none."""
    stage.connect()
    stage.world.add_photo(ALICE, stage.world.add_person(ALICE, person("Ada Riese")), jpeg())
    sync(stage)
    stage.photo_fetcher.startService()
    stage.clock.pump([INTERVAL] * 3)
    stage.photo_fetcher.stopService()
    with stage.database.begin() as connection:
        assert connection.execute(select(tables.photo)).all() == []
    assert image_calls(stage) == 0


def test_photos_are_turned_on_and_off() -> None:
    """Either is a full sync, and without them nothing stays stored."""
    stage = with_photos("Ada Riese")

    def turn(*, on: bool) -> tuple[dict[str, bytes], int]:
        stage.configure(photos=on)
        sync(stage)
        fetch(stage)
        with stage.database.begin() as connection:
            return served(stage), len(connection.execute(select(tables.photo)).all())

    assert turn(on=False) == ({"Ada Riese": b""}, 0)
    assert turn(on=True) == ({"Ada Riese": scale(jpeg())}, 1)
    assert turn(on=False) == ({"Ada Riese": b""}, 0)


@pytest.mark.parametrize(
    ("fault", "comes_later"),
    [("photo_gone_410", False), ("photo_too_large", False), ("photo_redirect", True), ("photo_sign_in_page", True)],
)
def test_a_photo_that_is_none(fault: str, *, comes_later: bool) -> None:
    """Others come at once; it is asked for again only where a proxy may have answered."""
    stage = with_photos("Ada", "Ben")
    stage.world.faults.inject(fault, times=1)
    assert fetch(stage) == 2
    assert sorted(map(len, served(stage).values())) == [0, len(scale(jpeg()))]
    stage.clock.advance(3599)
    assert fetch(stage) == 0
    stage.clock.advance(1)
    assert fetch(stage) == comes_later
    assert sorted(map(len, served(stage).values())) == [len(scale(jpeg())) if comes_later else 0, len(scale(jpeg()))]


@pytest.mark.parametrize("losses", [1, 4])
def test_the_process_is_lost(losses: int) -> None:
    """Another call may have ended it, so the photo gets more attempts, and is given up in the end; others come."""
    stage = connected_stage(photos=True)
    for name in ("Ada", "Ben"):
        stage.world.add_photo(ALICE, stage.world.add_person(ALICE, person(name)), jpeg(len(name), ord(name[0])))
    sync(stage)
    stage.calls()
    lost = [jpeg(3, ord("A"))] * losses

    async def scale_in_process(function: Any, photo: bytes) -> bytes:
        if photo in lost:
            lost.remove(photo)
            raise ProcessLost("the process has ended")
        return bytes(function(photo))

    stage.scale_in_process = scale_in_process
    result_of(stage.photo_fetcher.fetch_due())
    assert {name for name, photo in served(stage).items() if photo} == {"Ben"}
    for wait in (1, 2, 4, 8):
        stage.clock.advance(wait * 3600)
        result_of(stage.photo_fetcher.fetch_due())
    assert {name for name, photo in served(stage).items() if photo} == ({"Ada", "Ben"} if losses == 1 else {"Ben"})
    assert image_calls(stage) == 2 + min(losses, 3)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("photo_throttled_429", 600.0), ("photo_unavailable_503", 60.0), ("broken_connection_lost", 60.0)],
)
def test_the_image_host_cannot_answer(fault: str, seconds: float) -> None:
    """Nothing is asked of it for a while, and then another photo first."""
    stage = with_photos("Ada", "Ben")
    stage.world.faults.inject(fault, times=1)
    asked = [fetch(stage)]
    for wait in (seconds - 1, 1, 3600):
        stage.clock.advance(wait)
        asked.append(fetch(stage))
    assert asked == [1, 0, 1, 1]
    assert set(served(stage).values()) == {scale(jpeg())}


def test_a_pause_grows() -> None:
    """Until an answer comes; after that, the first pause is short again."""
    stage = with_photos(*(f"P{number}" for number in range(5)))
    for waits, answered in (((60, 120, 240), 2), ((60,), 2)):
        stage.world.faults.inject("photo_unavailable_503")
        for wait in waits:
            assert fetch(stage) == 1
            stage.clock.advance(wait - 1)
            assert fetch(stage) == 0
            stage.clock.advance(1)
        stage.world.faults.clear()
        assert fetch(stage) == answered
        stage.clock.advance(3600)


def test_a_pause_ends_when_the_clock_is_set_back() -> None:
    """The pause began while the clock was ahead by a year."""
    stage = with_photos("Ada Riese")
    stage.world.faults.inject("photo_unavailable_503", times=1)
    assert fetch(stage) == 1
    stage.clock.rightNow -= 365 * 86400
    assert fetch(stage) == 1
    assert served(stage) == {"Ada Riese": scale(jpeg())}


def test_many_photos_of_several_accounts() -> None:
    """By the timer, some at a time."""
    stage = connected_stage(photos=True)
    stage.connect(BOB)
    for address in (ALICE, BOB):
        for number in range(60):
            name = stage.world.add_person(address, person(f"P{number}"))
            stage.world.add_photo(address, name, jpeg(number % 3))
        sync(stage, address)
    stage.photo_fetcher.startService()
    stage.clock.advance(INTERVAL)
    for address in (ALICE, BOB):
        assert served(stage, address) == {f"P{number}": scale(jpeg(number % 3)) for number in range(60)}
    stage.photo_fetcher.stopService()
    assert stage.clock.getDelayedCalls() == []


def test_the_quota_of_the_project_holds() -> None:
    """Photos wait for their turn among the calls to the People API."""
    stage = with_photos(*(f"P{number}" for number in range(10)), calls_per_minute=60)
    stage.photo_fetcher.startService()
    stage.clock.advance(INTERVAL)
    assert image_calls(stage) == 5
    stage.clock.pump([1.0] * 3)
    assert 1 <= image_calls(stage) <= 3
    stage.clock.pump([1.0] * 10)
    assert set(served(stage).values()) == {scale(jpeg())}
    stage.photo_fetcher.stopService()

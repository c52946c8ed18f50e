# SPDX-License-Identifier: MIT
"""How long a gateway on PostgreSQL takes to start: with nothing, with another gateway's cached books, alone."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.directory.servers import Variant, gateway, knows
from bench.process import postgresql
from bench.report import Figure, say
from bench.seed import alone, seed
from ldapgw.server.state_dir import KEY_FILE, LOGINS_FILE
from ldapgw.sync.book_cache import FOLDER

GOAL = 5.0
_STARTS = 3
_PATIENCE = 600.0


def starts(folder: Path, contacts: int) -> Iterator[Figure]:
    """From the start of the process until a phone that binds gets the right answer to a search."""
    first = Path(tempfile.mkdtemp(dir=folder))
    with postgresql() as (server, url):
        say(f"filling PostgreSQL with {contacts:,} contacts")
        begun = time.monotonic()
        seed(first / "state", alone(contacts), time.time(), url)  # noqa: TID251  the bench is an entry point
        say(f"  in {time.monotonic() - begun:.0f} s")
        is_right, variant = knows(contacts - 1), Variant(database=url)
        with gateway(first, is_right, variant) as ours:
            yield Figure("first start", "builds the books", f"{ours.started:.1f} s")
            _until(lambda: len(list((first / "state" / FOLDER).glob("*.image"))) == len(alone(contacts)))
            _until((first / "state" / LOGINS_FILE).exists)
        took, worked = [], []
        for number in range(_STARTS):
            home = folder / f"other-{number}"
            state = home / "state"
            state.mkdir(mode=0o700, parents=True)
            shutil.copy2(first / "state" / KEY_FILE, state)
            shutil.copytree(first / "state" / FOLDER, state / FOLDER)
            with gateway(home, is_right, variant) as ours:
                took.append(ours.started)
                worked.append(sum(ours.worked))
                _until((state / LOGINS_FILE).exists)
        yield _figure("start of another gateway", "with copied books", took, worked)
        server.stop()
        took, worked = [], []
        for number in range(_STARTS):
            with gateway(folder / f"other-{number}", is_right, variant) as ours:
                took.append(ours.started)
                worked.append(sum(ours.worked))
        yield _figure("start without PostgreSQL", "with a snapshot of logins", took, worked)


def _figure(load: str, what: str, took: list[float], worked: list[float]) -> Figure:
    text = f"{median(took):.1f} s ({', '.join(f'{one:.1f}' for one in took)})"
    text = f"{text}, {median(worked):.1f} s of processor time"
    return Figure(load, what, text, f"≤ {GOAL:g} s", met=median(took) <= GOAL)


def _until(found: object) -> None:
    assert callable(found)
    until = time.monotonic() + _PATIENCE
    while not found():
        assert time.monotonic() < until, "the gateway does not write its files"
        time.sleep(0.1)

# SPDX-License-Identifier: MIT
"""Tests of every part share these fixtures."""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from ldapgw.directory import segment
from ldapgw.server.logging import as_json
from ldapgw.server.reactor import use_monotonic_clock

TESTS = Path(__file__).parent
# One makes a release, the others use it.
FIRST, LAST = ("test_packaging.py",), ("test_containers.py", "test_debian.py")

# A shell starts what runs in the background deaf to Ctrl-C, and programs inherit that; tests send them one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Books of tests are small, and what most of these tests are about is the index of large ones.
segment.INDEXED_FROM = 1

# A machine's clock that is set must stop no test that waits.
use_monotonic_clock(reactor)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop what pytest-cov 7.1 starts in a worker before it sees that it is one, and never stops.

    Besides the worker's own measurement, it makes all tests take twice as long.
    """
    plugin = session.config.pluginmanager.getplugin("_cov")
    if plugin is not None and plugin.cov_controller is not None and hasattr(session.config, "workerinput"):
        plugin.cov_controller.cov.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what builds packages for minutes, so that nothing waits for it at the end."""
    items.sort(key=lambda item: (item.path.name in LAST) - (item.path.name in FIRST))


def pytest_collection_finish() -> None:
    """Keep the collector away from modules and tests, which live to the end: it makes what allocates much slow."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Measure coverage of a part (``--cov=ldapgw/PART``) by the tests of that part alone (``tests/PART``).

    It makes a test take half as long again; what others do on their way through the part is no test of it.
    """
    plugin = item.config.pluginmanager.getplugin("_cov")
    parts = [Path(source).name for source in item.config.getvalue("cov_source") or [] if isinstance(source, str)]
    is_measured = not parts or item.path.relative_to(TESTS).parts[0] in parts
    # Of those that say "no_cover" themselves pytest-cov knows.
    if plugin is None or plugin.cov_controller is None or is_measured or item.get_closest_marker("no_cover"):
        return (yield)
    plugin.cov_controller.pause()
    try:
        return (yield)
    finally:
        plugin.cov_controller.resume()


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """The fixture collects all events that are logged while the test runs."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def json_log() -> Iterator[list[dict[str, Any]]]:
    """Collect our events of all levels in the test's log as JSON: all but time, level and part."""
    lines: list[dict[str, Any]] = []
    gc.collect()

    def observe(event: dict[str, Any]) -> None:
        if event.get("event"):
            line = json.loads(as_json(event))
            lines.append({name: value for name, value in line.items() if name not in ("time", "level", "part")})

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def caplog_twisted() -> Iterator[list[str]]:
    """Collect the messages of our own loggers, from the level on that is logged without a setting."""
    said: list[str] = []
    # Unfinished work of earlier tests may log something when it is collected.
    gc.collect()

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace", "").startswith("ldapgw") and event["log_level"] >= LogLevel.info:
            said.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)

# SPDX-License-Identifier: MIT
"""The log writes an event as a line, with levels for each part and a name for each event."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Mapping

import pytest
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from ldapgw.server.config import LogLevels
from ldapgw.server.counters import Counters
from ldapgw.server.logging import LogMeter, as_json, as_text, log_observer, observe_libraries
from tests.support import log_events

EVENT = {
    "log_time": 0.25,
    "log_level": LogLevel.warn,
    "log_namespace": "ldapgw.sync.scheduler",
    "log_format": "account {account}: {problem}",
    "event": "sync_failed",
    "tenant": "acme",
    "account": 7,
    "connection": 0,
    "problem": "übel\nund mehr",
}


def test_an_event_is_one_flat_line_of_json() -> None:
    """Values inside the event do not break the line, and internal members are left out."""
    line = as_json(EVENT)
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "part": "sync",
        "event": "sync_failed",
        "message": "account 7: übel\nund mehr",
        "tenant": "acme",
        "account": 7,
    }


def test_events_are_counted_by_level() -> None:
    """The meter counts all events while the service runs, also of libraries and of hidden levels."""
    counters = Counters()
    meter = LogMeter(counters.count_log_event)
    ours, library = Logger(namespace="ldapgw.sync.scheduler"), Logger(namespace="twisted.internet")
    ours.error("before the start", event="sync_failed")
    meter.startService()
    ours.debug("{event}", event="sync_begun")
    ours.warn("{event}", event="sync_failed")
    ours.error("{event}", event="sync_failed")
    library.info("a library's")
    library.warn("a library's")
    globalLogPublisher({"log_time": 0.0, "log_format": "an event without a level"})
    meter.stopService()
    ours.error("after the end", event="sync_failed")
    assert counters.log_events == {"debug": 1, "info": 2, "warning": 2, "error": 1, "critical": 0}


def test_a_whole_second_has_its_milliseconds() -> None:
    assert json.loads(as_json({**EVENT, "log_time": 86400.0}))["time"] == "1970-01-02T00:00:00.000Z"


def test_a_text_from_outside_cannot_control_a_terminal() -> None:
    """Text replaces control characters, and JSON escapes them."""
    assert (as_text({**EVENT, "problem": "\x1b[2J\u202ecba\nnext"}) or "").endswith(
        " account 7: \ufffd[2J\ufffdcba\n\tnext\n"
    )


def test_a_fault_has_its_traceback() -> None:
    """The line has the message and the exception."""
    found = json.loads(as_json({**EVENT, "log_failure": Failure(ZeroDivisionError("x"))}))
    assert found["message"] == "account 7: übel\nund mehr"
    assert "ZeroDivisionError" in found["exception"]


def test_an_event_of_a_library() -> None:
    """The event has no members of the gateway, even with the namespace of a gateway's class."""
    event = {key: value for key, value in EVENT.items() if key != "event"}
    assert json.loads(as_json(event)) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "warning",
        "part": "twisted",
        "event": "library_message",
        "message": "account 7: übel\nund mehr",
    }


def test_a_record_of_pythons_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is a line like all others, without the text of its exception; wrong arguments are left out."""
    monkeypatch.setattr(logging.root, "handlers", [])
    observe_libraries()
    stream = io.StringIO()
    observer = log_observer(stream, "json", LogLevels([]))
    globalLogPublisher.addObserver(observer)
    try:
        logging.getLogger("sqlalchemy.pool").error("Error closing %s", "cursor", exc_info=ValueError("a password"))
        logging.getLogger("sqlalchemy.pool").warning("%d %d", 1)
    finally:
        globalLogPublisher.removeObserver(observer)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.pop("time") for line in found if line.pop("part") == "twisted"]
    assert found == [
        {"level": "error", "event": "library_message", "message": "Error closing cursor: ValueError"},
        {"level": "warning", "event": "library_message", "message": "%d %d"},
    ]


# --- levels -----------------------------------------------------------------------------------------------------------


def logged(levels: LogLevels, *events: Mapping[str, object]) -> list[str]:
    """Return the messages in the log."""
    stream = io.StringIO()
    observer = log_observer(stream, "json", levels)
    for event in events:
        observer({"log_time": 0.0, **event})
    return [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([], {"ldap": "info", "sync": "info", "twisted": "warning"}),
        (["error"], {"ldap": "error", "sync": "error", "twisted": "warning"}),
        (["sync=debug"], {"ldap": "info", "sync": "debug", "twisted": "warning"}),
        (["sync=debug", "critical"], {"ldap": "critical", "sync": "debug", "twisted": "warning"}),
        (["debug", "sync=info", "sync=error"], {"ldap": "debug", "sync": "error", "twisted": "warning"}),
        (["warning", "twisted=info"], {"ldap": "warning", "sync": "warning", "twisted": "info"}),
    ],
    ids=["default", "all", "part", "part-before-all", "last", "libraries"],
)
def test_levels_by_part(levels: list[str], expected: dict[str, str]) -> None:
    """The level of a part wins over the general level, and a later level over an earlier.

    Libraries have a separate level.
    """
    found = LogLevels(levels)
    assert {part: found.of(part) for part in expected} == expected
    names = {level.name.replace("warn", "warning"): level for level in LogLevel.iterconstants()}
    for part, least in expected.items():
        namespace = {"log_namespace": f"ldapgw.{part}.x"} | ({"event": "x"} if part != "twisted" else {})
        events = [{**namespace, "log_level": level, "log_format": name} for name, level in names.items()]
        at = LogLevels.levels.index(least)
        assert logged(found, *events) == list(LogLevels.levels[at:]), part


@pytest.mark.parametrize("bad", ["", "loud", "INFO", "sync=", "sync=loud", "directory=info", "=info", 1, ["info", 1]])
def test_what_is_no_level(bad: object) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        LogLevels.read(bad)


def test_twisted_says_nothing_at_info() -> None:
    """Twisted's info lines are hidden, even if the namespace is a gateway's factory."""
    stream = io.StringIO()
    observer = log_observer(stream, "text", LogLevels(["debug"]))

    class Noisy(ServerFactory):
        __module__ = "ldapgw.ldap.server"

    globalLogPublisher.addObserver(observer)
    try:
        Noisy().doStart()
        Logger("twisted.internet").warn("a warning")
        Logger("ldapgw.ldap.server").debug("a detail", event="x")
    finally:
        globalLogPublisher.removeObserver(observer)
    assert re.sub(r"(?m)^\S+ ", "", stream.getvalue()) == (
        "[twisted.internet#warn] a warning\n[ldapgw.ldap.server#debug] a detail\n"
    )


# --- names ------------------------------------------------------------------------------------------------------------


def test_each_call_names_its_event() -> None:
    """Names are in lower case with underscores. A name has one message and one level, and a message has one name."""
    calls = log_events.calls()
    assert len(calls) > 60
    assert [call.where for call in calls if not re.fullmatch(r"[a-z]+(_[a-z]+)+", call.event)] == []
    by_event: dict[str, set[tuple[str, str, str]]] = {}
    for call in calls:
        by_event.setdefault(call.event, set()).add((call.part, call.level, call.message))
    assert {event: texts for event, texts in by_event.items() if len(texts) > 1} == {}
    texts = [text for found in by_event.values() for text in found]
    assert [text for text in texts if texts.count(text) > 1] == []


def test_the_parts_are_those_that_log() -> None:
    assert {call.part for call in log_events.calls()} | {"twisted"} == set(LogLevels.parts)


def test_each_event_says_whose_it_is() -> None:
    """Calls of one event have the members in the reference. An account or a phone comes with its tenant.

    An event of the LDAP server comes with its connection.
    """
    calls = log_events.calls()
    assert len({(call.event, call.members) for call in calls}) == len({call.event for call in calls})
    of_tenants = [call for call in calls if {"account", "phone"} & {*call.members}]
    assert [call.where for call in of_tenants if "tenant" not in call.members] == []
    assert [call.where for call in calls if call.part == "ldap" and "connection" not in call.members] == []


def test_the_reference_lists_the_events() -> None:
    """The command ``python -m tests.support.log_events`` updates the reference."""
    document = log_events.DOCUMENT.read_text()
    assert log_events.written(document) == document


def test_nothing_on_the_way_of_a_search_logs() -> None:
    """A search costs no log call at any level. Only the server logs connections and misuse."""
    files = {call.where.partition(":")[0] for call in log_events.calls()}
    assert [file for file in files if file.startswith(("directory/", "numbers/"))] == []
    assert {file for file in files if file.startswith("ldap/")} == {"ldap/server.py"}

# SPDX-License-Identifier: MIT
"""The log: one line for each event, as text or as JSON; each part of the gateway can have its own lowest level.

Each log call names its event (``event="sync_failed"``, `docs/reference/log-events.rst`).  An event without a name comes
from a library.  The event may still have a namespace of ldapgw, because a class of ldapgw may derive from a class of
the library.

`LogMeter` counts the events.  `MisuseLog` keeps the page's clients from filling the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    PredicateResult,
    formatEvent,
    formatEventAsClassicLogText,
    globalLogBeginner,
    globalLogPublisher,
)
from zope.interface import implementer

from ldapgw.directory.access import Viewer
from ldapgw.directory.clients import LOCAL, network_of, normalize_address
from ldapgw.google.person_text import REPLACEMENT, without_controls
from ldapgw.ldap.admission import LOG_INTERVAL, LogLine, LogThrottle
from ldapgw.server.config.forms import LogLevels
from ldapgw.store.periodic import PeriodicService

log = Logger()

# The name of all events that come from libraries.
LIBRARY_EVENT: Final = "library_message"
# The fields that a line of JSON has if the event has them; every line also has the fields that `as_json` lists.
FIELDS: Final = (
    *("tenant", "account", "connection", "phone", "address", "code", "kind", "act", "count"),
    *("added", "changed", "removed"),
)
_LEVELS: Final = {
    LogLevel.debug: "debug",
    LogLevel.info: "info",
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "critical",
}
# The lowest level of Python's `logging` for each level of the log.
_PYTHON_LEVELS: Final = (
    *((logging.CRITICAL, LogLevel.critical), (logging.ERROR, LogLevel.error)),
    *((logging.WARNING, LogLevel.warn), (logging.INFO, LogLevel.info)),
)


def begin_logging(stream: IO[Any], log_format: str, levels: LogLevels) -> None:
    """Begin to log.

    :param log_format: the setting ``log_format``: text or json.
    """
    observe_libraries()
    globalLogBeginner.beginLoggingTo([log_observer(stream, log_format, levels)], redirectStandardIO=False)


def observe_libraries() -> None:
    """Pass the records of libraries that use Python's `logging` to the log.

    Without a handler, `logging` writes warnings to standard error, where readers of the log expect its format.
    """
    logging.basicConfig(handlers=[_LibraryHandler()])


def log_observer(stream: IO[Any], log_format: str, levels: LogLevels) -> ILogObserver:
    """Return the observer that writes the log to a stream; see `begin_logging`."""
    as_line = as_json if log_format == "json" else as_text
    observer = FileLogObserver(stream, as_line)
    return FilteringLogObserver(observer, [_LevelPredicate(levels)])


class _LibraryHandler(logging.Handler):
    """The handler that passes the records of libraries to the log.

    The log gets the type of an exception, but neither its text nor its traceback, which may have values that nobody
    may read.
    """

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        try:
            message = record.getMessage() + (f": {kind.__name__}" if kind else "")
        except (TypeError, ValueError, KeyError):  # the arguments do not fit the message
            message = str(record.msg)
        level = next((level for number, level in _PYTHON_LEVELS if record.levelno >= number), LogLevel.debug)
        Logger(namespace=record.name).emit(level, "{message}", message=message)


@implementer(ILogFilterPredicate)
class _LevelPredicate:
    """A filter that lets an event through if the event's level is logged for the event's part."""

    def __init__(self, levels: LogLevels) -> None:
        least = {part: LogLevels.levels.index(levels.of(part)) for part in LogLevels.parts}
        self._logged = {
            (part, level): LogLevels.levels.index(name) >= least[part]
            for part in LogLevels.parts
            for level, name in _LEVELS.items()
        }

    def __call__(self, event: LogEvent) -> Any:  # returns a constant of `PredicateResult`
        is_logged = self._logged.get((part_of(event), event.get("log_level")), True)
        return PredicateResult.maybe if is_logged else PredicateResult.no


def part_of(event: LogEvent) -> str:
    """Return the part of the gateway that an event comes from: a package of ldapgw, or ``twisted``."""
    if "event" not in event:
        return "twisted"
    _, _, rest = str(event.get("log_namespace", "")).partition("ldapgw.")
    part = rest.partition(".")[0]
    return part if part in LogLevels.parts else "server"


def _level_of(event: LogEvent) -> str:
    return _LEVELS.get(event.get("log_level"), "info")


def as_text(event: LogEvent) -> str | None:
    """Return an event as text in Twisted's format, or None if the event has no text."""
    text = formatEventAsClassicLogText(event)
    return without_controls(text, REPLACEMENT, keep="\n\t") if text else None


def as_json(event: LogEvent) -> str:
    """Return an event as one line of JSON (docs/reference/log-events.rst)."""
    time = datetime.fromtimestamp(event["log_time"], UTC)
    line: dict[str, object] = {
        "time": time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",
        "level": _level_of(event),
        "part": part_of(event),
        "event": event.get("event", LIBRARY_EVENT),
        "message": formatEvent(event),
    }
    fields: LogEvent = event if "event" in event else {}
    for name in FIELDS:
        # In the field ``connection``, 0 stands for no connection.
        if (value := fields.get(name)) not in (None, "", 0):
            line[name] = value if isinstance(value, int) else str(value)
    if "log_failure" in event:
        line["exception"] = event["log_failure"].getTraceback().rstrip()
    return json.dumps(line, ensure_ascii=False) + "\n"


def log_replica_use(viewer: Viewer, address: str, detail: str, connection: int) -> None:
    """Log a use of a replica's login.

    :param detail: a fixed phrase with counts.
    """
    log.info(
        "replica {login} from {address}: {detail}",
        event="replica_used",
        tenant=viewer.tenant,
        login=viewer.login,
        address=address,
        connection=connection,
        detail=detail,
    )


@implementer(ILogObserver)
class LogMeter(Service):
    """A service that reports the level of each event while the service runs, even of events that are not logged.

    :param count: called with the level's name, as `as_json` writes it.
    """

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count

    def startService(self) -> None:
        super().startService()
        globalLogPublisher.addObserver(self)

    def stopService(self) -> None:
        super().stopService()
        globalLogPublisher.removeObserver(self)

    def __call__(self, event: LogEvent) -> None:
        self._count(_level_of(event))


class MisuseLog(PeriodicService):
    """A service that logs the misuse of the page: at most a line a minute for each kind and network, with a count.

    :param clock: measures the time between lines.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._throttle = LogThrottle()
        # When the service stops, `last` logs the counted misuse that was not logged yet.
        failed = partial(log.failure, "logging the misuse of the page failed", event="misuse_log_failed")
        super().__init__(clock, LOG_INTERVAL, self._log_due, failed, now=False, last=partial(self._log_due, 0.0))

    def count(self, kind: str, address: str) -> None:
        """Count a misuse of the page.

        :param kind: a fixed phrase, never anything that the client sent.
        :param address: the client's address; empty for a Unix socket.
        """
        whole = normalize_address(address or LOCAL)
        line = self._throttle.add(kind, network_of(whole), self._clock.seconds(), address=whole)
        if line is not None:
            _log_misuse(line)

    def _log_due(self, interval: float = LOG_INTERVAL) -> None:
        for line in self._throttle.due(self._clock.seconds(), interval):
            _log_misuse(line)


def _log_misuse(line: LogLine) -> None:
    count = ", {count} times" if line.count > 1 else ""
    log.warn(
        "web: {kind}, from {address}" + count, event="web_misuse", kind=line.kind, address=line.client, count=line.count
    )

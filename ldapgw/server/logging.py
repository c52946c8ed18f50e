# SPDX-License-Identifier: MIT
"""The log of ``ldapgw run``: one line for each event on stderr, as text or as JSON.

`MisuseLog` keeps the page's clients from filling it.
"""

from __future__ import annotations

import json
from typing import TextIO

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    formatTime,
    globalLogBeginner,
    textFileLogObserver,
)

from ldapgw.ldap.admission import LOCAL, LOG_INTERVAL, LogLine, LogThrottle, network_of, normalize_address

log = Logger()


def begin_logging(stream: TextIO, log_format: str) -> None:
    """Begin to log.

    :param log_format: the setting ``log_format``: text or json.
    """
    observer: ILogObserver = FileLogObserver(stream, as_json) if log_format == "json" else textFileLogObserver(stream)
    # At level info, Twisted's HTTP client logs every connection to Google that opens or closes.
    levels = LogLevelFilterPredicate()
    levels.setLogLevelForNamespace("twisted.web.client", LogLevel.warn)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [levels])], redirectStandardIO=False)


def as_json(event: LogEvent) -> str:
    """An event as one line of JSON with time, level, namespace, message, and the traceback of an internal error."""
    line = {
        "time": formatTime(event["log_time"]),
        "level": event["log_level"].name,
        "namespace": event.get("log_namespace", "-"),
        "message": formatEvent(event),
    }
    if "log_failure" in event:
        line["traceback"] = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return json.dumps(line, ensure_ascii=False) + "\n"


def log_replica_use(login: str, address: str, detail: str) -> None:
    """Log a use of a replica's login.

    :param login: its DN.
    :param detail: a fixed phrase with counts.
    """
    log.info("replica {login} from {address}: {detail}", login=login, address=address, detail=detail)


class MisuseLog(Service):
    """Logs the misuse of the page: a line a minute at most for each kind and network, with a count.

    :param clock: measures the time between lines.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._throttle = LogThrottle()
        self._timer = LoopingCall(self._log_due)
        self._timer.clock = clock

    def startService(self) -> None:
        super().startService()
        self._timer.start(LOG_INTERVAL, now=False)

    def stopService(self) -> None:
        """Log what was counted and not logged yet."""
        super().stopService()
        if self._timer.running:
            self._timer.stop()
        self._log_due(0.0)

    def count(self, kind: str, address: str) -> None:
        """Count misuse.

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
    log.warn("web: {kind}, from {address}" + count, kind=line.kind, address=line.client, count=line.count)

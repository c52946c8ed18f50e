# SPDX-License-Identifier: MIT
"""Where ``ldapgw run`` writes its log: one line an event on stderr, as text or as JSON."""

from __future__ import annotations

import json
from typing import TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    formatTime,
    globalLogBeginner,
    textFileLogObserver,
)


def begin_logging(stream: TextIO, log_format: str) -> None:
    """Begin to log.

    :param log_format: the setting: text or json.
    """
    observer: ILogObserver = FileLogObserver(stream, as_json) if log_format == "json" else textFileLogObserver(stream)
    # A line for each connection to Google that comes and goes tells nobody anything.
    levels = LogLevelFilterPredicate()
    levels.setLogLevelForNamespace("twisted.web.client", LogLevel.warn)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [levels])], redirectStandardIO=False)


def as_json(event: LogEvent) -> str:
    """An event as one line of JSON: time, level, where it comes from, what it says, and the traceback of a fault."""
    line = {
        "time": formatTime(event["log_time"]),
        "level": event["log_level"].name,
        "namespace": event.get("log_namespace", "-"),
        "message": formatEvent(event),
    }
    if "log_failure" in event:
        line["traceback"] = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return json.dumps(line, ensure_ascii=False) + "\n"

# SPDX-License-Identifier: MIT
"""The log of ``ldapgw run``: one line for each event on stderr, as text or as JSON."""

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

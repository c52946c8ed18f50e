# SPDX-License-Identifier: MIT
"""Where ``ldapgw run`` writes its log: one line an event on stderr, as text or as JSON."""

from __future__ import annotations

from typing import TextIO

from twisted.logger import ILogObserver, globalLogBeginner, jsonFileLogObserver, textFileLogObserver


def begin_logging(stream: TextIO, log_format: str) -> None:
    """Begin to log.

    :param log_format: the setting: text or json.
    """
    observer: ILogObserver = jsonFileLogObserver(stream, "") if log_format == "json" else textFileLogObserver(stream)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)

# SPDX-License-Identifier: MIT
"""The log as JSON: a line an event."""

from __future__ import annotations

import json

from twisted.logger import LogLevel
from twisted.python.failure import Failure

from ldapgw.server.logging import as_json

EVENT = {
    "log_time": 0.0,
    "log_level": LogLevel.warn,
    "log_namespace": "ldapgw.sync",
    "log_format": "account {account}: {code}",
    "account": 7,
    "code": "übel\nund mehr",
}


def test_an_event_is_one_line_of_json() -> None:
    """Whatever stands in it."""
    line = as_json(EVENT)
    assert line.count("\n") == 1
    found = json.loads(line)
    assert found.pop("time").startswith("1970-01-01T")
    assert found == {"level": "warn", "namespace": "ldapgw.sync", "message": "account 7: übel\nund mehr"}


def test_a_fault_has_its_traceback() -> None:
    """Where it came from, without the values that were at hand."""
    found = json.loads(as_json({**EVENT, "log_failure": Failure(ZeroDivisionError("x"))}))
    assert "ZeroDivisionError" in found["traceback"]

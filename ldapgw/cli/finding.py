# SPDX-License-Identifier: MIT
"""What ``check`` finds, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How it is with a thing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report.

    :ivar item: what was looked at.
    :ivar told: how it is, and what to do where it is not well.
    """

    status: CheckStatus
    item: str
    message: str = ""

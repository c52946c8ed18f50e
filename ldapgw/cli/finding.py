# SPDX-License-Identifier: MIT
"""What ``check`` finds, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How it is with a thing."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    :ivar item: what was looked at.
    :ivar told: how it is, and what to do where it is not well.
    """

    mark: Mark
    item: str
    told: str = ""

# SPDX-License-Identifier: MIT
"""The result of a single check of ``ldapgw check``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """Whether a checked item is in order."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report.

    :ivar item: the name of the checked item.
    :ivar message: the state of the item, and the remedy for a problem.
    :ivar is_setting: whether the item is a part of the configuration, and not a file.
    """

    status: CheckStatus
    item: str
    message: str = ""
    is_setting: bool = False

# SPDX-License-Identifier: MIT
"""The steps of a connection test: what a phone meets on the network, as values for the command and the page.

`ldapgw.phones.reachability` makes the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ldapgw.phones.provisioning.settings import LdapEndpoint
from ldapgw.phrase import Translatable, gettext_noop


class Step(StrEnum):
    """One thing that has to work, in the order in which a phone needs them."""

    NAME = gettext_noop("name")
    PORT = gettext_noop("port")
    TLS = gettext_noop("TLS")
    LOGIN = gettext_noop("login")
    NAME_SEARCH = gettext_noop("search by name")
    NUMBER_SEARCH = gettext_noop("search by number")


class StepStatus(StrEnum):
    """Whether a step works."""

    OK = gettext_noop("ok")
    WARNING = gettext_noop("warning")
    FAILED = gettext_noop("failed")
    SKIPPED = gettext_noop("skipped")


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step's result.

    :ivar message: what was found, and the remedy for a problem; holds no name, number or password.
    """

    step: Step
    status: StepStatus
    message: Translatable


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What a phone has in its settings.

    :ivar endpoint: where and how it connects.
    :ivar password: empty: unknown, so that login and searches are skipped.
    :ivar ca: certificates of private authorities in PEM; empty: those that the system trusts.
    """

    endpoint: LdapEndpoint
    bind_dn: str
    base_dn: str
    password: str = field(default="", repr=False)
    ca: str = ""

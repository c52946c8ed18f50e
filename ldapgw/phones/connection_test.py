# SPDX-License-Identifier: MIT
"""The steps of a connection test and their results, as values for the command and the page.

`ldapgw.phones.reachability` makes the test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from ldapgw.phones.provisioning.settings import LdapEndpoint
from ldapgw.phrase import Translatable, gettext_noop


class Step(StrEnum):
    """The steps of a connection test, in the order in which a phone needs them."""

    NAME = gettext_noop("name")
    PORT = gettext_noop("port")
    TLS = gettext_noop("TLS")
    LOGIN = gettext_noop("login")
    NAME_SEARCH = gettext_noop("search by name")
    NUMBER_SEARCH = gettext_noop("search by number")


class StepStatus(StrEnum):
    """The outcomes of a step."""

    OK = gettext_noop("ok")
    WARNING = gettext_noop("warning")
    FAILED = gettext_noop("failed")
    SKIPPED = gettext_noop("skipped")


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step.

    :ivar message: the finding, and the remedy for a problem, without any name, number or password.
    """

    step: Step
    status: StepStatus
    message: Translatable


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings with which a phone connects.

    :ivar endpoint: the address and the protection of the connection.
    :ivar password: the password; empty if unknown.  Without a password, the test skips the login and the searches.
    :ivar ca: certificates of private authorities in PEM; if empty, the test trusts the authorities of the system.
    :ivar ca_url: the address at which phones fetch `ca`; empty if there is no such address.
    """

    endpoint: LdapEndpoint
    bind_dn: str
    base_dn: str
    password: str = field(default="", repr=False)
    ca: str = ""
    ca_url: str = ""


class OwnTests:
    """The connection tests that the gateway makes now; such a test must not count as use by the phone.

    The object is mutable.

    A test is recognized by two values together: its login, and the address from which the gateway connects.
    """

    def __init__(self) -> None:
        self._running: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def running(self, bind_dn: str) -> Iterator[Callable[[str], None]]:
        """Count a test of a phone as running until the end of the ``with`` block.

        :returns: the function to call with the address from which the test has connected.
        """
        keys: list[tuple[str, str]] = []

        def connected(address: str) -> None:
            keys.append((bind_dn.lower(), address))
            self._running[keys[-1]] += 1

        try:
            yield connected
        finally:
            self._running.subtract(keys)
            self._running = +self._running

    def include(self, login: str, address: str) -> bool:
        """Return whether a login, or a search with this login, is part of a test.

        :param login: the bind DN.
        :param address: the client's address, normalized.
        """
        return bool(self._running) and (login.lower(), address) in self._running

# SPDX-License-Identifier: MIT
"""The values of `ldapgw.server.preflight`: the checks, their moments and subjects, and their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from ldapgw.errors import UnfitKey, UserError
from ldapgw.server.config import Config
from ldapgw.server.state_dir import StateDir


class CheckStatus(StrEnum):
    """The states of a checked item."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, which is a line of the report.

    :ivar item: the name of the checked item.
    :ivar message: the state of the item, and the remedy for a problem.
    :ivar is_setting: whether the item is a setting, and not a file or something else.
    """

    status: CheckStatus
    item: str
    message: str = ""
    is_setting: bool = False

    def line(self, file: str) -> str:
        """Return the line to print; the line of a wrong setting begins with the name of the configuration file.

        :param file: the configuration file.
        """
        item = f"{file}: {self.item}" if self.is_setting and self.status is not CheckStatus.OK and file else self.item
        return f"{item}: {self.message}" if self.message else item


class PreflightFailed(UserError):
    """Raised when the gateway cannot start or reload with a configuration.

    :param failed: the checks that failed.
    """

    def __init__(self, failed: Iterable[CheckResult]) -> None:
        self._failed = tuple(failed)
        super().__init__(result.line("") for result in self._failed)

    def lines(self, file: str) -> tuple[str, ...]:
        """Return the lines of the failed checks, as ``ldapgw check`` prints them."""
        return tuple(result.line(file) for result in self._failed)


class Moment(Enum):
    """The moments at which checks run: ``ldapgw check``, a start, and a reload."""

    CHECK = "check"
    START = "start"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True)
class Subject:
    """The configuration to check, and the moment of the checks.

    :ivar gateway: the process id of another process that runs the gateway of this state directory, if any.
    :ivar current: the configuration that the checking process uses, or None if this process does not serve yet.
    :ivar ports: the endpoints whose listening sockets the checking process has already.
    :ivar keys: the keys with which the serving process has already opened the database.  A reload decrypts the stored
        tokens as a check only if one of these keys was removed.
    :ivar now: seconds since the epoch, for ``check``; neither a start nor a reload uses the time.
    """

    moment: Moment
    config: Config
    gateway: int | None = None
    current: Config | None = None
    ports: frozenset[str] = frozenset()
    keys: frozenset[bytes] = field(default=frozenset(), repr=False)
    now: float = 0.0

    @property
    def state_dir(self) -> StateDir:
        return StateDir.of(self.config)

    def failures(self, error: UserError) -> Iterator[CheckResult]:
        """Yield the problems of an error as failed checks."""
        source = self.state_dir.key_source
        file = str(source.file)
        items = {file: f"key file {file}"}
        try:
            database = self.state_dir.database().name
        except UserError:
            pass
        else:
            items[database] = f"database {database}"
        for problem in error.problems:
            if isinstance(error, UnfitKey):
                name, message = source.name, problem
            else:
                name, message = next(
                    ((name, problem.removeprefix(f"{name}: ")) for name in items if problem.startswith(f"{name}: ")),
                    (problem.partition(": ")[0], problem.partition(": ")[2]),
                )
            is_setting = name not in items and (error.is_setting or name == source.name)
            yield CheckResult(CheckStatus.FAILED, items.get(name, name), message, is_setting)


@dataclass(frozen=True, slots=True)
class Check:
    """A check, with the moments at which the check runs.

    :ivar find: runs the check and yields the results.
    :ivar ends: whether no further checks run if this check fails.
    """

    moments: frozenset[Moment]
    find: Callable[[Subject], Iterable[CheckResult]]
    ends: bool = False

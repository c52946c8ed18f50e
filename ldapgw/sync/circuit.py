# SPDX-License-Identifier: MIT
"""When not to ask Google at all: a circuit for each tenant.  Pure.

Where Google as a whole is down, or the tenant's client is wrong, every account would fail alike.  Then the circuit is
open: nobody asks, but one account now and then, and once that goes well everybody does again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ldapgw.errors import (
    ApiDisabled,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    NetworkTrouble,
    QuotaExceeded,
)

MINUTE = 60.0
HOUR = 3600.0
# So many accounts in a row that cannot reach Google are no accident.
ENOUGH = 3
LONGEST_WAIT = 900.0
# Whoever tries for all needs at most so long for one call; the others wait for what comes of it.
TRIAL_SECONDS = 90.0

_OF_THE_TENANT = (ClientRejected, ApiDisabled)
_OF_GOOGLE = (GoogleUnavailable, NetworkTrouble)


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of Google as a tenant sees it.

    :ivar failed: accounts that could not reach Google, with no other outcome in between.
    :ivar trips: how often it has opened since it was last closed.
    :ivar until: until when nobody asks, in seconds since the epoch; None where it is closed.
    :ivar code: the error code that opened it.
    """

    failed: frozenset[int] = frozenset()
    trips: int = 0
    until: float | None = None
    code: str = ""

    @property
    def is_open(self) -> bool:
        """Whether accounts do not ask as they like."""
        return self.until is not None

    def wait(self, now: float) -> float:
        """Seconds that an account still has to wait; a clock that was wrong does not make it longer."""
        return min(max(self.until - now, 0.0), 2 * HOUR) if self.until is not None else 0.0

    def tried(self, now: float) -> Circuit:
        """One account asks now; the others wait for what comes of it."""
        return replace(self, until=now + TRIAL_SECONDS) if self.is_open else self

    def after(self, error: Exception | None, account_id: int, now: float, jitter: float) -> Circuit:
        """What is known after an account has asked.

        :param error: what came of it; None: it went well.
        :param jitter: a random number from 0 to 1.
        """
        if isinstance(error, _OF_THE_TENANT):
            return replace(self, trips=self.trips + 1, until=now + HOUR * (0.9 + 0.2 * jitter), code=error.code)
        if isinstance(error, _OF_GOOGLE):
            failed = self.failed | {account_id}
            if len(failed) < ENOUGH and not self.is_open:
                return replace(self, failed=failed)
            until = now + self._least(error, jitter)
            return replace(self, failed=failed, trips=self.trips + 1, until=until, code=self.code or error.code)
        if isinstance(error, QuotaExceeded) and self.is_open:
            # Google answers again, and wants fewer calls: this is no time for all to come back.
            return replace(self, until=now + self._least(error, jitter))
        return Circuit() if self._is_refuted(error) else self

    def _least(self, error: GoogleError, jitter: float) -> float:
        """Seconds that nobody asks, longer from time to time, and as long as Google says in any case."""
        own = min(MINUTE * 2.0 ** min(self.trips, 16), LONGEST_WAIT) * (0.5 + 0.5 * jitter)
        return max(own, error.retry_after or 0.0)

    def _is_refuted(self, error: Exception | None) -> bool:
        """Whether an outcome shows that what opened the circuit is over; a fault of ours shows nothing."""
        if error is None:
            return True
        if self.code == ClientRejected.code:
            return isinstance(error, ConsentRevoked)
        return isinstance(error, GoogleError) and self.code != ApiDisabled.code

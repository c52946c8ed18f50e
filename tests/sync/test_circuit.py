# SPDX-License-Identifier: MIT
"""When a tenant's accounts leave Google alone, and who finds out that it is well again."""

from __future__ import annotations

import pytest

from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleUnavailable,
    NetworkTrouble,
    QuotaExceeded,
    SuspiciousShrink,
)
from ldapgw.sync.backoff import TRIAL_SECONDS, Circuit

NOW = 1_800_000_000.0
DOWN = GoogleUnavailable()
CLOSED = Circuit()


def failing(*account_ids: int, error: Exception = DOWN, circuit: Circuit = CLOSED) -> Circuit:
    for account_id in account_ids:
        circuit = circuit.after(error, account_id, NOW, 1.0)
    return circuit


DOWN_NOW = failing(1, 2, 3)
REJECTED = failing(1, error=ClientRejected())
DISABLED = failing(1, error=ApiDisabled())


def test_it_is_closed_at_first() -> None:
    """Nobody waits."""
    assert not Circuit().is_open
    assert Circuit().wait(NOW) == 0.0
    assert Circuit().tried(NOW) == Circuit()


def test_three_accounts_in_a_row_open_it() -> None:
    """The same one three times is its own trouble."""
    assert not failing(1, 1, 1).is_open
    assert not failing(1, 2).is_open
    opened = failing(1, 2, 3)
    assert (opened.is_open, opened.wait(NOW), opened.code) == (True, 60.0, "google_unavailable")


def test_an_outcome_in_between_begins_anew() -> None:
    """Whatever Google answers, it answers."""
    for error in (None, QuotaExceeded(), BadResponse(), SuspiciousShrink(20, 11), ConsentRevoked()):
        assert not failing(3, circuit=failing(1, 2).after(error, 9, NOW, 1.0)).is_open


def test_a_fault_of_ours_shows_nothing() -> None:
    """It closes nothing and opens nothing."""
    assert failing(3, circuit=failing(1, 2).after(ZeroDivisionError(), 9, NOW, 1.0)).is_open


@pytest.mark.parametrize(
    ("trips", "least", "most"), [(1, 30, 60), (2, 60, 120), (4, 240, 480), (5, 450, 900), (50, 450, 900)]
)
def test_it_stays_open_longer_and_longer(trips: int, least: float, most: float) -> None:
    """Up to a quarter of an hour, half of it in any case."""
    for jitter, wait in ((0.0, least), (1.0, most)):
        circuit = Circuit(failed=frozenset({1, 2}))
        for _ in range(trips):
            circuit = circuit.after(NetworkTrouble(), 3, NOW, jitter)
        assert circuit.wait(NOW) == wait


@pytest.mark.parametrize("error", [ClientRejected(), ApiDisabled()], ids=lambda error: error.code)
def test_one_account_is_enough_for_what_is_the_tenants(error: Exception) -> None:
    """It is tried again after an hour, a tenth more or less."""
    assert [Circuit().after(error, 1, NOW, jitter).wait(NOW) for jitter in (0.0, 1.0)] == pytest.approx(
        [3240.0, 3960.0]
    )


def test_one_tries_for_all() -> None:
    """Once the wait is over the first one asks; the others wait for what comes of it."""
    assert DOWN_NOW.wait(NOW + 61) == 0.0
    trying = DOWN_NOW.tried(NOW + 61)
    assert (trying.is_open, trying.wait(NOW + 61)) == (True, TRIAL_SECONDS)
    assert trying.after(None, 1, NOW + 62, 1.0) == Circuit()
    again = trying.after(DOWN, 1, NOW + 62, 1.0)
    assert (again.wait(NOW + 62), again.code) == (120.0, "google_unavailable")


@pytest.mark.parametrize(
    ("circuit", "error", "closes"),
    [
        (DOWN_NOW, QuotaExceeded(), False),
        (DOWN_NOW, BadResponse(), True),
        (DOWN_NOW, ConsentRevoked(), True),
        (DOWN_NOW, ZeroDivisionError(), False),
        (REJECTED, None, True),
        (REJECTED, ConsentRevoked(), True),
        (REJECTED, QuotaExceeded(), False),
        (REJECTED, DOWN, False),
        (DISABLED, None, True),
        (DISABLED, ConsentRevoked(), False),
        (DISABLED, QuotaExceeded(), False),
    ],
)
def test_what_closes_it(circuit: Circuit, error: Exception | None, closes: bool) -> None:
    """Only what shows that its reason is gone: a grant that is refused shows that the client was taken."""
    assert circuit.after(error, 1, NOW + 4000, 1.0).is_open == (not closes)


@pytest.mark.parametrize("error", [GoogleUnavailable, QuotaExceeded], ids=lambda error: error.code)
def test_as_long_as_google_says(error: type[GoogleError]) -> None:
    """But not shorter than it would be otherwise."""
    waits = [DOWN_NOW.after(error(retry_after=asked), 4, NOW, 1.0).wait(NOW) for asked in (None, 5.0, 700.0)]
    assert waits == [120.0, 120.0, 700.0]


def test_a_wrong_client_stays_what_it_is_while_google_is_down() -> None:
    """The reason that it opened for is the one that counts."""
    assert failing(5, circuit=REJECTED).code == "client_rejected"


def test_a_clock_that_was_wrong_does_not_lock_it() -> None:
    """Two hours are more than any wait of its own."""
    assert REJECTED.wait(NOW - 86400 * 365) == 7200.0

# SPDX-License-Identifier: MIT
"""When to sync next, when a tenant's accounts leave Google alone, and who finds out that Google is well again."""

from __future__ import annotations

from typing import Any

import pytest

from ldapgw.contact import Sharing
from ldapgw.errors import (
    ApiDisabled,
    BadResponse,
    ClientRejected,
    ConsentRevoked,
    GoogleError,
    GoogleRefused,
    GoogleUnavailable,
    NetworkFailure,
    QuotaExceeded,
    ScopeMissing,
    SuspiciousShrink,
)
from ldapgw.peers.leadership import OnlyGateway
from ldapgw.store.accounts import Account, ErrorStatus
from ldapgw.sync.retry import (
    TRIAL_SECONDS,
    CircuitBreaker,
    CircuitBreakers,
    Grantor,
    after_failure,
    after_source_failure,
    after_success,
)

TEN_MINUTES, MINUTE = 600.0, 60.0


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 540.0), (0.5, 600.0), (1.0, 660.0)])
def test_after_a_good_sync(jitter: float, wait: float) -> None:
    """The interval, a tenth more or less."""
    assert after_success(TEN_MINUTES, jitter) == pytest.approx(wait)


# error, failures in a row, interval, seconds with the least and with the most jitter
CASES = {
    "consent gone: not before a person acts": (ConsentRevoked(), 1, TEN_MINUTES, None, None),
    "box not ticked: not before a person acts": (ScopeMissing(), 1, TEN_MINUTES, None, None),
    "the client is wrong: hourly": (ClientRejected(), 9, TEN_MINUTES, 3240.0, 3960.0),
    "the API is off: hourly": (ApiDisabled(), 1, TEN_MINUTES, 3240.0, 3960.0),
    "a shrunk book: hourly, each try is a full listing": (SuspiciousShrink(20, 11), 1, TEN_MINUTES, 3600.0, 4320.0),
    "a shrunk book still: daily": (SuspiciousShrink(20, 11), 9, TEN_MINUTES, 86400.0, 103680.0),
    "first network trouble: as after a good sync": (NetworkFailure(), 1, TEN_MINUTES, 540.0, 660.0),
    "second: half of it is random": (NetworkFailure(), 2, TEN_MINUTES, 600.0, 1200.0),
    "third": (GoogleUnavailable(), 3, TEN_MINUTES, 1200.0, 2400.0),
    "at most an hour": (GoogleUnavailable(), 60, TEN_MINUTES, 1800.0, 3600.0),
    "an answer that makes no sense: at most a day": (BadResponse(), 60, TEN_MINUTES, 43200.0, 86400.0),
    "never sooner than a healthy account": (NetworkFailure(), 60, 21600.0, 19440.0, 23760.0),
    "nor when it is refused": (GoogleRefused(), 1, 21600.0, 19440.0, 23760.0),
    "nor by a quota": (QuotaExceeded(), 1, 21600.0, 19440.0, 23760.0),
    "an interval of a second does not hammer": (GoogleUnavailable(), 5, 1.0, 8.0, 16.0),
    "quota: another interval": (QuotaExceeded(), 1, TEN_MINUTES, 540.0, 660.0),
    "quota: the next minute": (QuotaExceeded(), 1, MINUTE, 60.0, 120.0),
    "quota again": (QuotaExceeded(), 2, MINUTE, 60.0, 180.0),
    "quota still": (QuotaExceeded(), 60, MINUTE, 60.0, 3660.0),
    "quota of full syncs: five minutes": (QuotaExceeded(full_sync=True), 1, MINUTE, 300.0, 600.0),
    "of full syncs again: a quarter": (QuotaExceeded(full_sync=True), 2, TEN_MINUTES, 900.0, 1800.0),
    "of full syncs still: an hour": (QuotaExceeded(full_sync=True), 7, TEN_MINUTES, 3600.0, 7200.0),
    "the time that Google names counts": (QuotaExceeded(retry_after=1000.0), 1, TEN_MINUTES, 1000.0, 1060.0),
    "and those who were told together part": (GoogleUnavailable(retry_after=100.0), 1, MINUTE, 100.0, 160.0),
    "a shorter time does not": (QuotaExceeded(retry_after=1.0), 1, TEN_MINUTES, 540.0, 660.0),
    "nor does at once": (GoogleUnavailable(retry_after=0.0), 1, TEN_MINUTES, 540.0, 660.0),
    "a day": (GoogleUnavailable(retry_after=86400.0), 1, TEN_MINUTES, 86400.0, 86460.0),
    "a fault of ours": (ZeroDivisionError(), 1, TEN_MINUTES, 540.0, 660.0),
}


@pytest.mark.parametrize(("error", "failures", "interval", "least", "most"), CASES.values(), ids=CASES)
def test_after_a_sync_that_failed(
    error: Exception, failures: int, interval: float, least: float | None, most: float | None
) -> None:
    """Seconds until the next try."""
    assert after_failure(error, failures, interval, 0.0) == (None if least is None else pytest.approx(least))
    assert after_failure(error, failures, interval, 1.0) == (None if most is None else pytest.approx(most))


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (BadResponse(), [0.0, 600.0, 43200.0]),
        (GoogleUnavailable(), [0.0, 600.0, 3600.0]),
        (QuotaExceeded(full_sync=True), [600.0, 600.0, 3600.0]),
        (QuotaExceeded(retry_after=7200.0), [7260.0, 7260.0, 7260.0]),
    ],
    ids=["an answer that makes no sense", "an outage", "too many full syncs", "as long as Google says"],
)
def test_a_source_that_cannot_be_had(error: GoogleError, waits: list[float]) -> None:
    """At first, after ten minutes, after a day: twice as long, up to a cap, and not before Google wants it."""
    assert [after_source_failure(error, lasted) for lasted in (0.0, 600.0, 86400.0)] == waits


# --- circuit breakers -------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
DOWN = GoogleUnavailable()
CLOSED = CircuitBreaker()


def failing(*account_ids: int, error: Exception = DOWN, circuit: CircuitBreaker = CLOSED) -> CircuitBreaker:
    for account_id in account_ids:
        circuit = circuit.after_outcome(error, account_id, NOW, TEN_MINUTES, 1.0)
    return circuit


DOWN_NOW = failing(1, 2, 3)
REJECTED = failing(1, error=ClientRejected())
DISABLED = failing(1, error=ApiDisabled())


def test_it_is_closed_at_first() -> None:
    """Nobody waits."""
    assert not CircuitBreaker().is_open
    assert CircuitBreaker().wait(NOW) == 0.0
    assert CircuitBreaker().begin_trial(NOW) == CircuitBreaker()


def test_three_accounts_in_a_row_open_it() -> None:
    """The same one three times is its own trouble."""
    assert not failing(1, 1, 1).is_open
    assert not failing(1, 2).is_open
    opened = failing(1, 2, 3)
    assert (opened.is_open, opened.wait(NOW), opened.code) == (True, 60.0, "google_unavailable")


def test_an_outcome_in_between_begins_anew() -> None:
    """Any answer shows that Google can be reached."""
    for error in (None, QuotaExceeded(), BadResponse(), SuspiciousShrink(20, 11), ConsentRevoked()):
        assert not failing(3, circuit=failing(1, 2).after_outcome(error, 9, NOW, TEN_MINUTES, 1.0)).is_open


def test_a_fault_of_ours_shows_nothing() -> None:
    """It closes nothing and opens nothing."""
    assert failing(3, circuit=failing(1, 2).after_outcome(ZeroDivisionError(), 9, NOW, TEN_MINUTES, 1.0)).is_open


@pytest.mark.parametrize(
    ("trips", "least", "most"), [(1, 30, 60), (2, 60, 120), (3, 120, 240), (4, 150, 300), (50, 150, 300)]
)
def test_it_stays_open_longer_and_longer(trips: int, least: float, most: float) -> None:
    """Up to five minutes, half of it in any case."""
    for jitter, wait in ((0.0, least), (1.0, most)):
        circuit = CircuitBreaker(failed=frozenset({1, 2}))
        for _ in range(trips):
            circuit = circuit.after_outcome(NetworkFailure(), 3, NOW, TEN_MINUTES, jitter)
        assert circuit.wait(NOW) == wait


def test_one_account_is_enough_for_what_is_the_tenants() -> None:
    """It is tried again after an hour, a tenth more or less."""
    waits = [
        CircuitBreaker().after_outcome(ClientRejected(), 1, NOW, TEN_MINUTES, jitter).wait(NOW) for jitter in (0.0, 1.0)
    ]
    assert waits == pytest.approx([3240.0, 3960.0])


def test_an_api_that_is_off_is_asked_for_soon_and_then_hourly() -> None:
    """Two, five and ten minutes later, however many accounts find out at the same time."""
    circuit, now, waits = CircuitBreaker(), NOW, []
    for _ in range(5):
        for account_id in (1, 2, 3):
            circuit = circuit.after_outcome(ApiDisabled(), account_id, now + account_id, TEN_MINUTES, 0.5)
        waits.append(circuit.wait(now + 3))
        now += circuit.wait(now)
    assert waits == pytest.approx([118.0, 297.0, 597.0, 3600.0, 3600.0], abs=4)
    other = circuit.after_outcome(ClientRejected(), 1, now, TEN_MINUTES, 0.5)
    assert (other.code, other.since) == ("client_rejected", now)


def test_one_tries_for_all() -> None:
    """Once the wait is over the first one asks; the others wait for what comes of it."""
    assert DOWN_NOW.wait(NOW + 61) == 0.0
    trying = DOWN_NOW.begin_trial(NOW + 61)
    assert (trying.is_open, trying.wait(NOW + 61)) == (True, TRIAL_SECONDS)
    assert trying.after_outcome(None, 1, NOW + 62, TEN_MINUTES, 1.0) == CircuitBreaker()
    again = trying.after_outcome(DOWN, 1, NOW + 62, TEN_MINUTES, 1.0)
    assert (again.wait(NOW + 62), again.code) == (120.0, "google_unavailable")


def test_no_trial_waits_longer_than_an_interval() -> None:
    """A healthy account does not either."""
    circuit = failing(1, 2)
    for account_id in range(3, 9):
        circuit = circuit.after_outcome(DOWN, account_id, NOW, 5.0, 1.0)
        assert circuit.wait(NOW) == 5.0


@pytest.mark.parametrize(("circuit", "closes"), [(DOWN_NOW, True), (REJECTED, False), (DISABLED, False)])
def test_what_an_answer_to_another_tenants_account_closes(circuit: CircuitBreaker, closes: bool) -> None:
    """An outage of their common project, and nothing that is wrong with the tenant's own client."""
    assert circuit.after_outage().is_open == (not closes)


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
def test_what_closes_it(circuit: CircuitBreaker, error: Exception | None, closes: bool) -> None:
    """Only what shows that its reason is gone: a grant that is refused shows that the client was taken."""
    assert circuit.after_outcome(error, 1, NOW + 4000, TEN_MINUTES, 1.0).is_open == (not closes)


@pytest.mark.parametrize("error", [GoogleUnavailable, QuotaExceeded], ids=lambda error: error.code)
def test_as_long_as_google_says(error: type[GoogleError]) -> None:
    """But not shorter than it would be otherwise."""
    waits = [
        DOWN_NOW.after_outcome(error(retry_after=asked), 4, NOW, TEN_MINUTES, 1.0).wait(NOW)
        for asked in (None, 5.0, 700.0)
    ]
    assert waits == [120.0, 120.0, 700.0]


def test_a_wrong_client_stays_what_it_is_while_google_is_down() -> None:
    """The reason that it opened for is the one that counts."""
    assert failing(5, circuit=REJECTED).code == "client_rejected"


def test_a_clock_that_was_wrong_does_not_lock_it() -> None:
    """Two hours are more than any wait of its own."""
    assert REJECTED.wait(NOW - 86400 * 365) == 7200.0


PROJECTS = {"acme": "1", "same": "1", "other": "2"}


def account(number: int, tenant: str = "acme", **known: Any) -> Account:
    return Account(number, tenant, f"sub-{number}", "", Sharing.PRIVATE, NOW, **known)


def grantor_of(tenant: str) -> Grantor:
    return Grantor(tenant, uses_delegation=False)


@pytest.fixture
def breakers() -> CircuitBreakers:
    """The circuit breakers of three tenants, two of which have a Google project in common; no alarm is stored."""
    unused: Any = None
    return CircuitBreakers(OnlyGateway(unused), TEN_MINUTES, lambda grantor: PROJECTS[grantor.tenant])


def fail(breakers: CircuitBreakers, error: GoogleError, *failing: Account) -> None:
    """End the syncs of accounts with an error whose end they then await."""
    for one in failing:
        breakers.end_trial(one, error, NOW, 1.0)
        breakers.await_end(one.id, Grantor.of(one), error.code)


def test_the_end_of_an_outage_releases_all_accounts_of_the_project(breakers: CircuitBreakers) -> None:
    """Their circuits close, so that none of the tenants waits for a trial of its own; another project's stay open."""
    fail(
        breakers,
        DOWN,
        *(account(10 * number + one, tenant) for number, tenant in enumerate(PROJECTS) for one in (1, 2, 3)),
    )
    released = breakers.release("1")
    are_open = {tenant: breakers.of(grantor_of(tenant)).is_open for tenant in PROJECTS}
    assert (released, are_open) == ([1, 2, 3, 11, 12, 13], {"acme": False, "same": False, "other": True})
    assert breakers.release("1") == []


def test_an_accepted_client_releases_only_the_accounts_that_have_waited_for_it(breakers: CircuitBreakers) -> None:
    """An account that has begun to sync, was removed, or waits for an outage's end does not wait for the client."""
    fail(breakers, ClientRejected(), account(1), account(2), account(3), account(4, "same"))
    fail(breakers, DOWN, account(5))
    breakers.await_end(2, grantor_of("acme"), "")
    breakers.remove(3)
    assert breakers.end_trial(account(2), None, NOW, 1.0)
    assert breakers.release(grantor_of("acme")) == [1]
    assert breakers.of(grantor_of("same")).is_open


def test_a_trial_without_a_call_leaves_the_circuit_as_it_was(breakers: CircuitBreakers) -> None:
    """The outcome of another trial counts nevertheless."""
    fail(breakers, ClientRejected(), account(1))
    acme, later = grantor_of("acme"), NOW + 4000
    before = breakers.of(acme)
    untried = breakers.begin_trial(acme, later)
    assert breakers.of(acme).wait(later) == TRIAL_SECONDS
    breakers.withdraw_trial(acme, later, untried)
    assert breakers.of(acme) == before
    untried = breakers.begin_trial(acme, later)
    breakers.end_trial(account(2), None, later, 1.0)
    breakers.withdraw_trial(acme, later, untried)
    assert not breakers.of(acme).is_open


def test_a_client_is_rejected_if_google_refuses_it_to_all_active_accounts(breakers: CircuitBreakers) -> None:
    """Otherwise the grant of one account is wrong; an account of an earlier version has an unknown client."""
    refusal, by_policy = GoogleRefused("x", by="client"), GoogleRefused("x", by="policy")
    first, second = account(1, client_id="a"), account(2, client_id="a")
    assert breakers.common_error(first, refusal, [1, 2]) is refusal
    assert isinstance(breakers.common_error(second, refusal, [1, 2]), ClientRejected)
    assert breakers.common_error(account(2), refusal, [1, 2]) is refusal
    breakers.common_error(second, refusal, [1, 2])
    breakers.remove(2)
    assert breakers.common_error(first, refusal, [1, 2]) is refusal
    assert breakers.common_error(first, by_policy, [1]) is by_policy
    assert breakers.common_error(second, refusal, [1, 2]) is refusal


@pytest.mark.parametrize(
    ("known", "event", "is_open"),
    [
        (
            {"alarm": ErrorStatus("api_disabled", NOW - 60), "error": ErrorStatus("consent_revoked", 0.0)},
            "grantor",
            True,
        ),
        ({"error": ErrorStatus("client_rejected", NOW), "delegated": True}, "grantor", False),
        ({"error": ErrorStatus("network", NOW), "failures": 1}, "project", False),
        ({"error": ErrorStatus("network", NOW)}, "", False),
        ({"error": ErrorStatus("quota", NOW), "failures": 1}, "", False),
    ],
    ids=["alarm", "refused service account", "outage", "postponed in an outage", "quota"],
)
def test_the_stored_errors_say_what_an_account_awaits(
    breakers: CircuitBreakers, known: dict[str, Any], event: str, *, is_open: bool
) -> None:
    """As before the gateway was started anew."""
    added = account(1, **known)
    breakers.add(added, NOW)
    grantor = Grantor.of(added)
    assert (breakers.of(grantor).is_open, breakers.of(grantor).wait(NOW)) == (is_open, 0.0)
    assert {"grantor": breakers.release(grantor), "project": breakers.release("1")} == {
        name: [1] if name == event else [] for name in ("grantor", "project")
    }

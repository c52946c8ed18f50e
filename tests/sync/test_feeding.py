# SPDX-License-Identifier: MIT
"""Whose turn it is to fetch the Workspace directory."""

from __future__ import annotations

import pytest

from ldapgw.store.accounts import SourceState
from ldapgw.store.directory_accounts import Candidate
from ldapgw.sync.directory_account import ENOUGH, REST_SECONDS, feeder, rests

NOW = 1_800_000_000.0
SCOPES = frozenset({"openid", "https://www.googleapis.com/auth/directory.readonly"})


def candidate(account_id: int, **more: object) -> Candidate:
    known = {"scopes": SCOPES, "state": SourceState.ON, "asked_at": NOW - 600, "trouble": ""}
    return Candidate(account_id=account_id, **(known | more))  # type: ignore[arg-type]


NEW = {"state": None, "asked_at": None}
GONE = {"trouble": "consent_revoked"}
UNGRANTED = {"scopes": frozenset({"openid"})}
CLOSED = {"state": SourceState.UNAVAILABLE}
FAILED = {"fails": "bad_response", "next_try": NOW + 20}
CASES = {
    "nobody": ([], None),
    "the first who may": ([candidate(1, **UNGRANTED), candidate(2, **NEW), candidate(3, **NEW)], 2),
    "who holds it goes on": ([candidate(1), candidate(2, holds=True)], 2),
    "who holds it has no consent any more": ([candidate(1, holds=True, **GONE), candidate(2)], 2),
    "who holds it may not any more": ([candidate(1, holds=True, **UNGRANTED), candidate(2)], 2),
    "closed to who holds it": ([candidate(1, holds=True, **CLOSED), candidate(2)], 2),
    "closed to everybody": ([candidate(1, holds=True, **CLOSED), candidate(2, **CLOSED)], None),
    "closed a day ago": ([candidate(1, **(CLOSED | {"asked_at": NOW - REST_SECONDS}))], 1),
    "who holds it has trouble of its own": ([candidate(1, holds=True, trouble="suspicious_shrink"), candidate(2)], 2),
    "it just failed through who holds it": ([candidate(1, holds=True, **FAILED), candidate(2)], 2),
    "it failed, and there is no other": ([candidate(1, holds=True, **FAILED)], None),
    "it failed some time ago, and there is no other": (
        [candidate(1, holds=True, **(FAILED | {"next_try": NOW - 1}))],
        1,
    ),
    "it failed through all, the longest ago": (
        [
            candidate(1, holds=True, fails="quota", next_try=NOW - 1),
            candidate(2, fails="quota", next_try=NOW - 1, asked_at=NOW - 900),
        ],
        2,
    ),
    "it fails through many": ([*(candidate(n, **FAILED) for n in range(ENOUGH)), candidate(9)], None),
    "it fails through some": ([*(candidate(n, **FAILED) for n in range(ENOUGH - 1)), candidate(9)], 9),
    "it would shrink": (
        [candidate(1, holds=True, fails="suspicious_shrink", next_try=NOW + 3000), candidate(2)],
        None,
    ),
    "it would shrink, an hour later": (
        [candidate(1, holds=True, fails="suspicious_shrink", next_try=NOW), candidate(2)],
        1,
    ),
    "a clock that was wrong": ([candidate(1, **(FAILED | {"asked_at": NOW + 86400}))], 1),
}


@pytest.mark.parametrize(("candidates", "expected"), CASES.values(), ids=CASES)
def test_whose_turn_it_is(candidates: list[Candidate], expected: int | None) -> None:
    """One at a time, and the next one when that one fails."""
    assert feeder(candidates, NOW) == expected


def test_a_person_need_not_wait() -> None:
    """Who is asked to sync now tries at once, whatever was the matter."""
    shrinking = candidate(1, holds=True, fails="suspicious_shrink", next_try=NOW + 3000)
    assert feeder([shrinking, candidate(2)], NOW, asked=1) == 1
    assert feeder([shrinking, candidate(2)], NOW, asked=2) is None
    assert feeder([candidate(1, holds=True, **FAILED)], NOW, asked=1) == 1


@pytest.mark.parametrize(
    ("state", "ago", "expected"),
    [
        (SourceState.ON, 5, False),
        (None, 5, False),
        (SourceState.UNAVAILABLE, 5, True),
        (SourceState.NOT_GRANTED, 5, True),
        (SourceState.UNAVAILABLE, REST_SECONDS, False),
        (SourceState.UNAVAILABLE, -5, False),
        (SourceState.UNAVAILABLE, None, False),
    ],
)
def test_what_google_does_not_offer_rests(state: SourceState | None, ago: float | None, expected: bool) -> None:
    """For a day."""
    assert rests(state, None if ago is None else NOW - ago, NOW) == expected

# SPDX-License-Identifier: MIT
"""The choice of the account through which a tenant's Workspace directory is fetched.

The functions are pure.  One account at a time fetches the directory, as long as it can.  When it fails, another account
takes over; when all accounts fail, they take turns, so that the gateway notices when the directory is available again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.contact import Source
from ldapgw.errors import ConsentRevoked, SuspiciousShrink
from ldapgw.google.oauth import sources_of
from ldapgw.store.accounts import SourceState
from ldapgw.store.directory_accounts import DirectoryCandidate

# A source that Google refuses is requested again after this time, because administrators may change the settings.
UNAVAILABLE_RETRY_SECONDS = 86400.0
# When this many accounts have failed recently, no further account is tried.
MAX_FAILING_ACCOUNTS = 3


def is_resting(state: SourceState | None, asked_at: float | None, now: float) -> bool:
    """Whether a refused source is not requested for now; an `asked_at` in the future, by a wrong clock, is ignored.

    :param asked_at: when the source was last requested, in seconds since the epoch.
    """
    is_refused = state in (SourceState.UNAVAILABLE, SourceState.NOT_GRANTED)
    return is_refused and asked_at is not None and 0 <= now - asked_at < UNAVAILABLE_RETRY_SECONDS


def choose_directory_account(
    candidates: Iterable[DirectoryCandidate], now: float, requested_account_id: int | None = None
) -> int | None:
    """The id of the account to fetch the directory through; None when no account is to be tried now.

    :param now: seconds since the epoch.
    :param requested_account_id: an account whose sync a person has requested, which need not wait after a failure.
    """
    eligible = [candidate for candidate in candidates if _is_eligible(candidate, now)]
    current = next((candidate for candidate in eligible if candidate.is_directory_account), None)
    if current is not None and current.account_id == requested_account_id:
        return requested_account_id
    if current is not None and current.directory_error == SuspiciousShrink.code:
        # As many contacts would vanish through another account: a person has to accept the loss first.
        eligible = [current]
    waiting = [
        candidate
        for candidate in eligible
        if candidate.account_id != requested_account_id and _is_backing_off(candidate, now)
    ]
    ready = [candidate for candidate in eligible if candidate not in waiting]
    return min(ready, key=_preference).account_id if ready and len(waiting) < MAX_FAILING_ACCOUNTS else None


def _is_eligible(candidate: DirectoryCandidate, now: float) -> bool:
    if Source.DIRECTORY not in sources_of(candidate.scopes) or candidate.account_error == ConsentRevoked.code:
        return False
    if candidate.hd == "":  # a consumer account has no directory
        return False
    return not is_resting(candidate.state, candidate.asked_at, now)


def _is_backing_off(candidate: DirectoryCandidate, now: float) -> bool:
    since, until = candidate.asked_at, candidate.next_try
    return since is not None and until is not None and since <= now < until


def _preference(candidate: DirectoryCandidate) -> tuple[bool, float, bool, int]:
    """Sort key: no error first, else longest not requested first; then the directory account; then the oldest."""
    has_error = bool(candidate.directory_error or candidate.account_error)
    asked_at = (candidate.asked_at or 0.0) if has_error else 0.0
    return has_error, asked_at, not candidate.is_directory_account, candidate.account_id

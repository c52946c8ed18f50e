# SPDX-License-Identifier: MIT
"""Through which account a tenant's Workspace directory is fetched.  Pure.

One at a time: whoever holds it goes on with it for as long as that works.  When it does not, the next one takes over;
when it works through none, they take turns, so that it is noticed when it works again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldapgw.contact import Source
from ldapgw.errors import ConsentRevoked, SuspiciousShrink
from ldapgw.google.oauth import sources_of
from ldapgw.store.accounts import SourceState
from ldapgw.store.directory_accounts import DirectoryCandidate

# Where Google does not offer a source it is asked again after so long: administrators change their minds.
UNAVAILABLE_RETRY_SECONDS = 86400.0
# When it could not be had through so many, there is no use in trying it through yet another one.
MAX_FAILING_ACCOUNTS = 3


def is_resting(state: SourceState | None, asked_at: float | None, now: float) -> bool:
    """Whether a source that could not be had is left alone for now; a clock that was wrong does not make it longer."""
    impossible = state in (SourceState.UNAVAILABLE, SourceState.NOT_GRANTED)
    return impossible and asked_at is not None and 0 <= now - asked_at < UNAVAILABLE_RETRY_SECONDS


def choose_directory_account(
    candidates: Iterable[DirectoryCandidate], now: float, requested_account_id: int | None = None
) -> int | None:
    """The account to fetch a directory through; None when there is none.

    :param asked: an account that a person wants to be synced now, whatever was the matter with it.
    """
    willing = [one for one in candidates if _is_eligible(one, now)]
    holder = next((one for one in willing if one.is_directory_account), None)
    if holder is not None and holder.account_id == requested_account_id:
        return requested_account_id
    if holder is not None and holder.directory_error == SuspiciousShrink.code:
        # Through another account just as much would vanish: a person has to say that it may.
        willing = [holder]
    waiting = [one for one in willing if one.account_id != requested_account_id and _is_backing_off(one, now)]
    ready = [one for one in willing if one not in waiting]
    return min(ready, key=_preference).account_id if ready and len(waiting) < MAX_FAILING_ACCOUNTS else None


def _is_eligible(one: DirectoryCandidate, now: float) -> bool:
    granted = Source.DIRECTORY in sources_of(one.scopes)
    return granted and one.account_error != ConsentRevoked.code and not is_resting(one.state, one.asked_at, now)


def _is_backing_off(one: DirectoryCandidate, now: float) -> bool:
    """Whether its last failure was just now."""
    since, until = one.asked_at, one.next_try
    return since is not None and until is not None and since <= now < until


def _preference(one: DirectoryCandidate) -> tuple[bool, float, bool, int]:
    """The smaller, the better: no trouble; else asked longest ago; then who holds it; then who came first."""
    in_trouble = bool(one.directory_error or one.account_error)
    return in_trouble, (one.asked_at or 0.0) if in_trouble else 0.0, not one.is_directory_account, one.account_id

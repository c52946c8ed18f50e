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
from ldapgw.store.directory_accounts import Candidate

# Where Google does not offer a source it is asked again after so long: administrators change their minds.
REST_SECONDS = 86400.0
# When it could not be had through so many, there is no use in trying it through yet another one.
ENOUGH = 3


def rests(state: SourceState | None, asked_at: float | None, now: float) -> bool:
    """Whether a source that could not be had is left alone for now; a clock that was wrong does not make it longer."""
    impossible = state in (SourceState.UNAVAILABLE, SourceState.NOT_GRANTED)
    return impossible and asked_at is not None and 0 <= now - asked_at < REST_SECONDS


def feeder(candidates: Iterable[Candidate], now: float, asked: int | None = None) -> int | None:
    """The account to fetch a directory through; None when there is none.

    :param asked: an account that a person wants to be synced now, whatever was the matter with it.
    """
    willing = [one for one in candidates if _is_willing(one, now)]
    holder = next((one for one in willing if one.holds), None)
    if holder is not None and holder.account_id == asked:
        return asked
    if holder is not None and holder.fails == SuspiciousShrink.code:
        # Through another account just as much would vanish: a person has to say that it may.
        willing = [holder]
    waiting = [one for one in willing if one.account_id != asked and _waits(one, now)]
    ready = [one for one in willing if one not in waiting]
    return min(ready, key=_rank).account_id if ready and len(waiting) < ENOUGH else None


def _is_willing(one: Candidate, now: float) -> bool:
    granted = Source.DIRECTORY in sources_of(one.scopes)
    return granted and one.trouble != ConsentRevoked.code and not rests(one.state, one.asked_at, now)


def _waits(one: Candidate, now: float) -> bool:
    """Whether its last failure was just now."""
    since, until = one.asked_at, one.next_try
    return since is not None and until is not None and since <= now < until


def _rank(one: Candidate) -> tuple[bool, float, bool, int]:
    """The smaller, the better: no trouble; else asked longest ago; then who holds it; then who came first."""
    in_trouble = bool(one.fails or one.trouble)
    return in_trouble, (one.asked_at or 0.0) if in_trouble else 0.0, not one.holds, one.account_id

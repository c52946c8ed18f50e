# SPDX-License-Identifier: MIT
"""The texts of the pages about the history of syncs and the activity log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ldapgw.phrase import Phrase, Texts, Translatable, joined, read_texts
from ldapgw.store.activity import Act
from ldapgw.store.sync_history import SyncAttempt, SyncDay, SyncFigures


class _RecordTexts(Texts, frozen=True):
    """The texts of records: the ends of a sync, what a sync changed, and the syncs of a day.

    :ivar errors: short texts for the error codes of ``status.json``; ``internal`` is for all other codes.  An account's
        page explains its present error at length.
    """

    postponed: str
    failed: str
    up_to_date: str
    changed: str
    added: str
    removed: str
    skipped: str
    no_changes: str
    postponed_day: str
    day_without_syncs: str
    day_with_syncs: str
    errors: Mapping[str, str]
    acts: Mapping[Act, str]
    actors: Mapping[str, str]


_TEXTS = read_texts("web/texts/records", _RecordTexts)

ACTS = _TEXTS.acts

# The heights of the strip's bars: for a day with syncs, for a day on which all syncs were postponed, and for a day
# without syncs.
_FULL, _POSTPONED, _EMPTY = 24, 9, 3
# The least height of the part of a bar that shows failed syncs, so that the part can be seen.
_LEAST_FAILED = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in the strip of fourteen days.

    :ivar failed: the height of the bar's part for failed syncs, which is proportional to the share of failed syncs.
    :ivar kind: the CSS class of the colour of the bar's other part.
    :ivar when: noon of the day, in seconds since the epoch.
    """

    kind: str
    height: int
    failed: int
    when: float
    words: Translatable


def act_words(code: str) -> str:
    """Return the text for an act."""
    return ACTS[Act(code)] if code in {*Act} else code


def actor_words(name: str) -> str:
    """Return the text for the actor of an act."""
    return _TEXTS.actors.get(name, name)


def figures_words(figures: SyncFigures) -> Translatable:
    """Return the text for what a sync changed: “3 changed, 1 added”."""
    parts = (
        (figures.changed, _TEXTS.changed),
        (figures.added, _TEXTS.added),
        (figures.removed, _TEXTS.removed),
        (figures.skipped, _TEXTS.skipped),
    )
    words = [Phrase(text, {"count": count}) for count, text in parts if count]
    # A plain text within a phrase would not be translated.
    return joined(words) if words else Phrase(_TEXTS.no_changes)


def outcome(attempt: SyncAttempt) -> Translatable:
    """Return a sentence that says how a sync ended."""
    if attempt.error:
        why = Phrase(_TEXTS.errors.get(attempt.error, _TEXTS.errors["internal"]))
        return Phrase(_TEXTS.postponed if attempt.is_postponed else _TEXTS.failed, {"why": why})
    return Phrase(_TEXTS.up_to_date, {"what": figures_words(attempt.figures)})


def strip(days: Iterable[SyncDay]) -> tuple[Bar, ...]:
    """Return a bar for each day."""
    return tuple(map(_bar, days))


def _bar(day: SyncDay) -> Bar:
    noon = (day.day + 0.5) * 86400
    if day.is_postponed:
        return Bar("quiet", _POSTPONED, 0, noon, _TEXTS.postponed_day)
    count = day.ok + day.failed
    if not count:
        return Bar("quiet", _EMPTY, 0, noon, _TEXTS.day_without_syncs)
    failed = min(max(round(_FULL * day.failed / count), _LEAST_FAILED if day.failed else 0), _FULL)
    if day.ok:
        failed = min(failed, _FULL - _LEAST_FAILED)
    values = {"ok": day.ok, "failed": day.failed, "changes": day.changes}
    return Bar("good", _FULL, failed, noon, Phrase(_TEXTS.day_with_syncs, values))

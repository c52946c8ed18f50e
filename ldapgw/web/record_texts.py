# SPDX-License-Identifier: MIT
"""The texts of the pages about the history of syncs and the activity log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ldapgw.phrase import Phrase, Texts, Translatable, read_texts
from ldapgw.store.activity import Act
from ldapgw.store.sync_history import SyncAttempt, SyncDay, SyncFigures


class _OutcomeTexts(Texts, frozen=True):
    """The texts for the ends of a sync."""

    postponed: str
    failed: str
    up_to_date: str


class _FigureTexts(Texts, frozen=True):
    """The texts for what a sync changed, in the order of the sentence."""

    changed: str
    added: str
    removed: str
    skipped: str
    none: str


class _DayTexts(Texts, frozen=True):
    """The syncs of a day."""

    postponed: str
    none: str
    some: str


class _RecordTexts(Texts, frozen=True):
    """The texts of records.

    :ivar errors: short words for the error codes of ``status.json``; an account's page explains its present error at
        length.  ``internal`` is for all other codes.
    """

    errors: Mapping[str, str]
    outcomes: _OutcomeTexts
    figures: _FigureTexts
    days: _DayTexts
    acts: Mapping[Act, str]
    actors: Mapping[str, str]


_TEXTS = read_texts("web/texts/records", _RecordTexts)

ACTS = _TEXTS.acts

# Height of the strip's bars by their CSS class; the classes differ in height too, for who does not see the colors.
_HEIGHTS = {"good": 24, "warn": 16, "bad": 9, "quiet": 3}


@dataclass(frozen=True, slots=True)
class Bar:
    """A day in the strip of fourteen days.

    :ivar kind: the CSS class of the color.
    :ivar when: noon of the day, in seconds since the epoch.
    """

    kind: str
    height: int
    when: float
    words: Translatable


def error_words(code: str) -> str:
    """An error code in a few words."""
    return _TEXTS.errors.get(code, _TEXTS.errors["internal"])


def act_words(code: str) -> str:
    """Return the text for what somebody did."""
    return ACTS[Act(code)] if code in {*Act} else code


def actor_words(name: str) -> str:
    """Return the text for who did an act."""
    return _TEXTS.actors.get(name, name)


def figures_words(figures: SyncFigures) -> Translatable:
    """Return the text for what a sync changed: “3 changed, 1 added”."""
    texts = _TEXTS.figures
    parts = (
        (figures.changed, texts.changed),
        (figures.added, texts.added),
        (figures.removed, texts.removed),
        (figures.skipped, texts.skipped),
    )
    words = [Phrase(text, {"count": count}) for count, text in parts if count]
    if not words:
        return Phrase(texts.none)  # inside a phrase, a plain text would stay English
    joined, *others = words
    for other in others:
        joined = Phrase("%(first)s, %(other)s", {"first": joined, "other": other})
    return joined


def outcome(attempt: SyncAttempt) -> Translatable:
    """Return a sentence that says how a sync ended."""
    if attempt.is_postponed:
        return Phrase(_TEXTS.outcomes.postponed, {"why": Phrase(error_words(attempt.error))})
    if attempt.error:
        return Phrase(_TEXTS.outcomes.failed, {"why": Phrase(error_words(attempt.error))})
    return Phrase(_TEXTS.outcomes.up_to_date, {"what": figures_words(attempt.figures)})


def strip(days: Iterable[SyncDay]) -> tuple[Bar, ...]:
    """The bars of some days."""
    return tuple(_bar(day) for day in days)


def _bar(day: SyncDay) -> Bar:
    words: Translatable
    if day.is_postponed:
        words = _TEXTS.days.postponed
        return Bar("quiet", _HEIGHTS["bad"], (day.day + 0.5) * 86400, words)
    kind = "quiet" if not day.ok + day.failed else "good" if not day.failed else "warn" if day.ok else "bad"
    words = _TEXTS.days.none
    if day.ok + day.failed:
        values = {"ok": day.ok, "failed": day.failed, "changes": day.changes}
        words = Phrase(_TEXTS.days.some, values)
    return Bar(kind, _HEIGHTS[kind], (day.day + 0.5) * 86400, words)

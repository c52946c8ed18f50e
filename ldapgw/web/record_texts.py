# SPDX-License-Identifier: MIT
"""The texts of the pages about the history of syncs and the activity log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store.activity import ADMIN_LINK, COMMAND_LINE, GATEWAY, Act
from ldapgw.store.sync_history import SyncAttempt, SyncDay, SyncFigures

# Short words for the error codes of status.json; an account's page explains its present error at length.
_ERRORS: Mapping[str, str] = {
    "consent_revoked": gettext_noop("Google access was revoked"),
    "scope_missing": gettext_noop("Access to the contacts wasn’t granted"),
    "client_rejected": gettext_noop("Google rejected the client"),
    "api_disabled": gettext_noop("The People API is turned off"),
    "quota": gettext_noop("Google’s quota was used up"),
    "google_unavailable": gettext_noop("Google had a problem"),
    "network": gettext_noop("Google couldn’t be reached"),
    "bad_response": gettext_noop("Google’s answer couldn’t be understood"),
    "suspicious_shrink": gettext_noop("Too many contacts would have been removed"),
    "google_refused": gettext_noop("Google refused access"),
}
_INTERNAL = gettext_noop("The gateway had a problem")

ACTS: Mapping[str, str] = {
    Act.CONNECTED: gettext_noop("Connected Google contacts"),
    Act.RECONNECTED: gettext_noop("Reconnected Google contacts"),
    Act.DISCONNECTED: gettext_noop("Disconnected an account"),
    Act.ACCOUNT_REMOVED: gettext_noop("Removed a person"),
    Act.SYNC_REQUESTED: gettext_noop("Started a sync"),
    Act.SHRINK_ACCEPTED: gettext_noop("Accepted the removal of contacts"),
    Act.SHARING_CHANGED: gettext_noop("Changed sharing"),
    Act.PHONE_ADDED: gettext_noop("Added a phone"),
    Act.PHONE_REMOVED: gettext_noop("Removed a phone"),
    Act.PHONE_PASSWORD: gettext_noop("Changed a phone’s password"),
    Act.PHONE_RENAMED: gettext_noop("Renamed a phone"),
    Act.PHONE_MODEL: gettext_noop("Changed a phone’s model"),
    Act.PHONE_MOVED: gettext_noop("Changed a phone’s owner"),
    Act.PHONE_NUMBER_FORMAT: gettext_noop("Changed a phone’s number format"),
    Act.PHONES_IMPORTED: gettext_noop("Imported phones"),
    Act.REPLICA_ADDED: gettext_noop("Added a replica"),
    Act.REPLICA_REMOVED: gettext_noop("Removed a replica"),
    Act.REPLICA_PASSWORD: gettext_noop("Changed a replica’s password"),
    Act.BOOK_ADDRESS_MADE: gettext_noop("Created a phone’s secret address"),
    Act.BOOK_ADDRESS_ENDED: gettext_noop("Revoked a phone’s secret address"),
    Act.RECORDING_BEGUN: gettext_noop("Started recording a phone"),
    Act.RECORDING_ENDED: gettext_noop("Stopped recording a phone"),
    Act.RECORDING_DELETED: gettext_noop("Deleted a phone’s recording"),
    Act.RECORDING_DOWNLOADED: gettext_noop("Downloaded a phone’s recording"),
    Act.PROVISIONING_MADE: gettext_noop("Created a phone’s provisioning address"),
    Act.PROVISIONING_ENDED: gettext_noop("Revoked a phone’s provisioning address"),
    Act.PROVISIONING_FETCHED: gettext_noop("Fetched a phone’s settings"),
    Act.CLIENT_ENTERED: gettext_noop("Saved the Google client"),
    Act.ADMIN_LINK_MADE: gettext_noop("Created an administration link"),
    Act.ADMIN_LINK_USED: gettext_noop("Signed in with an administration link"),
    Act.SIGNED_IN: gettext_noop("Signed in"),
    Act.BACKUP_RESTORED: gettext_noop("Restored a backup"),
    Act.KEY_ROTATED: gettext_noop("Changed the encryption key"),
}
_ACTORS: Mapping[str, str] = {
    ADMIN_LINK: gettext_noop("Administrator, by link"),
    COMMAND_LINE.name: gettext_noop("Command line"),
    GATEWAY.name: gettext_noop("Gateway"),
}

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
    return _ERRORS.get(code, _INTERNAL)


def act_words(code: str) -> str:
    """What somebody did."""
    return ACTS.get(code, code)


def actor_words(name: str) -> str:
    """Who did it."""
    return _ACTORS.get(name, name)


def figures_words(figures: SyncFigures) -> Translatable:
    """What a sync changed: “3 changed, 1 added”."""
    parts = (
        (figures.changed, gettext_noop("%(count)s changed")),
        (figures.added, gettext_noop("%(count)s added")),
        (figures.removed, gettext_noop("%(count)s removed")),
        (figures.skipped, gettext_noop("%(count)s skipped")),
    )
    words = [Phrase(text, {"count": count}) for count, text in parts if count]
    if not words:
        return Phrase(gettext_noop("no changes"))  # inside a phrase, a plain text would stay English
    joined, *others = words
    for other in others:
        joined = Phrase("%(first)s, %(other)s", {"first": joined, "other": other})
    return joined


def outcome(attempt: SyncAttempt) -> Translatable:
    """How a sync ended, as a sentence."""
    if attempt.is_postponed:
        return Phrase(gettext_noop("Postponed: %(why)s."), {"why": Phrase(error_words(attempt.error))})
    if attempt.error:
        return Phrase(gettext_noop("Sync failed: %(why)s."), {"why": Phrase(error_words(attempt.error))})
    return Phrase(gettext_noop("Up to date: %(what)s."), {"what": figures_words(attempt.figures)})


def strip(days: Iterable[SyncDay]) -> tuple[Bar, ...]:
    """The bars of some days."""
    return tuple(_bar(day) for day in days)


def _bar(day: SyncDay) -> Bar:
    words: Translatable
    if day.is_postponed:
        words = gettext_noop("syncs postponed: Google wasn’t available")
        return Bar("quiet", _HEIGHTS["bad"], (day.day + 0.5) * 86400, words)
    kind = "quiet" if not day.ok + day.failed else "good" if not day.failed else "warn" if day.ok else "bad"
    words = gettext_noop("no syncs")
    if day.ok + day.failed:
        values = {"ok": day.ok, "failed": day.failed, "changes": day.changes}
        words = Phrase(gettext_noop("syncs: %(ok)s successful, %(failed)s failed; changes: %(changes)s"), values)
    return Bar(kind, _HEIGHTS[kind], (day.day + 0.5) * 86400, words)

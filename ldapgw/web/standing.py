# SPDX-License-Identifier: MIT
"""How an account stands, in words: what its page says of each state, source and choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ldapgw.contact import Sharing
from ldapgw.web.session import Visitor
from ldapgw.web.tenant import WebTenant
from ldapgw.words import Phrase, Said, marked


@dataclass(frozen=True, slots=True)
class State:
    """How an account does: a sign, the class of its colour, a few words and a sentence."""

    sign: str
    kind: str
    title: str
    sentence: str


# By the state of the account object; the empty one is a person who never connected.
STATES: Mapping[str, State] = {
    "ok": State(
        "✓",
        "good",
        marked("Connected"),
        marked("Your contacts are on the phones, and changes follow by themselves."),
    ),
    "syncing": State(
        "✓", "good", marked("Syncing now"), marked("Your contacts are on the phones; changes are being fetched.")
    ),
    "waiting": State(
        "✓",
        "good",
        marked("Connected, first sync under way"),
        marked("Your contacts will be on the phones in a minute."),
    ),
    "attention": State(
        "!", "warn", marked("Needs attention"), marked("Your contacts are on the phones as they last were.")
    ),
    "attention before the first sync": State(
        "!", "warn", marked("Needs attention"), marked("None of your contacts are on the phones yet.")
    ),
    "disconnected": State("✗", "bad", marked("Not connected"), marked("None of your contacts are on the phones.")),
    "": State(
        "✗",
        "bad",
        marked("Not connected"),
        marked("You are signed in, but have not connected your contacts yet."),
    ),
}

SHARING: Mapping[Sharing, tuple[str, str]] = {
    Sharing.PRIVATE: (marked("Private"), marked("Only your own phones find your contacts.")),
    Sharing.CALLERS: (
        marked("Callers’ names"),
        marked(
            "When one of your contacts calls a colleague, their phone shows the name. They cannot browse or search."
        ),
    ),
    Sharing.SHARED: (
        marked("Shared"),
        marked("All phones of %(tenant)s find your contacts, with every number and address."),
    ),
}

SOURCES: Mapping[str, str] = {
    "contacts": marked("Your contacts"),
    "other_contacts": marked("Other contacts"),
    "directory": marked("Company directory"),
}
_SOURCE_STATES: Mapping[str, tuple[str, str]] = {
    "on": ("good", marked("on")),
    "not granted": ("warn", marked("not granted: connect again and tick its box")),
    "unavailable": ("quiet", marked("Google does not offer it to this account")),
}

# Troubles that another consent mends.
_CONSENT_TROUBLES = frozenset({"consent_revoked", "scope_missing"})
# Warnings of a consent that ends on a certain day.
_ENDING = frozenset({"testing_client", "consent_ends"})


def of_status(tenant: WebTenant, visitor: Visitor, status: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the page says of an account.

    :param status: its account object; None for a person who has never connected.
    """
    return {
        "state": _state(status),
        "link": visitor.account.trouble.link if visitor.account and visitor.account.trouble else "",
        "connected": visitor.account is not None and visitor.account.connected,
        "reconnect": _reconnect(status) if status else "",
        "sources": _sources(status) if status else (),
        "choices": [
            (sharing.value, label, Phrase(line, {"tenant": tenant.heading}))
            for sharing, (label, line) in SHARING.items()
        ],
    }


def _state(status: Mapping[str, Any] | None) -> State:
    if status is None:
        return STATES[""]
    new = status["state"] == "attention" and status["last_sync"] is None
    return STATES["attention before the first sync" if new else status["state"]]


def _reconnect(status: Mapping[str, Any]) -> str:
    """Whether connecting again ``must`` or ``may`` be done; empty where it would mend nothing."""
    if status["error"] and status["error"]["code"] in _CONSENT_TROUBLES:
        return "must"
    ends = any(warning["code"] in _ENDING for warning in status["warnings"])
    return "may" if ends or "not granted" in status["sources"].values() else ""


def _sources(status: Mapping[str, Any]) -> list[tuple[str, str, Said]]:
    """Label, class and words of each source that takes part or should; none are known before the first sync."""
    return [
        (SOURCES[name], *_SOURCE_STATES[state]) for name, state in status["sources"].items() if state in _SOURCE_STATES
    ]

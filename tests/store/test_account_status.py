# SPDX-License-Identifier: MIT
"""An account as people see it: states, messages, warnings, the contract's object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ldapgw.contact import Sharing, Source
from ldapgw.server.counters import error_codes
from ldapgw.store.account_status import (
    STALE_SECONDS,
    TESTING_SECONDS,
    account_to_json,
    code_message,
    state,
    timestamp,
    with_database_error,
)
from ldapgw.store.accounts import Account, ErrorStatus, SourceState

NOW = 1_800_000_000.0
PAGE = "https://phonebook.example.com/acme/"
FINE = Account(
    id=1,
    tenant="acme",
    sub="sub-1",
    address="alice@acme.example",
    sharing=Sharing.CALLERS,
    connected_at=NOW - 9000,
    last_sync=NOW - 60,
    next_sync=NOW + 540,
    attempts=3,
    generation=2,
    sources={Source.CONTACTS: SourceState.ON, Source.DIRECTORY: SourceState.UNAVAILABLE},
    contacts=812,
    numbers=1304,
    skipped={"empty": 3},
)


def test_the_object_of_the_contract() -> None:
    """Key for key; a source that the configuration does not name is off, whatever it was."""
    assert account_to_json(FINE, (Source.CONTACTS, Source.OTHER_CONTACTS), PAGE, NOW) == {
        "account": "alice@acme.example",
        "tenant": "acme",
        "state": "ok",
        "sharing": "callers",
        "shared_label": "",
        "delegated": False,
        "contacts": 812,
        "numbers": 1304,
        "last_sync": "2027-01-15T07:59:00Z",
        "next_sync": "2027-01-15T08:09:00Z",
        "error": None,
        "warnings": [],
        "skipped": {"empty": 3},
        "sources": {"contacts": "on", "other_contacts": "off", "directory": "off"},
    }


STATES = {
    "ok": (FINE, "ok"),
    "syncing": (replace(FINE, syncing=True), "syncing"),
    "not synced yet": (replace(FINE, last_sync=None, connected_at=NOW), "waiting"),
    "not synced yet, syncing": (replace(FINE, last_sync=None, connected_at=NOW, syncing=True), "waiting"),
    "disconnected": (replace(FINE, connected_at=None), "disconnected"),
    "trouble that passes": (replace(FINE, error=ErrorStatus("network", NOW - 60)), "ok"),
    "trouble that passes, before the first sync": (
        replace(FINE, last_sync=None, connected_at=NOW, error=ErrorStatus("quota", NOW)),
        "waiting",
    ),
    "trouble that did not pass for a day": (
        replace(FINE, last_sync=NOW - STALE_SECONDS - 1, error=ErrorStatus("network", NOW)),
        "attention",
    ),
    "trouble of the directory that did not pass for a day": (
        replace(FINE, error=ErrorStatus("quota", NOW - STALE_SECONDS - 1, facts={"source": "directory"})),
        "attention",
    ),
    "trouble that a person has to mend": (replace(FINE, error=ErrorStatus("consent_revoked", NOW)), "attention"),
    "a shrunk book": (replace(FINE, syncing=True, error=ErrorStatus("suspicious_shrink", NOW)), "attention"),
}


@pytest.mark.parametrize(("account", "expected"), STATES.values(), ids=STATES)
def test_states(account: Account, expected: str) -> None:
    """Attention means that a person must act."""
    assert state(account, NOW) == expected


@pytest.mark.parametrize("code", error_codes())
def test_each_code_has_a_sentence_that_says_what_to_do(code: str) -> None:
    """No braces are left, and an unknown code has one as well."""
    text = str(code_message(code, FINE, PAGE))
    assert text.endswith(".")
    assert "{" not in text
    assert text != str(code_message("unheard of", FINE, PAGE)) or code == "internal"


GIVEN = replace(FINE, connected_at=NOW - 3 * 86400)
OLD = replace(FINE, connected_at=NOW - TESTING_SECONDS - 600)
UNTIL = "Until then, the contacts stay as they are."
# trouble, account, the whole sentence
TOLD = {
    "a consent that is gone": (
        ErrorStatus("consent_revoked", NOW),
        GIVEN,
        "Google no longer accepts the access that alice@acme.example granted on 2027-01-12 08:00 UTC. Reconnect on "
        f"{PAGE}. {UNTIL}",
    ),
    "gone by the will of an administrator": (
        ErrorStatus("consent_revoked", NOW, facts={"by": "admin"}),
        GIVEN,
        "The Google Workspace of alice@acme.example no longer allows this app. First, the Workspace administrator has "
        f"to trust it in the Admin console (Security, API controls). Then reconnect on {PAGE}. {UNTIL}",
    ),
    "gone after seven days": (
        ErrorStatus("consent_revoked", NOW),
        OLD,
        "The access that alice@acme.example granted on 2027-01-08 07:50 UTC ended after 7 days, because the Google "
        "client is in “Testing”. First, the administrator has to publish the app in the Google console. Then reconnect "
        f"on {PAGE}. {UNTIL}",
    ),
    "a client that is wrong": (
        ErrorStatus("client_rejected", NOW),
        FINE,
        "Google rejects the gateway’s OAuth client, so contacts can’t update. The administrator has to check the "
        "client ID and secret in the Google console (Google Auth Platform, Clients). A deleted client can be restored "
        "there for 30 days.",
    ),
    "a box of another source": (
        ErrorStatus("scope_missing", NOW, facts={"source": "directory"}),
        FINE,
        "The checkbox for the company directory wasn’t checked on Google’s page. Reconnect alice@acme.example on "
        f"{PAGE} and check “See and download your organization’s Google Workspace directory”.",
    ),
    "a box of other contacts": (
        ErrorStatus("scope_missing", NOW, facts={"source": "other_contacts"}),
        FINE,
        f"The checkbox for “Other contacts” wasn’t checked on Google’s page. Reconnect alice@acme.example on {PAGE} "
        "and check “See and download contact info automatically saved in your ‘Other contacts’”.",
    ),
    "an API that is off": (
        ErrorStatus("api_disabled", NOW, "https://console.example/x"),
        FINE,
        "Google’s People API is turned off, so contacts can’t update. The administrator has to turn on the API at "
        "https://console.example/x.",
    ),
    "an API that is off, Google does not say where": (
        ErrorStatus("api_disabled", NOW),
        FINE,
        "Google’s People API is turned off, so contacts can’t update. The administrator has to turn on the API in the "
        "Google console.",
    ),
    "a book that shrinks": (
        ErrorStatus("suspicious_shrink", NOW, facts={"before": 812, "lost": 500}),
        FINE,
        "A sync would remove 500 of 812 contacts of alice@acme.example. If that’s right, confirm it on "
        f"{PAGE} or with ldapgw sync alice@acme.example --accept-shrink. Until then, the contacts stay.",
    ),
    "a directory that shrinks": (
        ErrorStatus("suspicious_shrink", NOW, facts={"before": 90, "lost": 60, "source": "directory"}),
        FINE,
        "A sync would remove 60 of 90 entries of the company directory. If that’s right, confirm it on "
        f"{PAGE} or with ldapgw sync alice@acme.example --accept-shrink. Until then, the entries stay.",
    ),
    "other contacts that cannot be had": (
        ErrorStatus("bad_response", NOW, facts={"source": "other_contacts"}),
        FINE,
        "The “Other contacts” of alice@acme.example aren’t up to date. The gateway couldn’t understand Google’s "
        "answer, and keeps trying. If this lasts, please report it to the developers of ldapgw.",
    ),
    "labels that cannot be had": (
        ErrorStatus("google_unavailable", NOW, facts={"source": "labels"}),
        FINE,
        "The labels of alice@acme.example aren’t up to date. Google has a problem at the moment. The gateway keeps "
        "trying, so you don’t need to do anything.",
    ),
    "a directory that cannot be had": (
        ErrorStatus("google_unavailable", NOW, facts={"source": "directory"}),
        FINE,
        "The company directory from alice@acme.example isn’t up to date. Google has a problem at the moment. The "
        "gateway keeps trying, so you don’t need to do anything.",
    ),
}


@pytest.mark.parametrize(("trouble", "account", "text"), TOLD.values(), ids=TOLD)
def test_a_message_names_who_and_where(trouble: ErrorStatus, account: Account, text: str) -> None:
    """The message says what to do, and names the person and the place if Google said so."""
    error = account_to_json(replace(account, error=trouble), (), PAGE, NOW)["error"]
    assert error == {"code": trouble.code, "message": text, "since": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize("days", [6.9, 7.3, 30], ids=str)
def test_a_consent_that_ended_otherwise_is_not_blamed_on_testing(days: float) -> None:
    """Seven days and nothing else are Google's sign."""
    account = replace(FINE, connected_at=NOW - days * 86400, error=ErrorStatus("consent_revoked", NOW))
    assert "Testing" not in account_to_json(account, (), PAGE, NOW)["error"]["message"]


SOON, LATE = NOW + 604799, NOW - STALE_SECONDS - 1
# Each case differs from a fine account in these values, and has these warnings.
WARNED: dict[str, tuple[dict[str, float | None], dict[str, str]]] = {
    "a client in testing, and a day without a good sync": (
        {"connected_at": NOW, "refresh_expires_at": SOON, "last_sync": LATE},
        {
            "testing_client": "This access ends on 2027-01-22 07:59 UTC, because",
            "stale": "No sync has succeeded since 2027-01-14 07:59 UTC.",
        },
    ),
    "a client in testing, after its seven days": (
        {"connected_at": NOW - 60 - 604799, "refresh_expires_at": NOW - 60},
        {"testing_client": "This access ended on 2027-01-15 07:59 UTC, because"},
    ),
    "a consent for a time that its owner chose": (
        {"connected_at": NOW, "refresh_expires_at": NOW + 30 * 86400},
        {"consent_ends": "This access ends on 2027-02-14 08:00 UTC. To keep your contacts up to date, reconnect on"},
    ),
    "never synced for a day": (
        {"connected_at": LATE, "last_sync": None},
        {"stale": "No sync has succeeded yet since the account was connected on 2027-01-14 07:59 UTC."},
    ),
    "not connected": ({"connected_at": None, "refresh_expires_at": NOW, "last_sync": LATE}, {}),
    "a certificate that ends soon": (
        {"certificate": NOW + 60},
        {"certificate_expiry": "The gateway’s certificate expires on 2027-01-15 08:01 UTC. "},
    ),
    "a certificate that ends now": (
        {"certificate": NOW},
        {"certificate_expiry": "The gateway’s certificate expired on 2027-01-15 08:00 UTC, so "},
    ),
}


@pytest.mark.parametrize(("changes", "warnings"), WARNED.values(), ids=WARNED)
def test_warnings(changes: dict[str, Any], warnings: dict[str, str]) -> None:
    """They begin with these words."""
    changes = dict(changes)
    certificate = changes.pop("certificate", None)
    found = account_to_json(replace(FINE, **changes), (), PAGE, NOW, certificate)["warnings"]
    assert [one["code"] for one in found] == [*warnings]
    assert [one["message"][: len(warnings[one["code"]])] for one in found] == [*warnings.values()]


@pytest.mark.parametrize(
    "account",
    [FINE, replace(FINE, error=ErrorStatus("quota", NOW)), replace(FINE, syncing=True)],
    ids=["fine", "in trouble", "syncing"],
)
def test_a_database_that_cannot_be_used(account: Account) -> None:
    """Nobody's syncs go on, whatever else was the matter, and a person has to act."""
    assert with_database_error(account, None) is account
    disconnected = replace(account, connected_at=None)  # nothing is to be synced
    assert with_database_error(disconnected, NOW) is disconnected
    shown = account_to_json(with_database_error(account, NOW - 60), (), PAGE, NOW)
    assert shown["state"] == "attention"
    assert (shown["error"]["code"], shown["error"]["since"]) == ("internal", timestamp(NOW - 60))
    assert shown["error"]["message"].startswith("The gateway can’t use its database")


def test_timestamps() -> None:
    """RFC 3339, UTC, to the second."""
    assert timestamp(0.9) == "1970-01-01T00:00:00Z"
    assert timestamp(None) is None

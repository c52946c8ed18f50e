# SPDX-License-Identifier: MIT
"""The module names the four lists, and reads their pages and errors."""

from __future__ import annotations

from typing import Any

from tests.support.sandbox_client import CONTACTS, DIRECTORY, MASK, OTHER, Google
from tests.support.stage.paths import COLLEAGUES, CONNECTIONS, GROUPS, OTHERS

ALL = f"openid email {CONTACTS} {OTHER} {DIRECTORY}"
DOMAIN = ["DIRECTORY_SOURCE_TYPE_DOMAIN_CONTACT", "DIRECTORY_SOURCE_TYPE_DOMAIN_PROFILE"]
QUERIES: dict[str, dict[str, Any]] = {
    CONNECTIONS: {"personFields": MASK, "requestSyncToken": "true"},
    OTHERS: {"readMask": MASK, "requestSyncToken": "true"},
    COLLEAGUES: {"readMask": MASK, "requestSyncToken": "true", "sources": DOMAIN},
    GROUPS: {},
}
KEYS = {CONNECTIONS: "connections", OTHERS: "otherContacts", COLLEAGUES: "people", GROUPS: "contactGroups"}
SIZES = {CONNECTIONS: 300, OTHERS: 6, COLLEAGUES: 25, GROUPS: 11}


def pages(google: Google, token: str, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return all pages of a list."""
    found = [google.people(path, token, **query).json]
    while "nextPageToken" in found[-1]:
        found.append(google.people(path, token, **(query | {"pageToken": found[-1]["nextPageToken"]})).json)
    return found


def problem(answer: Any) -> tuple[int, str, list[str]]:
    """Return the HTTP status, Google's status and the ErrorInfo reasons of an error."""
    error = answer.json["error"]
    assert error["code"] == answer.status
    return answer.status, error["status"], [detail["reason"] for detail in error.get("details", ())]

# SPDX-License-Identifier: MIT
"""The paths at Google that syncs call, as the sandbox counts them, and spans of time in seconds."""

from __future__ import annotations

CONNECTIONS = "/v1/people/me/connections"
OTHERS = "/v1/otherContacts"
COLLEAGUES = "/v1/people:listDirectoryPeople"
GROUPS = "/v1/contactGroups"
TOKEN = "/token"

HOUR, DAY = 3600.0, 86400.0

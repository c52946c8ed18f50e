# SPDX-License-Identifier: MIT
"""Searches as tests ask them: all matches, and the first page as a phone gets it."""

from __future__ import annotations

from ldapgw.directory.access import Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.search import Match, SearchCursor, matches


def all_matches(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> list[Match]:
    return [match for match in matches(dit, viewer, request, after) if match]


def first_page(dit: Dit, viewer: Viewer, request: SearchRequest, limit: int) -> tuple[list[Entry], bool] | None:
    """What one slice of work finds, and whether there is more; None: that is not known yet."""
    cursor = SearchCursor.over(dit, viewer, request)
    entries = [entry for batch in cursor.next(limit + 1) for entry in batch.entries()]
    if len(entries) > limit:
        return entries[:limit], True
    return (entries, False) if cursor.finished else None

# SPDX-License-Identifier: MIT
"""Searches as tests ask them: all matches, and the first page as a phone gets it."""

from __future__ import annotations

from ldapgw.directory.access import Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.search import Match, SearchCursor, first_matches, matches
from ldapgw.directory.search_scope import search_scopes


def all_matches(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> list[Match]:
    return [match for match in matches(dit, viewer, request, after) if match]


def first_page(dit: Dit, viewer: Viewer, request: SearchRequest, limit: int) -> tuple[list[Entry], bool] | None:
    """What one slice of work finds, and whether there is more; None: that is not known yet.

    Where no cursor is needed, it finds the same.
    """
    cursor = SearchCursor.over(dit, viewer, request)
    entries = [entry for batch in cursor.next(limit + 1) for entry in batch.entries()]
    scopes = search_scopes(dit, viewer, request.base, request.scope)
    batch = (
        first_matches(scopes[0], prepare(request.filter, scopes[0].context), limit + 1) if len(scopes) == 1 else None
    )
    if batch is not None:
        assert batch.entries()[: limit + 1] == entries
        assert cursor.finished or len(entries) > limit
    if len(entries) > limit:
        return entries[:limit], True
    return (entries, False) if cursor.finished else None

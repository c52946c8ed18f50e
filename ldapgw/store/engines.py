# SPDX-License-Identifier: MIT
"""Chooses the engine for a database by its URL."""

from __future__ import annotations

from ldapgw.store.database import Database
from ldapgw.store.sqlite import SqliteDatabase


def database_at(url: str, *, keeps_copies: bool = True) -> Database:
    """The database at a URL, not opened yet.

    :param url: an SQLAlchemy URL: ``sqlite:///PATH`` or, for tests, ``sqlite://`` (in memory).
    :param keeps_copies: whether to keep a copy of the database before an upgrade.
    :raises StoreError: when it is no such URL.
    """
    return SqliteDatabase(url, keeps_copies=keeps_copies)

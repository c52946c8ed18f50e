# SPDX-License-Identifier: MIT
"""Chooses the engine for a database by its URL."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ldapgw.errors import StoreError
from ldapgw.store.database import Database
from ldapgw.store.sqlite import SqliteDatabase

_EXPECTED = 'database: expected "sqlite:///PATH" or "postgresql+psycopg://USER@HOST/NAME"'


def database_at(url: str | URL, *, keeps_copies: bool = True) -> Database:
    """Return the database at a URL, without opening it.

    :param url: an SQLAlchemy URL: ``sqlite:///PATH``, ``postgresql+psycopg://USER:PASSWORD@HOST/NAME`` or, for tests,
        ``sqlite://`` (in memory).
    :param keeps_copies: whether to keep a copy of an SQLite database before an upgrade.
    :raises StoreError: if the URL has another form, or psycopg is not installed.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(_EXPECTED, is_setting=True) from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        return SqliteDatabase(parsed, keeps_copies=keeps_copies)
    if parsed.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise StoreError(_EXPECTED, is_setting=True)
    try:
        from ldapgw.store.postgresql import DRIVER, PostgresqlDatabase
    except ModuleNotFoundError:
        raise StoreError(
            "database: PostgreSQL needs psycopg; run: pip install 'ldapgw[postgresql]'", is_setting=True
        ) from None
    except ImportError:
        raise StoreError("database: psycopg finds no libpq; install it (on Debian: libpq5)", is_setting=True) from None
    return PostgresqlDatabase(parsed.set(drivername=DRIVER))

# SPDX-License-Identifier: MIT
"""A real database, of each engine in turn, and a secret_box.

Each engine has its own SQL, types and locks, so tests of the store run on both.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection

from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.databases import open_in_memory
from tests.support.stage.sync import connect


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgresql)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A new database."""
    if request.param == "postgresql":
        with open_new() as database:
            yield database
        return
    database = open_in_memory()
    yield database
    database.close()


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A transaction."""
    with database.begin() as connection:
        yield connection


@pytest.fixture
def secret_box() -> SecretBox:
    return SecretBox([Fernet.generate_key()])


@pytest.fixture
def account_id(connection: Connection, secret_box: SecretBox) -> int:
    """A connected account in the transaction."""
    return connect(connection, secret_box)

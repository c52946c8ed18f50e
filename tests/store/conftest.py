# SPDX-License-Identifier: MIT
"""A real database in memory, and a secret_box."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ClauseElement

from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox
from tests.support.stage.databases import open_in_memory


@pytest.fixture
def database() -> Iterator[Database]:
    database = open_in_memory()
    yield database
    database.close()


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Each statement on it has to be one that PostgreSQL understands too."""

    def compile_for_postgresql(_connection: Connection, statement: ClauseElement, *_: object) -> None:
        statement.compile(dialect=postgresql.dialect())

    event.listen(database.engine, "before_execute", compile_for_postgresql)
    with database.begin() as connection:
        yield connection
    event.remove(database.engine, "before_execute", compile_for_postgresql)


@pytest.fixture
def secret_box() -> SecretBox:
    return SecretBox([Fernet.generate_key()])

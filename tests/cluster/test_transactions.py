# SPDX-License-Identifier: MIT
"""Gateways that write to one PostgreSQL side by side: the database alone.

Only processes write at the same time and wait for each other's locks.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ldapgw.store import activity, contacts, phones
from ldapgw.store.database import Database
from ldapgw.store.secrets import SecretBox, new_key
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.sync import DESK, NOW, connect, read_account

pytestmark = [needs_postgresql, pytest.mark.long]


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_two_gateways_write_the_same_rows(database: Database, count: int) -> None:
    """Many times each: all that they have written is there, and no transaction has failed."""
    account_id = database.run(connect, SecretBox([new_key()]))
    database.run(phones.add, DESK)
    names = ("first", "second")
    command = [sys.executable, "-m", "tests.cluster.writer", database.url.render_as_string(hide_password=False)]
    writers = [subprocess.Popen([*command, name, str(count)], cwd=ROOT) for name in names]
    assert [writer.wait() for writer in writers] == [0, 0]
    with database.begin_read() as connection:
        written = {f"{name}-{number}" for name in names for number in range(count)}
        assert {contact.uid for contact in contacts.read(connection, [account_id])[0].contacts} == written
        account = read_account(connection, account_id)
        assert (account.contacts, account.generation, account.attempts) == (2 * count, 2 * count, 2 * count)
        acts = activity.read_since(connection, "acme", 0.0)
        assert {f"{one.subject}-{one.detail}" for one in acts} == written
        assert len(acts) == 2 * count
        [phone] = phones.read_all(connection)
        last = NOW + count - 1
        assert phone == replace(DESK, last_seen=last, last_address="127.0.0.1", searched_at=last, worked_at=NOW)

# SPDX-License-Identifier: MIT
"""OAuth clients that were entered: one a tenant, its secret sealed."""

from __future__ import annotations

from cryptography.fernet import Fernet
from sqlalchemy import Connection, select

from ldapgw.store import tenants
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tables import oauth_client
from ldapgw.store.tenants import EnteredClient

FIRST = EnteredClient("acme", "1-a.apps.example", "GOCSPX-1", 1790000000.0)
SECOND = EnteredClient("acme", "2-b.apps.example", "GOCSPX-2", 1790000100.0)
OTHER = EnteredClient("globex", "3-c.apps.example", "GOCSPX-3", 1790000200.0)


def test_a_new_client_takes_the_place_of_the_one_before(connection: Connection, secret_box: SecretBox) -> None:
    """A tenant has one; others keep theirs."""
    assert tenants.read_clients(connection, secret_box) == ((), frozenset())
    assert not tenants.has_any_client(connection)
    for one in (FIRST, OTHER, SECOND):
        tenants.enter_client(connection, secret_box, one)
    assert tenants.read_clients(connection, secret_box) == ((SECOND, OTHER), frozenset())
    assert tenants.has_any_client(connection)
    found = [tenants.client_entered_at(connection, name) for name in ("acme", "globex", "initech")]
    assert found == [SECOND.entered_at, OTHER.entered_at, None]


def test_the_secret_is_neither_stored_nor_shown(connection: Connection, secret_box: SecretBox) -> None:
    """Without the key nobody reads it; a log that gets the client does not show it either."""
    tenants.enter_client(connection, secret_box, FIRST)
    (row,) = connection.execute(select(oauth_client)).all()
    assert FIRST.client_secret.encode() not in row.client_secret
    assert FIRST.client_secret not in repr(FIRST)
    other = SecretBox([Fernet.generate_key()])
    tenants.enter_client(connection, other, OTHER)
    assert tenants.read_clients(connection, other) == ((OTHER,), frozenset({"acme"}))

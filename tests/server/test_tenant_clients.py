# SPDX-License-Identifier: MIT
"""The tests cover the current OAuth client of a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from ldapgw.google.endpoints import Client
from ldapgw.server.config import decode
from ldapgw.server.google import TenantClients, TenantsWithClients
from ldapgw.store import tenants as stored
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import EnteredClient
from tests.support.results import result_of
from tests.support.stage.web import Stage

CONFIGURED = Client("1-a", "hush")
ENTERED = Client("2-b", "quiet")


def enter(stage: Stage, tenant: str, client: Client, secret_box: SecretBox | None = None) -> None:
    one = EnteredClient(tenant, client.client_id, client.client_secret, 1790000000.0)
    stage.do(stored.enter_client, secret_box or stage.secret_box, one)


def test_what_is_entered_counts_once_it_is_read(stage: Stage) -> None:
    """An entered client counts for tenants without a configured client."""
    clients = TenantClients(stage.store, stage.secret_box, {"acme": CONFIGURED})
    enter(stage, "acme", ENTERED)
    enter(stage, "globex", ENTERED)
    assert dict(clients) == {"acme": CONFIGURED}
    result_of(clients.refresh())
    assert dict(clients) == {"acme": CONFIGURED, "globex": ENTERED}
    assert len(clients) == 2


def test_a_secret_under_another_key_is_entered_again(stage: Stage, caplog_twisted: list[str]) -> None:
    """The tenant has no client until then, and the log says so once. Other tenants keep their clients."""
    clients = TenantClients(stage.store, stage.secret_box, {})
    enter(stage, "acme", CONFIGURED, SecretBox([Fernet.generate_key()]))
    enter(stage, "globex", ENTERED)
    for _ in range(2):
        result_of(clients.refresh())
    assert dict(clients) == {"globex": ENTERED}
    [line] = caplog_twisted
    assert line.startswith("tenant acme: the gateway cannot decrypt the stored OAuth client with the key file")
    enter(stage, "acme", CONFIGURED)
    result_of(clients.refresh())
    assert dict(clients) == {"acme": CONFIGURED, "globex": ENTERED}


@dataclass(frozen=True)
class Tenant:
    client: Client | None = None


def test_tenants_have_the_client_of_the_moment() -> None:
    """The mapping follows the entered clients. A client of an unknown tenant adds no tenant."""
    clients: dict[str, Client] = {}
    tenants = TenantsWithClients({"acme": Tenant()}, clients)
    assert (tenants["acme"], list(tenants), len(tenants)) == (Tenant(), ["acme"], 1)
    clients |= {"acme": ENTERED, "globex": CONFIGURED}
    assert dict(tenants) == {"acme": Tenant(ENTERED)}
    assert "globex" not in tenants
    with pytest.raises(KeyError):
        tenants["globex"]
    clients["acme"] = CONFIGURED
    assert tenants["acme"] == Tenant(CONFIGURED)
    del clients["acme"]
    assert tenants["acme"] == Tenant()


def test_the_clients_of_the_configuration(tmp_path: Path) -> None:
    """Only tenants with a configured client are in the mapping."""
    tenants = [
        {"name": "acme", "base_dn": "dc=acme", "client_id": "1-a", "client_secret": "hush"},
        {"name": "globex", "base_dn": "dc=globex"},
    ]
    document = {"state_dir": "state", "web": {"public_url": "https://phonebook.example.com"}, "tenant": tenants}
    assert decode(document, str(tmp_path / "ldapgw.toml")).clients == {"acme": CONFIGURED}


@pytest.fixture
def stage() -> Stage:
    return Stage()

# SPDX-License-Identifier: MIT
"""The tests reach Google through a proxy that inspects TLS, and read the current OAuth client of a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_twisted
from cryptography.fernet import Fernet
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)

from ldapgw.errors import IdentityUnverified, NetworkFailure, UserError
from ldapgw.google.endpoints import Client
from ldapgw.google.oauth import Grant
from ldapgw.google.sandbox.grants import AuthorizationCode, Grantee
from ldapgw.google.sandbox.tenant import ALICE, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS
from ldapgw.server.config import Google, decode
from ldapgw.server.config.forms import File, ServiceUrl, Url
from ldapgw.server.google import GoogleClients, TenantClients, TenantsWithClients
from ldapgw.store import tenants as stored
from ldapgw.store.secrets import SecretBox
from ldapgw.store.tenants import EnteredClient
from tests.support.inspection import CERTS, Inspected, inspected
from tests.support.results import result_of
from tests.support.stage.web import Stage


def clients(google: Inspected, *, ca_file: str = "", jwks_uri: str = "") -> GoogleClients:
    """Return the clients of a gateway with this configuration."""
    configured = Google(
        authorization_endpoint=Url(f"{google.url}/o/oauth2/v2/auth"),
        token_endpoint=ServiceUrl(f"{google.url}/token"),
        revocation_endpoint=ServiceUrl(f"{google.url}/revoke"),
        people_api=ServiceUrl(google.url),
        issuer=Url(google.world.issuer),
        ca_file=File(google.folder / ca_file) if ca_file else None,
        jwks_uri=ServiceUrl(jwks_uri or google.plain + CERTS),
    )
    return GoogleClients(configured, reactor, reactor)


async def sign_in(google: Inspected, asking: GoogleClients) -> Grant:
    """Exchange a code, as after a browser's return from the consent page."""
    grantee = Grantee(google.world.account(ALICE).sub, CLIENT_ID)
    ends = reactor.seconds() + 600
    consent = AuthorizationCode(grantee, ("openid",), REDIRECT_URIS[0], "nonce", "", "", True, ends)
    return await asking.oauth.exchange(
        Client(CLIENT_ID, CLIENT_SECRET),
        code=google.world.grants.issue_code(consent),
        redirect_uri=REDIRECT_URIS[0],
        verifier="",
        nonce="nonce",
    )


@pytest_twisted.ensureDeferred
async def test_a_proxy_whose_authority_is_not_known(tmp_path: Path) -> None:
    """The gateway sends nothing to the proxy, neither without ca_file nor with another authority."""
    async with inspected(tmp_path) as google:
        for ca_file in ("", "other-cert.pem"):
            with pytest.raises(NetworkFailure, match="certificate verify failed"):
                await sign_in(google, clients(google, ca_file=ca_file))
        assert google.world.calls["/token"] == 0


@pytest_twisted.ensureDeferred
async def test_a_proxy_whose_authority_is_trusted(tmp_path: Path) -> None:
    """Only a signature of Google signs a person in. Refreshes work even with broken signatures."""
    async with inspected(tmp_path) as google:
        asking = clients(google, ca_file="ca-cert.pem")
        grant = await sign_in(google, asking)
        assert grant.identity is not None
        assert grant.identity.sub == google.world.account(ALICE).sub
        google.world.faults.inject("broken_signature")
        with pytest.raises(IdentityUnverified, match=r"^id_token with a wrong signature$"):
            await sign_in(google, asking)
        refreshed = await asking.oauth.refresh(Client(CLIENT_ID, CLIENT_SECRET), str(grant.refresh_token))
        assert (refreshed.access_token != "", refreshed.identity) == (True, None)


@pytest_twisted.ensureDeferred
async def test_keys_are_not_believed_when_they_are_inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy could forge keys along with signatures. The trust of the whole system does not change this."""
    async with inspected(tmp_path) as google:
        asking = clients(google, ca_file="ca-cert.pem", jwks_uri=google.url + CERTS)
        with pytest.raises(IdentityUnverified, match=r"^Google's keys cannot be fetched: TLS: certificate verify fail"):
            await sign_in(google, asking)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca-cert.pem"))
        with pytest.raises(IdentityUnverified, match=r"^Google's keys cannot be fetched: InspectedConnection$"):
            await sign_in(google, asking)
        # The authority counts if ca_file names another authority.
        assert (await sign_in(google, clients(google, ca_file="other-cert.pem", jwks_uri=google.url + CERTS))).identity


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file or directory"), ("no certificate", "expected certificates in PEM")],
)
def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None, problem: str) -> None:
    """The gateway refuses to start, with a line about the file."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError) as refused:
        GoogleClients(Google(ca_file=File(file)), reactor, reactor)
    assert refused.value.problems == (f"google.ca_file = {file}: {problem}",)


# --- OAuth clients of tenants -----------------------------------------------------------------------------------------

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

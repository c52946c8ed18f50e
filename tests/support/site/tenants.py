# SPDX-License-Identifier: MIT
"""An office: the contacts of ``phones.json`` in a real gateway's three tenants, and a phone in each.

``acme`` matches leniently, ``letter`` as the RFCs say, and ``open`` lets phones at one address search without a login.
Each has the same contacts, by a consent and a sync of its own.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldapgw.google.sandbox.tenant import ALICE, CLIENT_ID, CLIENT_SECRET
from tests.support import pdu, phonebook
from tests.support.certificates import issue
from tests.support.site.line import Line
from tests.support.site.running import Process, Site, free_ports, wait_until
from tests.support.site.visitor import connect

# Phones at this address need no login.
LOBBY = "127.0.0.2"
TENANTS = ("acme", "letter", "open")
OUTSIDE_LINE = 'outside_line = "0"'

_TENANT = f"""
[[tenant]]
name = "{{name}}"
base_dn = "dc={{name}},dc=example"
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
allowed_users = ["@acme.example"]
{OUTSIDE_LINE}
"""
_MORE = (
    f'{OUTSIDE_LINE}\n[tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n'
    + _TENANT.format(name="letter")
    + 'matching = "strict"\n'
    + _TENANT.format(name="open")
    + f'anonymous_networks = ["{LOBBY}"]\nsharing = "shared"\n'
)
# Long enough for a phone that says something, short enough for one that says nothing.
_LISTENING = 'listen_tls = ["tcp:{port}:interface=127.0.0.1"]\nidle_timeout = "5s"\nmax_connections_per_address = 500\n'


class Office:
    """A running gateway with its phones.

    :ivar passwords: by the phone's name, which is its tenant's.
    """

    def __init__(self, site: Site, gateway: Process, tls_port: int) -> None:
        self.site = site
        self.gateway = gateway
        self.tls_port = tls_port
        self.passwords: dict[str, bytes] = {}

    def line(self, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Line:
        """A connection; with TLS to the port that begins with it."""
        return Line(self.tls_port if tls else self.site.ldap_port, address, tls)

    def add_phone(self, tenant: str) -> None:
        """A phone of Alice's, once the gateway knows it."""
        added = self.site.ldapgw("phones", "add", tenant, "--tenant", tenant, "--account", ALICE, "--json")
        assert added.returncode == 0, added.stderr
        self.passwords[tenant] = json.loads(added.stdout)["password"].encode()
        wait_until(lambda: self.binds(tenant), "the gateway knows the phone")

    def binds(self, tenant: str) -> bool:
        with self.line() as line:
            return line.ask(self.bind(tenant))[0].code == 0

    def bind(self, tenant: str, name: str | None = None, version: int = 3) -> bytes:
        """A phone's bind; by its DN if no other name is given."""
        return pdu.bind(
            f"cn={tenant},ou=phones,{base(tenant)}" if name is None else name, self.passwords[tenant], version
        )


def base(tenant: str) -> str:
    """A tenant's base DN."""
    return f"dc={tenant},dc=example"


def book(tenant: str) -> str:
    """The DN of Alice's book."""
    return f"ou={ALICE},{base(tenant)}"


@contextmanager
def opened(folder: Path) -> Iterator[Office]:
    """The office, with all contacts synced, until the block ends; its gateway has nothing to complain of."""
    issue(kind="RSA").write(folder)
    site = Site(folder, more=_MORE)
    [tls_port] = free_ports(1)
    text = site.file.read_text()
    site.file.write_text(text.replace("[web]\n", _LISTENING.format(port=tls_port) + "[web]\n", 1))
    try:
        site.start_sandbox()
        site.empty_sandbox()
        for person in phonebook.persons():
            site.turn("add-person", account=ALICE, person=person)
        with site.running() as gateway:
            office = Office(site, gateway, tls_port)
            for tenant in TENANTS:
                connect(f"http://127.0.0.1:{site.web_port}/{tenant}/", ALICE)
                site.wait_for_sync(tenant=tenant)
                assert site.figure("ldapgw_contacts", tenant=tenant) == len(phonebook.CONTACTS)
                office.add_phone(tenant)
            yield office
    finally:
        site.end_sandbox()
    assert "Traceback" not in gateway.said
    assert "#error" not in gateway.said
    assert "#critical" not in gateway.said

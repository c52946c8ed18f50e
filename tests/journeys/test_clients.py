# SPDX-License-Identifier: MIT
"""The whole program, and clients of every make as the phones: Google's persons, by StartTLS, in pages and in order."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_twisted

from tests.support.checkout import ROOT
from tests.support.phonebook.listening import library
from tests.support.phonebook.served import certified
from tests.support.site.running import Site

BASE = "dc=acme,dc=example"
PERSONS = "(objectClass=inetOrgPerson)"
PAGE = 7

Client = Callable[[Site, Path], list[str]]


def login(site: Site) -> tuple[str, str]:
    return f"cn=desk1,ou=phones,{BASE}", site.phones["desk1"]


def url(site: Site) -> str:
    return f"ldap://127.0.0.1:{site.ldap_port}"


def by_ldapsearch(site: Site, certificate: Path) -> list[str]:
    """OpenLDAP's own."""
    name, password = login(site)
    controls = ["-E", f"!pr={PAGE}/noprompt", "-E", "!sss=cn"]
    done = subprocess.run(
        ["ldapsearch", "-x", "-ZZ", "-H", url(site), "-D", name, "-w", password, "-b", BASE, *controls, PERSONS, "uid"],
        env={**os.environ, "LDAPTLS_CACERT": str(certificate), "LDAPTLS_REQCERT": "demand"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [line.removeprefix("uid: ") for line in done.stdout.splitlines() if line.startswith("uid: ")]


def by_python_ldap(site: Site, certificate: Path) -> list[str]:
    """From Python, through libldap."""
    ldap = library("ldap", "needs python-ldap: scripts/setup")
    controls, sss = library("ldap.controls", ""), library("ldap.controls.sss", "")
    connection = ldap.initialize(url(site))
    connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(certificate))
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    connection.start_tls_s()
    connection.simple_bind_s(*login(site))
    found: list[str] = []
    page = controls.SimplePagedResultsControl(True, size=PAGE, cookie=b"")
    while True:
        asked = [page, sss.SSSRequestControl(True, ["cn"])]
        message_id = connection.search_ext(BASE, ldap.SCOPE_SUBTREE, PERSONS, ["uid"], serverctrls=asked)
        _, entries, _, returned = connection.result3(message_id)
        found += [attributes["uid"][0].decode() for _, attributes in entries]
        page.cookie = next(one.cookie for one in returned if one.controlType == page.controlType)
        if not page.cookie:
            break
    connection.unbind_s()
    return found


def by_ldap3(site: Site, certificate: Path) -> list[str]:
    """All in Python."""
    import ldap3

    trust = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(certificate), valid_names=["localhost"])
    server = ldap3.Server(url(site), get_info=ldap3.ALL, tls=trust)
    connection = ldap3.Connection(server, *login(site), auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND)
    assert "inetOrgPerson" in server.schema.object_classes
    found, cookie = [], None
    # Not its own generator, which turns every page round.
    while cookie is None or cookie:
        connection.search(BASE, PERSONS, attributes=["uid"], paged_size=PAGE, paged_cookie=cookie)
        found += [one["attributes"]["uid"][0] for one in connection.response]
        cookie = connection.result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]
    connection.unbind()
    return found


def by_bonsai(site: Site, certificate: Path) -> list[str]:
    """From Python too, through libldap in another way."""
    bonsai = library("bonsai", "needs bonsai: scripts/setup")
    name, password = login(site)
    client = bonsai.LDAPClient(url(site), tls=True)
    client.set_cert_policy("demand")
    client.set_ca_cert(str(certificate))
    client.set_credentials("SIMPLE", user=name, password=password)
    with client.connect(timeout=30) as connection:
        scope = bonsai.LDAPSearchScope.SUB
        found, place = connection.virtual_list_search(
            BASE, scope, PERSONS, ["uid"], sort_order=["cn"], offset=1, before_count=0, after_count=500
        )
        assert place["list_count"] == len(found)
        return [entry["uid"][0] for entry in found]


def by_ldapts(site: Site, certificate: Path) -> list[str]:
    """In Node.js."""
    folder = ROOT / "tests" / "node"
    if "CI" not in os.environ and (shutil.which("node") is None or not (folder / "node_modules").exists()):
        pytest.skip("needs Node.js and ldapts: scripts/setup")
    name, password = login(site)
    asked = {"url": url(site), "startTls": True, "certificate": str(certificate), "login": name, "password": password}
    asked |= {"base": BASE, "person": f"uid={site.names()[0]},ou=alice@acme.example,{BASE}"}
    command = ["node", str(folder / "conversation.mjs"), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [len(page) for page in found["pages"][:-1]] == [PAGE] * (len(found["pages"]) - 1)
    return [dn.split(",")[0].removeprefix("uid=") for page in found["pages"] for dn in page]


@pytest.fixture(name="certificate")
def _certificate(site: Site) -> Path:
    """A certificate for the gateway, which is told of it."""
    certificate = certified(site.folder)
    with site.file.open("a") as file:
        file.write('[tls]\ncertificate = "certificate.pem"\nprivate_key = "key.pem"\n')
    return certificate


CLIENTS = (by_ldapsearch, by_python_ldap, by_ldap3, by_bonsai, by_ldapts)


@pytest.mark.long  # tests/ldap has each client by itself
@pytest_twisted.ensureDeferred
async def test_all_of_them_read_the_same_phone_book(site: Site, certificate: Path) -> None:
    """Consent and sync once; then each client that is there has its own way through the list."""
    site.empty_sandbox()
    with site.running():
        for at in range(20):
            name = {"givenName": "Anna", "familyName": f"Person {at:02}", "displayName": f"Anna Person {at:02}"}
            number = {"value": f"+49301234{at:03}", "type": "work"}
            site.turn("add-person", account="alice@acme.example", person={"names": [name], "phoneNumbers": [number]})
        await site.consent()
        site.synced()
        site.add_phone()
        expected = site.names()
        assert len(expected) == 20
        read = {}
        for client in CLIENTS:
            try:
                read[client.__name__] = client(site, certificate)
            except pytest.skip.Exception:
                assert "CI" not in os.environ
        assert read == dict.fromkeys(read, expected)
        assert {"by_ldapsearch", "by_ldap3"} <= read.keys()

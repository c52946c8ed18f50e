# SPDX-License-Identifier: MIT
"""The whole program, and clients of many makes as the phones: Google's persons, by StartTLS, in pages and in order.

The tests of ``tests/ldap`` have python-ldap, bonsai, ldap3, ldapts and curl without the whole program.
Only the clients' own programs show whether they understand what the gateway sends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_twisted

from tests.support import slapd
from tests.support.checkout import ROOT
from tests.support.phonebook.listening import certified
from tests.support.program import run
from tests.support.site.running import Process, Site, free_ports, wait_until

BASE = "dc=acme,dc=example"
PERSONS = "(objectClass=inetOrgPerson)"
PAGE = 7
POSTFIX = """
server_host = {url}
version = 3
start_tls = yes
tls_ca_cert_file = {certificate}
tls_require_cert = yes
bind_dn = {name}
bind_pw = {password}
search_base = {base}
query_filter = (telephoneNumber=%s)
result_attribute = cn
"""
KAMAILIO = """
[gateway]
ldap_server_url = "{url}"
ldap_bind_dn = "{name}"
ldap_bind_password = "{password}"
"""
KAMAILIO_MODULES = next(iter(Path("/usr/lib").glob("*/kamailio/modules/ldap.so")), Path()).parent
SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
PROGRAMS = ROOT / "tests" / "clients"
PROXY = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_ldap
pidfile {folder}/pid
database ldap
suffix "{base}"
uri "{url}"
tls start tls_cacert={certificate} tls_reqcert=demand
rebind-as-user yes
"""


def login(site: Site) -> tuple[str, str]:
    return f"cn=desk1,ou=phones,{BASE}", site.phones["desk1"]


def url(site: Site) -> str:
    return f"ldap://127.0.0.1:{site.ldap_port}"


def uids(said: str) -> list[str]:
    return [line.removeprefix("uid: ") for line in said.splitlines() if line.startswith("uid: ")]


def by_ldapsearch(site: Site, certificate: Path) -> list[str]:
    """OpenLDAP's own."""
    name, password = login(site)
    search = ["-b", BASE, "-E", f"!pr={PAGE}/noprompt", "-E", "!sss=cn", PERSONS, "uid"]
    command = ["ldapsearch", "-x", "-ZZ", "-H", url(site), "-D", name, "-w", password, *search]
    return uids(run(*command, LDAPTLS_CACERT=str(certificate), LDAPTLS_REQCERT="demand"))


def needed(program: str | None, package: str) -> str:
    """The path of a program; the test is left out where the program is missing."""
    if program is None and "CI" not in os.environ:
        pytest.skip(f"needs {package}: sudo apt-get install {package}")
    assert program is not None
    return program


def by_program(site: Site, certificate: Path, package: str, *command: str, **environment: str) -> list[str]:
    """A program of `tests/clients` that takes the same arguments as the others there."""
    program = needed(shutil.which(command[0]), package)
    asked = (f"127.0.0.1:{site.ldap_port}", str(certificate), *login(site), BASE, PERSONS, str(PAGE))
    return run(program, *command[1:-1], str(PROGRAMS / command[-1]), *asked, **environment).split()


def by_net_ldap(site: Site, certificate: Path) -> list[str]:
    """In Perl."""
    return by_program(site, certificate, "libnet-ldap-perl", "perl", "read.pl")


def by_go_ldap(site: Site, certificate: Path) -> list[str]:
    """In Go, which compiles the client first; it does not sort."""
    where = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(site.folder / "go"), "GOFLAGS": ""}
    found = by_program(site, certificate, "golang-github-go-ldap-ldap-dev", "go", "run", "read.go", **where)
    return sorted(found, key=site.names().index)


def by_jndi(site: Site, certificate: Path) -> list[str]:
    """In Java."""
    return by_program(site, certificate, "default-jdk-headless", "java", "Read.java")


def by_back_ldap(site: Site, certificate: Path) -> list[str]:
    """OpenLDAP's slapd in front of the gateway, as a proxy (slapd-ldap(5)), and ldapsearch in front of slapd."""
    folder = site.folder / "proxy"
    folder.mkdir()
    (port,) = free_ports(1)
    name, password = login(site)
    (folder / "slapd.conf").write_text(
        PROXY.format(
            folder=folder, base=BASE, url=url(site), certificate=certificate, schema=slapd.SCHEMA, modules=slapd.MODULES
        )
    )
    address = f"ldap://127.0.0.1:{port}"
    program = needed(slapd.PROGRAM, "slapd")
    proxy = Process([program, "-f", "slapd.conf", "-h", address, "-d", "0"], folder / "log", folder)
    try:
        search = ["ldapsearch", "-x", "-LLL", "-H", address, "-D", name, "-w", password, "-b", BASE, PERSONS, "uid"]

        def found() -> str:
            return subprocess.run(search, capture_output=True, text=True, timeout=60, check=False).stdout

        return uids(wait_until(found, "the proxy's answer"))
    finally:
        proxy.end()


def caller_by_postmap(site: Site, certificate: Path, number: str) -> str:
    """Postfix's ldap table (ldap_table(5)), with a number as the key."""
    folder = site.folder / "postfix"
    folder.mkdir()
    name, password = login(site)
    (folder / "main.cf").touch()
    (folder / "ldap.cf").write_text(
        POSTFIX.format(url=url(site), certificate=certificate, name=name, password=password, base=BASE)
    )
    done = subprocess.run(
        [needed(shutil.which("postmap", path=SBIN), "postfix-ldap"), "-c", ".", "-q", number, "ldap:./ldap.cf"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (done.stdout + done.stderr).strip()


def caller_by_kamailio(site: Site, _certificate: Path, number: str) -> str:
    """Kamailio's ldap module, which takes an LDAP URL (RFC 4516); the module has no StartTLS."""
    kamailio = needed(shutil.which("kamailio", path=SBIN), "kamailio-ldap-modules")
    folder = site.folder / "kamailio"
    folder.mkdir()
    name, password = login(site)
    (folder / "ldap.ini").write_text(KAMAILIO.format(url=url(site), name=name, password=password))
    (port,) = free_ports(1)
    routes = (PROGRAMS / "kamailio.cfg").read_text()
    (folder / "kamailio.cfg").write_text(
        routes.format(sip_port=port, modules=KAMAILIO_MODULES, folder=folder, base=BASE, number=number)
    )
    command = [kamailio, "-DD", "-f", "kamailio.cfg", "-Y", str(folder), "-P", str(folder / "pid"), "-m", "32"]
    process = Process(command, folder / "log", folder)
    try:
        found = wait_until(lambda: re.search(r"caller: (.*)\.$", process.said, re.MULTILINE), "the caller's name")
    finally:
        process.end()
    return found[1]


@pytest.fixture(name="certificate")
def _certificate(site: Site) -> Path:
    """A certificate for the gateway, which is told of it."""
    certificate = certified(site.folder)
    with site.file.open("a") as file:
        file.write('[tls]\ncertificate = "certificate.pem"\nprivate_key = "key.pem"\n')
    return certificate


def curl(*asked: str) -> str:
    return run(needed(shutil.which("curl"), "curl"), "--silent", "--show-error", "--fail", *asked)


def caller_by_http(site: Site, _certificate: Path, number: str) -> str:
    """A telephone system that has the login in its URL."""
    return curl(f"{site.page}caller?number={number}".replace("://", f"://desk1:{site.phones['desk1']}@"))


def book_by_http(site: Site, _certificate: Path, number: str) -> str:
    """A phone that reads Yealink's XML; the name of who has the number."""
    read = curl(f"{site.page}book/yealink.xml", "--compressed", "--user", f"desk1:{site.phones['desk1']}")
    entries = ElementTree.fromstring(read).iter("DirectoryEntry")
    return next(one.findtext("Name", "") for one in entries if one.findtext("Telephone") == number)


def feed_by_http(site: Site, _certificate: Path, number: str) -> str:
    """A softphone that reads the contact feed, by Acrobits' names; the name of who has the number."""
    read = curl(f"{site.page}book/contacts.json", "--compressed", "--user", f"desk1:{site.phones['desk1']}")
    contacts = json.loads(read)["contacts"]
    return next(one["displayName"] for one in contacts if [entry["uri"] for entry in one["contactEntries"]] == [number])


CLIENTS = (by_ldapsearch, by_net_ldap, by_go_ldap, by_jndi, by_back_ldap)
CALLER_LOOKUPS = (caller_by_postmap, caller_by_kamailio, caller_by_http, book_by_http, feed_by_http)


def there(clients: Iterable[partial[Any]]) -> dict[str, Any]:
    """Return the result of each client whose program is there; in CI all programs are."""
    returned = {}
    for client in clients:
        try:
            returned[client.func.__name__] = client()
        except pytest.skip.Exception:
            assert "CI" not in os.environ
    return returned


@pytest.mark.long  # starts a gateway and many programs
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
        read = there(partial(client, site, certificate) for client in CLIENTS)
        assert read == dict.fromkeys(read, expected)
        called = there(partial(client, site, certificate, "+49301234007") for client in CALLER_LOOKUPS)
        assert called == dict.fromkeys(called, "Anna Person 07")
        assert "by_ldapsearch" in read

# SPDX-License-Identifier: MIT
"""The servers under load, each in a process and a folder of its own, with the same 10,000 people."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.phone import Phone as Caller
from bench.phone import Target
from bench.process import Server, running
from ldapgw.contact import Contact, Kind, Phone, Sharing, Source
from ldapgw.directory.passwords import hash_password
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.numbers.phone_number import parse
from ldapgw.server.state_dir import OpenStateDir, StateDir
from ldapgw.store import accounts, contacts, phones
from ldapgw.store.accounts import NewGrant
from ldapgw.store.contacts import ContactRecord
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks
from tests.support.phonebook.served import certified
from tests.support.site.running import free_ports
from tests.support.slapd import PROGRAM

PEOPLE = 10_000
BASE = "dc=acme,dc=example"
SECRET = "0123456789abcdefghjk"
REPLICA = ReplicaBooks.PRIVATE

GATEWAY = """
state_dir = "state"
[ldap]
listen = ["tcp:{port}:interface=127.0.0.1"]
listen_tls = ["tcp:{tls_port}:interface=127.0.0.1"]
max_connections = 12000
[tls]
certificate = "certificate.pem"
private_key = "key.pem"
[web]
listen = ["tcp:{web}:interface=127.0.0.1"]
public_url = "http://127.0.0.1:{web}"
[google]
authorization_endpoint = "http://127.0.0.1:1"
token_endpoint = "http://127.0.0.1:1"
revocation_endpoint = "http://127.0.0.1:1"
people_api = "http://127.0.0.1:1"
issuer = "http://127.0.0.1:1"
[[tenant]]
name = "acme"
base_dn = "{base}"
client_id = "nobody"
client_secret = "nothing"
allowed_users = ["@acme.example"]
"""

# Debian's modules and schemas; as many entries in an answer as the gateway gives, everything else as it comes.
SLAPD = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {folder}/certificate.pem
TLSCertificateKeyFile {folder}/key.pem
sizelimit 1000
loglevel none
database mdb
suffix "{base}"
directory {folder}/data
maxsize 268435456
index objectClass eq
index cn,sn,telephoneNumber eq,sub
"""


def _names(at: int) -> tuple[str, str, str]:
    """Given name, family name and number of a person."""
    return f"Given{at % 97}", f"{at:05} Family", f"+49301{at:06}"


def _contact(at: int) -> Contact:
    given, family, number = _names(at)
    found = parse(number, "DE")
    phones_of = (Phone(Kind.WORK, found),) if found else ()
    return Contact(uid=f"c{at}", name=f"{given} {family}", given_name=given, family_name=family, phones=phones_of)


def _seed(folder: Path) -> None:
    """Put the people, two phones and a replica into the gateway's state, as a sync and commands would."""
    state = OpenStateDir(StateDir(folder / "state"))
    try:
        grant = NewGrant("1", "alice@acme.example", frozenset(SCOPE_OF.values()), "token", 0.0, "token", None)
        with state.database.begin() as connection:
            account = accounts.connect(
                connection, state.secret_box, "acme", grant, Sharing.PRIVATE, 0.0, shared_label=""
            )
            records = [ContactRecord.from_contact(one.uid, one.uid, one) for one in map(_contact, range(PEOPLE))]
            contacts.apply_changes(connection, account or 0, Source.CONTACTS, records, ())
            password = hash_password(SECRET, os.urandom)
            for name, owner, replica in (("desk1", account, None), ("desk2", account, None), ("branch", None, REPLICA)):
                login = PhoneLogin(name, "acme", owner, NumberMode.VALUES, password, 0.0, replica=replica)
                phones.add(connection, login)
    finally:
        state.close()


def _ldif() -> str:
    """The same people for slapd."""
    head = (
        f"dn: {BASE}\nobjectClass: organization\nobjectClass: dcObject\no: Acme\ndc: acme\n\n"
        f"dn: cn=desk1,{BASE}\nobjectClass: person\ncn: desk1\nsn: desk1\nuserPassword: {SECRET}\n\n"
    )
    return head + "".join(
        f"dn: uid=c{at},{BASE}\nobjectClass: inetOrgPerson\nuid: c{at}\ncn: {given} {family}\ngivenName: {given}\n"
        f"sn: {family}\ntelephoneNumber: {number}\n\n"
        for at in range(PEOPLE)
        for given, family, number in (_names(at),)
    )


def target_of(login: str, port: int, tls_port: int) -> Target:
    """A gateway's ports with one of its logins: desk1, desk2, or branch, which is a replica."""
    return Target(port, tls_port, BASE, f"cn={login},ou={'replicas' if login == 'branch' else 'phones'},{BASE}", SECRET)


@contextmanager
def gateway(folder: Path) -> Iterator[Server]:
    """ldapgw, as ``ldapgw run`` runs it."""
    port, tls_port, web = free_ports(3)
    certified(folder)
    (folder / "ldapgw.toml").write_text(GATEWAY.format(port=port, tls_port=tls_port, web=web, base=BASE))
    _seed(folder)
    command = [sys.executable, "-m", "ldapgw", "--config", str(folder / "ldapgw.toml"), "run"]
    target = target_of("desk1", port, tls_port)
    with running("ldapgw", command, folder, target, _answers) as server:
        yield server


@contextmanager
def slapd(folder: Path) -> Iterator[Server]:
    """OpenLDAP's."""
    port, tls_port = free_ports(2)
    certified(folder)
    # A copy: where AppArmor confines the installed program, that one may not write here.
    program = shutil.copy(PROGRAM or "", folder / "slapd")
    (folder / "data").mkdir()
    configuration = folder / "slapd.conf"
    configuration.write_text(SLAPD.format(folder=folder, base=BASE))
    (folder / "people.ldif").write_text(_ldif())
    subprocess.run([program, "-T", "add", "-q", "-f", configuration, "-l", folder / "people.ldif"], check=True)
    urls = f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"
    target = Target(port, tls_port, BASE, f"cn=desk1,{BASE}", SECRET)
    with running("slapd", [program, "-d", "0", "-f", configuration, "-h", urls], folder, target, _answers) as server:
        yield server


def _answers(target: Target) -> bool:
    with Caller(target) as caller:
        caller.bind()
        return caller.search("00001") > 0

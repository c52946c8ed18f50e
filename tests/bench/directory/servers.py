# SPDX-License-Identifier: MIT
"""The gateway and slapd with the same people, each in a process and a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.directory.asking import NUMBERS, equality, one_of
from tests.bench.directory.people import ldif, person
from tests.bench.directory.seed import OWNER, PHONE, SECRET, TENANT, Account, seed
from tests.bench.phone import Phone, Target
from tests.bench.process import Server, running
from tests.journeys.running import free_ports
from tests.ldap import pdu
from tests.ldap.slapd import MODULES, PROGRAM, SCHEMA

BASE = "dc=acme,dc=example"
LOGIN = f"cn={PHONE},ou=phones,{BASE}"
# Seconds for the start of a server with a million contacts.
PATIENCE = 900.0

# As it comes, but for limits: a whole book is one answer here.
GATEWAY = """
state_dir = "state"
[ldap]
listen = ["tcp:{port}:interface=127.0.0.1"]
size_limit = 10000000
time_limit = "60s"
[web]
listen = ["tcp:{web}:interface=127.0.0.1"]
public_url = "http://127.0.0.1:{web}"
[google]
authorization_endpoint = "http://127.0.0.1:{google}/auth"
token_endpoint = "http://127.0.0.1:{google}/token"
revocation_endpoint = "http://127.0.0.1:{google}/revoke"
people_api = "http://127.0.0.1:{google}"
issuer = "http://127.0.0.1:{google}"
[[tenant]]
name = "{tenant}"
base_dn = "{base}"
client_id = "nobody"
client_secret = "nothing"
allowed_users = ["@acme.example"]
matching = "{matching}"
"""

# Debian's modules and schema, an index for all that is asked, no log, no limits.  Four threads: on two cores it is
# faster with them than with sixteen, which is its default.
SLAPD = """
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath {modules}
moduleload back_mdb
pidfile {folder}/slapd.pid
loglevel 0
sizelimit unlimited
timelimit unlimited
threads 4
database mdb
maxsize 17179869184
suffix "{base}"
directory {folder}/data
index objectClass eq
index cn,sn,givenName,telephoneNumber,mobile,homePhone eq,sub
dbnosync
"""


def knows(number: int) -> Callable[[Target], bool]:
    """Whether a server finds just that person by a number of his."""
    sought = person(number)
    asked = pdu.search(BASE, 2, one_of(*(equality(name, sought.phones[0][1]) for name in NUMBERS)), ("uid",))

    def answers(target: Target) -> bool:
        with Phone(target) as caller:
            caller.bind()
            *found, done = caller.ask(pdu.message(2, asked))
        return done.code == 0 and [entry.attributes for entry in found] == [(("uid", (sought.uid.encode(),)),)]

    return answers


def binds(target: Target) -> bool:
    """Whether a server lets the phone in."""
    with Phone(target) as caller:
        caller.bind()
    return True


@contextmanager
def gateway(
    folder: Path,
    made: Sequence[Account],
    *,
    matching: str = "lenient",
    google: int = 1,
    program: Sequence[str] = ("ldapgw",),
) -> Iterator[Server]:
    """ldapgw, as ``ldapgw run`` runs it.

    :param google: the port where its Google is; 1: there is none.
    :param program: the module that is run, and what it is told before what ldapgw is told.
    """
    folder.mkdir()
    port, web = free_ports(2)
    file = folder / "ldapgw.toml"
    file.write_text(GATEWAY.format(port=port, web=web, google=google, tenant=TENANT, base=BASE, matching=matching))
    seed(folder / "state", made, time.time())  # noqa: TID251  the bench is an entry point
    command = [sys.executable, "-m", *program, "--config", str(file), "run"]
    last = made[0].numbers[-1] if made and made[0].numbers else None
    answers = binds if last is None else knows(last)
    with running("ldapgw", command, folder, Target(port, 0, BASE, LOGIN, SECRET), answers, PATIENCE) as server:
        yield server


@contextmanager
def slapd(folder: Path, count: int) -> Iterator[Server]:
    """OpenLDAP's."""
    folder.mkdir()
    [port] = free_ports(1)
    # A copy: where AppArmor confines the installed program, that one may not write here.
    program = shutil.copy(PROGRAM or "", folder / "slapd")
    (folder / "data").mkdir()
    configuration = folder / "slapd.conf"
    configuration.write_text(SLAPD.format(schema=SCHEMA, modules=MODULES, folder=folder, base=BASE))
    people = folder / "people.ldif"
    with people.open("w", encoding="utf-8") as file:
        file.writelines(ldif(map(person, range(count)), BASE, OWNER, PHONE, SECRET))
    subprocess.run([program, "-T", "add", "-q", "-f", configuration, "-l", people], check=True)
    command = [program, "-d", "0", "-f", configuration, "-h", f"ldap://127.0.0.1:{port}"]
    target = Target(port, 0, BASE, LOGIN, SECRET)
    with running("slapd", command, folder, target, knows(count - 1)) as server:
        yield server

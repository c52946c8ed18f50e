# SPDX-License-Identifier: MIT
"""The gateway and slapd with the same people, each in a process and a folder of its own."""

from __future__ import annotations

import marshal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.asking import NUMBERS, SUBTREE, Asked, equality, one_of
from bench.directory.before import Checkout
from bench.people import ldif, person
from bench.phone import Phone, Target
from bench.process import Server, running
from bench.seed import OWNER, PHONE, SECRET, TENANT
from tests.support import pdu
from tests.support.checkout import ROOT
from tests.support.site.running import free_ports
from tests.support.slapd import MODULES, PROGRAM, SCHEMA

OURS, THEIRS = "ldapgw", "slapd"
# The server that answers from a table (`bench.programs.limit`).
LIMIT = "limit"
# The gateway without the compiler (docs/decisions/0042), where what `scripts/compile` makes is there.
PURE = "not compiled"
COMPILED = ROOT / ".compiled"
# Those of another checkout.
BEFORE, BEFORE_PURE = "before", "before, not compiled"

BASE = "dc=acme,dc=example"
BOOK = f"ou={OWNER},{BASE}"
LOGIN = f"cn={PHONE},ou=phones,{BASE}"
# Seconds for the start of a server with a million contacts.
PATIENCE = 900.0

# As it comes, but for limits: a whole book is one answer here.
GATEWAY = """
state_dir = "state"
{database}[ldap]
listen = ["tcp:{port}:interface=127.0.0.1"]
size_limit = 10000000
time_limit = "10m"
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
directory {data}
index objectClass eq
index cn,sn,givenName,telephoneNumber,mobile,homePhone eq,sub
dbnosync
"""


@dataclass(frozen=True)
class Variant:
    """How a gateway differs from the usual one.

    :ivar google: the port of its Google; 1: nobody is there.
    :ivar program: the module that is run, and its own arguments.
    :ivar compiled: as `scripts/compile` makes it, if it was made.
    :ivar before: the checkout that it is of; None: this one.
    :ivar database: the URL of its database; empty: SQLite.
    """

    matching: str = "lenient"
    google: int = 1
    program: tuple[str, ...] = ("ldapgw",)
    compiled: bool = True
    before: Checkout | None = None
    database: str = ""

    @property
    def name(self) -> str:
        """As tables have it."""
        compiled, pure = (BEFORE, BEFORE_PURE) if self.before else (OURS, PURE)
        return compiled if self.compiled else pure

    @property
    def place(self) -> Path:
        """Where Python finds its modules."""
        root = self.before.root if self.before else ROOT
        compiled = root / COMPILED.name
        return compiled if self.compiled and compiled.exists() else root


_USUAL = Variant()


def knows(number: int) -> Callable[[Target], bool]:
    """Whether a server finds just that person by a number of his."""
    sought = person(number)
    value = sought.phones[0][1]
    asked = pdu.search(BASE, SUBTREE, one_of(*(equality(name, value) for name in NUMBERS)), ("uid",))

    def answers(target: Target) -> bool:
        with Phone(target) as caller:
            caller.bind()
            *found, done = caller.ask(pdu.message(2, asked))
        return done.code == 0 and [entry.attributes for entry in found] == [(("uid", (sought.uid.encode(),)),)]

    return answers


def lets_in(target: Target) -> bool:
    """Whether a server lets the phone in."""
    with Phone(target) as caller:
        caller.bind()
    return True


@contextmanager
def gateway(folder: Path, answers: Callable[[Target], bool], variant: Variant = _USUAL) -> Iterator[Server]:
    """The gateway as ``ldapgw run`` runs it, with what is in the folder's ``state``."""
    port, web = free_ports(2)
    file = folder / "ldapgw.toml"
    settings = {"port": port, "web": web, "google": variant.google, "matching": variant.matching}
    settings["database"] = f'database = "{variant.database}"\n' if variant.database else ""
    file.write_text(GATEWAY.format(tenant=TENANT, base=BASE, **settings))
    python = variant.before.python if variant.before else sys.executable
    # Whatever the path of this process is: nothing of one checkout is to run in the other.
    command = ["env", f"PYTHONPATH={variant.place}", python, "-m", *variant.program, "--config", str(file), "run"]
    target = Target(port, 0, BASE, LOGIN, SECRET)
    with running(variant.name, command, folder, target, answers, PATIENCE, place=variant.place) as server:
        yield server


@contextmanager
def limit(folder: Path, target: Target, asked: Iterable[Asked]) -> Iterator[Server]:
    """The limit (`bench.programs.limit`), with the answers of a gateway; compiled, if the gateway is.

    :param folder: an empty folder.
    :param target: the gateway.
    """
    table = folder / "table"
    table.write_bytes(marshal.dumps(dict(_recorded(target, asked))))
    [port] = free_ports(1)
    place = COMPILED if COMPILED.exists() else ROOT
    command = ["env", f"PYTHONPATH={place}", sys.executable, "-m", "bench.programs.limit", str(port), table]
    with running(LIMIT, command, folder, replace(target, port=port), lets_in, PATIENCE, place=place) as server:
        yield server


def _recorded(target: Target, asked: Iterable[Asked]) -> Iterator[tuple[bytes, bytes]]:
    """Each request of the loads, the bind first, and what a gateway answers."""
    with Phone(target) as phone:
        yield target.bind(), phone.octets(target.bind())
        for request in dict.fromkeys(request for one in asked for request in one.requests):
            yield request, phone.octets(request)


def load_slapd(folder: Path, count: int) -> None:
    """Make a directory of so many people; the folder must not be there."""
    folder.mkdir()
    (folder / "data").mkdir()
    people = folder / "people.ldif"
    with people.open("w", encoding="utf-8") as file:
        file.writelines(ldif(map(person, range(count)), BASE, OWNER, PHONE, SECRET))
    program, configuration = _slapd(folder)
    subprocess.run([program, "-T", "add", "-q", "-f", configuration, "-l", people], check=True)
    people.unlink()


@contextmanager
def slapd(folder: Path, answers: Callable[[Target], bool]) -> Iterator[Server]:
    """OpenLDAP's, with what `load_slapd` has made."""
    [port] = free_ports(1)
    program, configuration = _slapd(folder)
    command = [program, "-d", "0", "-f", configuration, "-h", f"ldap://127.0.0.1:{port}"]
    with running(THEIRS, command, folder, Target(port, 0, BASE, LOGIN, SECRET), answers) as server:
        yield server


def _slapd(folder: Path) -> tuple[Path, Path]:
    """Its program and its configuration."""
    # A copy: where AppArmor confines the installed program, that one may not write here.
    program = folder / "slapd"
    program.write_bytes(Path(PROGRAM or "slapd").read_bytes())
    program.chmod(0o700)
    configuration = folder / "slapd.conf"
    places = {"schema": SCHEMA, "modules": MODULES, "folder": folder, "data": folder / "data"}
    configuration.write_text(SLAPD.format(base=BASE, **places))
    return program, configuration

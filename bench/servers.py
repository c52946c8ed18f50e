# SPDX-License-Identifier: MIT
"""The servers under test, each in a process and a folder of its own: gateways, slapd, ldaptor, the limit.

PostgreSQL and Google, which gateways use, are here too, and the processor time and the memory of processes.
"""

from __future__ import annotations

import marshal
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from bench.asking import NUMBERS, Asked, any_of, search
from bench.people import ldif, person
from bench.phone import Phone, Target
from bench.report import COMPILED
from bench.seed import OWNER, PHONE, REPLICA, SECRET, TENANT
from tests.support.checkout import ROOT
from tests.support.phonebook.listening import certified
from tests.support.postgresql import Server as PostgresqlServer
from tests.support.postgresql import listening
from tests.support.site.running import Process, free_ports
from tests.support.slapd import MODULES, PROGRAM, SCHEMA

OURS, THEIRS = "ldapgw", "slapd"
# The server that answers from a table (`bench.programs.limit`).
LIMIT = "limit"
LDAPTOR = "ldaptor"
# The gateway without compiled modules (docs/decisions/0042), where scripts/compile was run.
PURE = "not compiled"
# The gateways of another checkout.
BEFORE, BEFORE_PURE = "before", "before, not compiled"

BASE = "dc=acme,dc=example"
# Seconds for the start of a server; a million contacts take long.
_PATIENCE = 900.0
# Seconds between two looks at the memory of processes.
_GLANCE = 0.05
# With these limits of a gateway and of slapd, an answer may have a whole book.  On two cores, slapd is faster with four
# threads than with sixteen, which are its default.
WHOLE_BOOKS = 'size_limit = 10000000\ntime_limit = "10m"\n'
_SLAPD_WHOLE_BOOKS = "sizelimit unlimited\ntimelimit unlimited\nthreads 4\n"
# slapd with the gateway's usual limit, and otherwise its own defaults.
_SLAPD_USUAL = "sizelimit 1000\nTLSCertificateFile {0}/certificate.pem\nTLSCertificateKeyFile {0}/key.pem\n"

_TLS = '[tls]\ncertificate = "certificate.pem"\nprivate_key = "key.pem"\n'


# --- processes ---


@dataclass(frozen=True)
class Server:
    """A server that runs.

    :ivar target: the server's address, and a login.
    :ivar started: seconds from the start of the server's process to its first right answer.
    :ivar helpers: MiB of memory of the largest process that the server started until then.
    """

    name: str
    target: Target
    pid: int
    started: float = 0.0
    helpers: float = 0.0
    web_port: int = 0

    @property
    def resident(self) -> float:
        return resident(self.pid)

    @property
    def worked(self) -> float:
        return _seconds(self.pid)[0]

    @property
    def worked_by_all(self) -> float:
        """Seconds of processor time so far, of the server and of the processes that it started."""
        return sum(sum(_seconds(pid)) for pid in (self.pid, *_children(self.pid)))

    @property
    def most_resident(self) -> float:
        return resident(self.pid, "VmHWM")


@contextmanager
def running(
    name: str,
    command: Sequence[object],
    folder: Path,
    target: Target,
    answers: Callable[[Target], bool],
    *,
    place: Path = ROOT,
) -> Iterator[Server]:
    """Run a server until the block ends.

    :param answers: returns whether the server gives the right answer (`is_right`).
    :param place: the only folder besides Python's own in which Python looks for modules.
    """
    begun, helpers, is_ready = time.monotonic(), 0.0, False
    environment = os.environ | {"PYTHONPATH": str(place)}
    # The process has a session of its own: Ctrl-C ends the bench, and the bench ends the server.
    process = Process(list(map(str, command)), folder / "log", place, env=environment, start_new_session=True)
    try:
        while not is_ready:
            assert process.status is None, process.said
            assert time.monotonic() < begun + _PATIENCE, f"{name} is not ready: {process.said}"
            helpers = max([helpers, *(resident(child, "VmHWM") for child in _children(process.pid))])
            time.sleep(0.02)
            is_ready = is_right(answers, target)
        yield Server(name, target, process.pid, time.monotonic() - begun, helpers)
        assert process.status is None, process.said
    finally:
        try:
            process.end()
        except subprocess.TimeoutExpired:
            process.end(signal.SIGKILL)
            raise


def is_right(answers: Callable[[Target], bool], target: Target) -> bool:
    """Return whether a server gives the right answer by now; an `OSError` counts as no."""
    with suppress(OSError):
        return answers(target)
    return False


@contextmanager
def peak(pid: int) -> Iterator[list[float]]:
    """Watch the memory of a process and of the processes that it starts, until the block ends.

    The processes come and go, so a thread of its own looks at them often.

    :returns: a list whose last item is the most MiB that they held at once.
    """
    most, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(_GLANCE):
            most.append(max(most[-1], sum(map(resident, (pid, *_children(pid))))))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


# --- /proc: a process that has ended has no children, no memory and no processor time ---


def resident(pid: int, kind: str = "VmRSS") -> float:
    """Return the MiB of memory that a process holds, or, as ``VmHWM``, has held at most."""
    found = re.search(rf"^{kind}:\s*(\d+)", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) / (1 << 10) if found else 0.0


def _seconds(pid: int) -> tuple[float, float]:
    """Return the processor time of a process, and of its children that have ended."""
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in _read(pid, "stat").rpartition(")")[2].split()[11:15]]
    return sum(ticks[:2]), sum(ticks[2:])


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in _read(pid, f"task/{task.parent.name}/children").split()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


# --- servers ---

# The Python of another checkout runs this program.
_FILL = """
import sys
from pathlib import Path
from bench import seed

state, count, *known = sys.argv[1:]
assert known == [seed.TENANT, seed.PHONE, seed.SECRET, seed.OWNER], "the benches of the checkouts differ"
seed.seed(Path(state), seed.alone(int(count)))
"""


@dataclass(frozen=True)
class Checkout:
    """A folder with the project's files, most often of an older commit, whose gateway is measured beside this one.

    The gateway runs with its own modules, and the checkout's own bench fills its store, because stores change.
    """

    root: Path

    @property
    def python(self) -> str:
        """The checkout's own Python, if scripts/setup was run there."""
        own = self.root / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    def seed(self, state: Path, count: int) -> None:
        """Make the store of `bench.seed.alone`."""
        command = [self.python, "-c", _FILL, str(state), str(count), TENANT, PHONE, SECRET, OWNER]
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        subprocess.run(command, cwd=self.root, env=environment, check=True)


@dataclass(frozen=True)
class Variant:
    """A gateway's differences from the usual gateway.

    :ivar google: the port of Google; 1: nobody answers there.
    :ivar program: the module that runs, and its own arguments.
    :ivar compiled: whether the gateway runs with compiled modules, if scripts/compile was run.
    :ivar before: the checkout of the gateway; None: this one.
    :ivar database: the URL of the gateway's database; empty: SQLite.
    :ivar ldap: the settings of the table ``[ldap]``.
    :ivar tls: whether the gateway has a port with TLS.
    :ivar tenants: the number of tenants; the first one is `TENANT`.
    """

    matching: str = "lenient"
    google: int = 1
    program: tuple[str, ...] = ("ldapgw",)
    compiled: bool = True
    before: Checkout | None = None
    database: str = ""
    ldap: str = WHOLE_BOOKS
    tls: bool = False
    tenants: int = 1

    @property
    def name(self) -> str:
        """The gateway's name in tables."""
        compiled, pure = (BEFORE, BEFORE_PURE) if self.before else (OURS, PURE)
        return compiled if self.compiled else pure

    @property
    def place(self) -> Path:
        """The folder in which Python finds the gateway's modules."""
        root = self.before.root if self.before else ROOT
        compiled = root / COMPILED.name
        return compiled if self.compiled and compiled.exists() else root


_USUAL = Variant()


def tenant_name(number: int) -> str:
    return f"t{number}" if number else TENANT


def login_at(port: int, tls_port: int = 0, login: str = PHONE) -> Target:
    """Return a server's address with a login: a phone, or `REPLICA`."""
    kind = "replicas" if login == REPLICA else "phones"
    return Target(port, tls_port, BASE, f"cn={login},ou={kind},{BASE}", SECRET)


def knows(number: int) -> Callable[[Target], bool]:
    """Return whether a server finds a certain person by a number of that person, and nobody else."""
    sought = person(number)
    request = search(BASE, any_of(NUMBERS, sought.phones[0][1]), attributes=("uid",))

    def answers(target: Target) -> bool:
        with Phone(target) as caller:
            *found, done = caller.ask(request)
        return done.code == 0 and [entry.attributes for entry in found] == [(("uid", (sought.uid.encode(),)),)]

    return answers


def lets_in(target: Target) -> bool:
    """Return whether a server lets the phone in."""
    with Phone(target):
        return True


@contextmanager
def gateway(folder: Path, answers: Callable[[Target], bool], variant: Variant = _USUAL) -> Iterator[Server]:
    """Run a gateway as ``ldapgw run`` runs it, with the store in the folder's ``state``."""
    port, web, tls_port = free_ports(3)
    ldap, more = variant.ldap, ""
    if variant.tls:
        certified(folder)
        ldap, more = f'{ldap}listen_tls = ["tcp:{tls_port}:interface=127.0.0.1"]\n', _TLS
    for number in range(variant.tenants):
        tenant = {"name": tenant_name(number), "number": number, "matching": variant.matching}
        more += _filled("tenant.toml.in", tenant)
    database = f'database = "{variant.database}"' if variant.database else ""
    settings = {"database": database, "port": port, "ldap": ldap, "web": web, "google": variant.google}
    file = folder / "ldapgw.toml"
    file.write_text(_filled("ldapgw.toml.in", settings) + more)
    python = variant.before.python if variant.before else sys.executable
    command = [python, "-m", *variant.program, "--config", file, "run"]
    with running(variant.name, command, folder, login_at(port, tls_port), answers, place=variant.place) as server:
        yield replace(server, web_port=web)


def _filled(name: str, settings: dict[str, object]) -> str:
    return Template(Path(__file__).with_name(name).read_text(encoding="utf-8")).substitute(settings)


def limit(folder: Path, target: Target, asked: Iterable[Asked]) -> AbstractContextManager[Server]:
    """Run the limit (`bench.programs.limit`) with the answers of a gateway; compiled, if the gateway is.

    :param folder: an empty folder.
    :param target: the gateway.
    """
    table = folder / "table"
    table.write_bytes(marshal.dumps(dict(_recorded(target, asked))))
    [port] = free_ports(1)
    command = [sys.executable, "-m", "bench.programs.limit", port, table]
    return running(LIMIT, command, folder, replace(target, port=port), lets_in, place=_USUAL.place)


def _recorded(target: Target, asked: Iterable[Asked]) -> Iterator[tuple[bytes, bytes]]:
    """Yield each request of the loads, the bind first, and a gateway's answer."""
    with Phone(target) as phone:
        yield target.bind(), phone.octets(target.bind())
        for request in dict.fromkeys(request for one in asked for request in one.requests):
            yield request, phone.octets(request)


def load_slapd(folder: Path, count: int, *, usual: bool = False) -> None:
    """Make slapd's database with so many people; the folder must not be there yet.

    :param usual: whether slapd has the gateway's usual size limit and TLS, in place of room for whole books.
    """
    (folder / "data").mkdir(parents=True)
    # AppArmor lets a copy of the program write here.
    program, configuration = folder / "slapd", folder / "slapd.conf"
    program.write_bytes(Path(PROGRAM or "slapd").read_bytes())
    program.chmod(0o700)
    if usual:
        certified(folder)
    limits = _SLAPD_USUAL.format(folder) if usual else _SLAPD_WHOLE_BOOKS
    places = {"schema": SCHEMA, "modules": MODULES, "folder": folder}
    configuration.write_text(_filled("slapd.conf.in", {"base": BASE, "limits": limits, **places}))
    people = _write_people(folder, count)
    subprocess.run([program, "-T", "add", "-q", "-f", configuration, "-l", people], check=True)
    people.unlink()


def _write_people(folder: Path, count: int) -> Path:
    people = folder / "people.ldif"
    with people.open("w", encoding="utf-8") as file:
        file.writelines(ldif(map(person, range(count)), BASE, OWNER, PHONE, SECRET))
    return people


def slapd(folder: Path, answers: Callable[[Target], bool], *, usual: bool = False) -> AbstractContextManager[Server]:
    """Run OpenLDAP's server with a database that `load_slapd` has made."""
    port, tls_port = free_ports(2)
    urls = f"ldap://127.0.0.1:{port}" + (f" ldaps://127.0.0.1:{tls_port}" if usual else "")
    command = [folder / "slapd", "-d", "0", "-f", folder / "slapd.conf", "-h", urls]
    return running(THEIRS, command, folder, login_at(port, tls_port), answers)


def ldaptor(folder: Path, count: int) -> AbstractContextManager[Server]:
    """Run ldaptor's own server with so many people; the folder must not be there yet."""
    folder.mkdir()
    [port] = free_ports(1)
    command = [sys.executable, "-m", "bench.programs.ldaptor", port, _write_people(folder, count)]
    return running(LDAPTOR, command, folder, login_at(port), knows(count - 1))


@contextmanager
def postgresql() -> Iterator[tuple[PostgresqlServer, str]]:
    """Run a PostgreSQL server that waits for the disk, as it does by default; yield it and an empty database's URL."""
    with listening("fsync=on") as server:
        server.execute("CREATE DATABASE bench ENCODING 'UTF8' TEMPLATE template0")
        yield server, server.url("bench").render_as_string(hide_password=False)


@contextmanager
def google(contacts: int, changes: int) -> Iterator[int]:
    """Run a Google with so many contacts (`bench.programs.google`); yield its port."""
    command = [sys.executable, "-m", "bench.programs.google", str(contacts), str(changes)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()

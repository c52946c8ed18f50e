# SPDX-License-Identifier: MIT
"""A running gateway reads its configuration again at SIGHUP, and nobody finds its ports closed."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import pdu
from tests.support.phonebook.listening import contexts_in
from tests.support.site.running import Process, Site, free_ports, wait_until

pytestmark = pytest.mark.long  # starts gateways; tests/server has a reload without

NO_ACCESS = 50
BASES = ("dc=acme,dc=example", "dc=globex,dc=example")
SECOND = '\n[[tenant]]\nname = "globex"\nbase_dn = "dc=globex,dc=example"\n'


def naming_contexts(site: Site) -> list[str]:
    status, said = site.ldapsearch("-s", "base", "namingContexts", phone="", base="")
    assert status == 0, said
    return [line.removeprefix("namingContexts: ") for line in said.splitlines() if line.startswith("namingContexts: ")]


class Callers(threading.Thread):
    """Connects and asks for the same, again and again.

    :param expected: the answer has it in its first octets.
    :ivar problems: what went otherwise than well.
    """

    def __init__(self, port: int, request: bytes, expected: bytes) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._request = request
        self._expected = expected
        self._is_over = threading.Event()
        self.asked = 0
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._is_over.wait(0.005):
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                    connection.sendall(self._request)
                    if self._expected not in connection.recv(4096)[:12]:
                        self.problems.append("closed")
            except OSError as error:
                self.problems.append(str(error))
            self.asked += 1

    def end(self) -> list[str]:
        self._is_over.set()
        self.join()
        return self.problems


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Site, Process]]:
    """A gateway of one tenant, which nobody has connected to."""
    site = Site(tmp_path)
    with site.running() as gateway:
        yield site, gateway
    assert "Traceback" not in gateway.said


def test_a_tenant_is_added_and_removed(served: tuple[Site, Process]) -> None:
    """The same process serves on, and its ports stay open."""
    site, gateway = served
    written = site.file.read_text()
    # Not the notice of a disconnection, whose message ID is 0.
    phones = Callers(site.ldap_port, pdu.message(1, pdu.search()), b"\x02\x01\x01")
    browsers = Callers(site.web_port, b"GET /healthz HTTP/1.0\r\n\r\n", b" 200")
    phones.start()
    browsers.start()
    for more, bases in ((SECOND, list(BASES)), ("", list(BASES[:1]))):
        site.file.write_text(written + more)
        gateway.send(signal.SIGHUP)
        wait_until(lambda bases=bases: naming_contexts(site) == bases, f"{bases} are served")
    assert gateway.status is None
    for callers in (phones, browsers):
        before = callers.asked
        wait_until(lambda callers=callers, before=before: callers.asked > before, "somebody was answered")
        assert callers.end() == []
    assert gateway.said.count("SIGHUP: the configuration is read again") == 2


@pytest.mark.long
def test_each_signal_has_the_newest_file_tried(served: tuple[Site, Process]) -> None:
    """Also while another file is tried, or given way to; what was tried is served, whatever becomes of the file."""
    site, gateway = served
    good = site.file.read_text()
    mended, slow = site.folder / "mended.toml", site.folder / "slow.toml"
    mended.write_text(good + SECOND)
    os.mkfifo(slow)
    slow.replace(site.file)
    gateway.send(signal.SIGHUP)
    with site.file.open("w") as held:  # somebody reads it
        gateway.send(signal.SIGHUP)
        mended.replace(site.file)
        held.write("nonsense")
    wait_until(lambda: "SIGHUP: the configuration is read again" in gateway.said, "the mended file is good")
    site.file.write_text("neither this")
    gateway.send(signal.SIGHUP)
    wait_until(lambda: gateway.said.count("is not TOML") == 2, "what came in the meantime is tried")
    assert gateway.status is None
    assert naming_contexts(site) == list(BASES)
    told = re.findall("SIGHUP: .*?(is not TOML|is read again)", gateway.said)
    assert told == ["is not TOML", "is read again", "is not TOML"]


@pytest.mark.long
def test_who_has_connected_may_still_ask(served: tuple[Site, Process]) -> None:
    """For a second: often, with pauses; on a machine that is too slow for that, it is tried again."""
    site, gateway = served
    assert any(is_answered_in_a_reload(site, gateway, attempt) for attempt in range(1, 6))


def is_answered_in_a_reload(site: Site, gateway: Process, number: int) -> bool:
    """Whether a connection gets six answers, between which others would end it, once the reload has begun."""
    answers: list[bool] = []

    def ask() -> bool:
        """Whether all is said."""
        with suppress(OSError):
            connection.sendall(pdu.message(1, pdu.search()))
            answers.append(b"\x02\x01\x01" in connection.recv(4096)[:8])
            return len(answers) == 7 or not answers[-1]
        return True

    with socket.create_connection(("127.0.0.1", site.ldap_port), timeout=60) as connection:
        ask()
        gateway.send(signal.SIGHUP)
        said = "SIGHUP: the configuration is read again"
        wait_until(lambda: gateway.said.count(said) == number, "the reload begins")
        wait_until(ask, "the connection is answered, or ends")
    wait_until(lambda: gateway.said.count("LDAP ldap://") == number + 1, "the gateway has started again")
    return answers == [True] * 7


def test_settings_are_changed(tmp_path: Path) -> None:
    """All at once: TLS, the log, networks that need no login, the interval of syncs."""
    contexts_in(tmp_path)
    site = Site(tmp_path)
    start_tls = "supportedExtension: 1.3.6.1.4.1.1466.20037"
    with site.running() as gateway:
        assert start_tls not in site.ldapsearch("-s", "base", "+", phone="", base="")[1]
        assert site.ldapsearch("-s", "base", phone="")[0] == NO_ACCESS
        text = site.file.read_text().replace("[ldap]", 'log_level = ["debug"]\n[ldap]', 1)
        text = re.sub(r'interval = ".*"', 'interval = "7m"', text) + 'anonymous_networks = ["127.0.0.0/8"]\n'
        site.file.write_text(f'{text}[tls]\ncertificate = "certificate.pem"\nprivate_key = "key.pem"\n')
        gateway.send(signal.SIGHUP)
        wait_until(lambda: site.ldapsearch("-s", "base", phone="")[0] == 0, "networks are let in")
        assert start_tls in site.ldapsearch("-s", "base", "+", phone="", base="")[1]
        assert site.figure("ldapgw_sync_interval_seconds") == 420
        assert "from 127.0.0.1 is open" in gateway.said
    assert "Traceback" not in gateway.said


def test_an_end_during_a_reload_is_the_end(served: tuple[Site, Process]) -> None:
    """SIGTERM comes while clients that have just connected may still ask."""
    _, gateway = served
    gateway.send(signal.SIGHUP)
    wait_until(lambda: "SIGHUP: the configuration is read again" in gateway.said, "the reload begins")
    assert gateway.end() == 0
    assert gateway.said.count("LDAP ldap://") == 1


@pytest.mark.long
def test_a_port_is_changed(served: tuple[Site, Process]) -> None:
    """The former one is closed, and others can have it."""
    site, _ = served
    former, [site.ldap_port] = site.ldap_port, free_ports(1)
    site.file.write_text(site.file.read_text().replace(f"tcp:{former}", f"tcp:{site.ldap_port}"))
    served[1].send(signal.SIGHUP)
    wait_until(lambda: site.ldapsearch("-s", "base", phone="", base="")[0] == 0, "the new port is served")
    with socket.create_server(("127.0.0.1", former)):
        pass


@pytest.mark.parametrize(
    ("former", "changed", "told"),
    [
        ("[ldap]", "[ldap]\nsize = 5", "ldap.size: is not a key of this table"),
        (
            'state_dir = "',
            'state_dir = "other-',
            "state_dir: cannot change while the gateway runs; restart the gateway",
        ),
        pytest.param(
            "[ldap]",
            '[tls]\ncertificate = "none.pem"\nprivate_key = "none.pem"\n[ldap]',
            "tls.certificate = ",
            marks=pytest.mark.long,
        ),
        (
            "[ldap]\nlisten = [",
            '[ldap]\nlisten = ["tcp:{taken}:interface=127.0.0.1", ',
            "is in use by another program",
        ),
    ],
    ids=["key", "state_dir", "certificate", "port"],
)
def test_what_cannot_be_served_changes_nothing(
    served: tuple[Site, Process], former: str, changed: str, told: str
) -> None:
    """The gateway says what is wrong, and goes on; a later SIGHUP finds the file mended."""
    site, gateway = served
    started = read_last(site)
    assert started[0] == 1
    good = site.file.read_text()
    assert former in good
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = good.replace(former, changed.replace("{taken}", str(taken.getsockname()[1])), 1)
        site.file.write_text(bad)
        gateway.send(signal.SIGHUP)
        wait_until(lambda: "continues with the previous configuration" in gateway.said, "the problem is told")
    lines = [line for line in gateway.said.splitlines() if "SIGHUP" in line]
    assert all(f"SIGHUP: {site.file}: " in line for line in lines)
    assert told in lines[0]
    assert naming_contexts(site) == list(BASES[:1])
    assert read_last(site) == (0, started[1])
    site.file.write_text(good + SECOND)
    gateway.send(signal.SIGHUP)
    wait_until(lambda: naming_contexts(site) == list(BASES), "the mended file is served")
    wait_until(site.is_ready, "the page is served")
    assert read_last(site)[0] == 1
    assert read_last(site)[1] > started[1]


def read_last(site: Site) -> tuple[float, float]:
    """Whether the last reload was good, and when the configuration that is served was read."""
    names = ("successful", "success_timestamp_seconds")
    good, read_at = (site.figure(f"ldapgw_config_last_reload_{name}") for name in names)
    return good, read_at

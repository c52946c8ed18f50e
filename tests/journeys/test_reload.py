# SPDX-License-Identifier: MIT
"""A running gateway reads its configuration again at SIGHUP, and nobody finds its ports closed.

Only a process replaces itself by exec and keeps the sockets that it listens on.
"""

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
# The log has these lines when the configuration of a reload is good, and when a gateway listens.
IS_GOOD, STARTED = "SIGHUP: the new configuration is good; the gateway starts anew", "LDAP ldap://"
BASES = ("dc=acme,dc=example", "dc=globex,dc=example")
SECOND = '\n[[tenant]]\nname = "globex"\nbase_dn = "dc=globex,dc=example"\n'


def naming_contexts(site: Site) -> list[str]:
    return site.values("namingContexts", "-s", "base", phone="", base="")


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


class Served:
    """A gateway of one tenant, which nobody has connected to.

    :ivar written: the configuration that it was started with.
    """

    def __init__(self, site: Site, gateway: Process) -> None:
        self.site = site
        self.gateway = gateway
        self.written = site.file.read_text()
        self._seen = 0

    def begin_anew(self) -> None:
        """The next test starts with the written configuration, and sees what is said from now on."""
        if self.site.file.read_text() != self.written:
            self.reload(self.written)
            wait_until(lambda: naming_contexts(self.site) == list(BASES[:1]), "the first tenant is served")
            wait_until(self.site.is_ready, "the page is served")
        self._seen = len(self.gateway.said)

    def reload(self, text: str) -> None:
        self.site.file.write_text(text)
        self.gateway.send(signal.SIGHUP)

    @property
    def said(self) -> str:
        """Return the gateway's output in this test."""
        return self.gateway.said[self._seen :]


@pytest.fixture(scope="module", name="gateway")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    site = Site(tmp_path_factory.mktemp("served"))
    with site.running() as gateway:
        yield Served(site, gateway)
    assert "Traceback" not in gateway.said


@pytest.fixture
def served(gateway: Served) -> Served:
    """The gateway of the module, as it was started: each reload imports everything, as a start does."""
    gateway.begin_anew()
    return gateway


def test_a_tenant_is_added_and_removed(served: Served) -> None:
    """The same process serves on, and its ports stay open."""
    site = served.site
    # Not the notice of a disconnection, whose message ID is 0.
    phones = Callers(site.ldap_port, pdu.message(1, pdu.search()), b"\x02\x01\x01")
    browsers = Callers(site.web_port, b"GET /healthz HTTP/1.0\r\n\r\n", b" 200")
    phones.start()
    browsers.start()
    for more, bases in ((SECOND, list(BASES)), ("", list(BASES[:1]))):
        served.reload(served.written + more)
        wait_until(lambda bases=bases: naming_contexts(site) == bases, f"{bases} are served")
    assert served.gateway.status is None
    for callers in (phones, browsers):
        before = callers.asked
        wait_until(lambda callers=callers, before=before: callers.asked > before, "somebody was answered")
        assert callers.end() == []
    assert served.said.count(IS_GOOD) == 2


def test_who_has_connected_may_still_ask(served: Served) -> None:
    """For a second: often, with pauses; on a machine that is too slow for that, it is tried again."""
    assert any(is_answered_in_a_reload(served, attempt) for attempt in range(1, 6))


def is_answered_in_a_reload(served: Served, number: int) -> bool:
    """Return True if a connection gets six answers, between which others would end it, once the reload has begun."""
    answers: list[bool] = []

    def ask() -> bool:
        """Return True if all is said."""
        with suppress(OSError):
            connection.sendall(pdu.message(1, pdu.search()))
            answers.append(b"\x02\x01\x01" in connection.recv(4096)[:8])
            return len(answers) == 7 or not answers[-1]
        return True

    with socket.create_connection(("127.0.0.1", served.site.ldap_port), timeout=60) as connection:
        ask()
        served.reload(served.written)
        wait_until(lambda: served.said.count(IS_GOOD) == number, "the reload begins")
        wait_until(ask, "the connection is answered, or ends")
    wait_until(lambda: served.said.count(STARTED) == number, "the gateway has started again")
    return answers == [True] * 7


def test_what_cannot_be_served_changes_nothing(served: Served) -> None:
    """The gateway says what is wrong, and goes on; a later SIGHUP finds the file mended."""
    site, good = served.site, served.written
    started = read_last(site)
    assert started[0] == 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for former, changed, told in (
            ("[ldap]", "[ldap]\nsize = 5", "ldap.size: is not a key of this table"),
            (
                'state_dir = "',
                'state_dir = "other-',
                "state_dir: cannot change while the gateway runs; restart the gateway",
            ),
            ("[ldap]", '[tls]\ncertificate = "none.pem"\nprivate_key = "none.pem"\n[ldap]', "tls.certificate = "),
            (
                "[ldap]\nlisten = [",
                f'[ldap]\nlisten = ["tcp:{port}:interface=127.0.0.1", ',
                "is in use by another program",
            ),
        ):
            assert former in good
            said = len(served.said)
            served.reload(good.replace(former, changed, 1))
            wait_until(
                lambda said=said: "continues with the previous configuration" in served.said[said:],
                "the problem is told",
            )
            lines = [line for line in served.said[said:].splitlines() if "SIGHUP" in line]
            assert all(f"SIGHUP: {site.file}: " in line for line in lines)
            assert told in lines[0]
            assert naming_contexts(site) == list(BASES[:1])
            assert read_last(site) == (0, started[1])
    served.reload(good + SECOND)
    wait_until(lambda: naming_contexts(site) == list(BASES), "the mended file is served")
    wait_until(site.is_ready, "the page is served")
    assert read_last(site)[0] == 1
    assert read_last(site)[1] > started[1]


def read_last(site: Site) -> tuple[float, float]:
    """Return 1 if the last reload was good, and the time at which the current configuration was read."""
    names = ("successful", "success_timestamp_seconds")
    good, read_at = (site.figure(f"ldapgw_config_last_reload_{name}") for name in names)
    return good, read_at


def test_each_signal_has_the_newest_file_tried(served: Served) -> None:
    """Also while another file is tried, or given way to; what was tried is served, whatever becomes of the file."""
    site = served.site
    mended, slow = site.folder / "mended.toml", site.folder / "slow.toml"
    mended.write_text(served.written + SECOND)
    os.mkfifo(slow)
    slow.replace(site.file)
    served.gateway.send(signal.SIGHUP)
    with site.file.open("w") as held:  # somebody reads it
        served.gateway.send(signal.SIGHUP)
        mended.replace(site.file)
        held.write("nonsense")
    wait_until(lambda: IS_GOOD in served.said, "the mended file is good")
    served.reload("neither this")
    wait_until(lambda: served.said.count("is not TOML") == 2, "what came in the meantime is tried")
    assert served.gateway.status is None
    assert naming_contexts(site) == list(BASES)
    told = re.findall("SIGHUP: .*?(is not TOML|is good)", served.said)
    assert told == ["is not TOML", "is good", "is not TOML"]


def test_settings_are_changed(tmp_path: Path) -> None:
    """All at once: a port, TLS, the log, networks that need no login, the interval of syncs.

    The former port is closed, and others can have it.  The command ``status`` names a client that begins with TLS on
    the new port.  SIGTERM while clients that have just connected may still ask is the end.
    """
    contexts_in(tmp_path)
    site = Site(tmp_path)
    start_tls = "supportedExtension: 1.3.6.1.4.1.1466.20037"
    with site.running() as gateway:
        assert start_tls not in site.ldapsearch("-s", "base", "+", phone="", base="")[1]
        assert site.ldapsearch("-s", "base", phone="")[0] == NO_ACCESS
        former, [site.ldap_port] = site.ldap_port, free_ports(1)
        text = site.file.read_text().replace("[ldap]", 'log_level = ["debug"]\n[ldap]', 1)
        text = text.replace(f"tcp:{former}", f"tcp:{site.ldap_port}")
        text = re.sub(r'interval = ".*"', 'interval = "7m"', text) + 'anonymous_networks = ["127.0.0.0/8"]\n'
        site.file.write_text(f'{text}[tls]\ncertificate = "certificate.pem"\nprivate_key = "key.pem"\n')
        gateway.send(signal.SIGHUP)
        wait_until(lambda: site.ldapsearch("-s", "base", phone="")[0] == 0, "networks are let in")
        with socket.create_server(("127.0.0.1", former)):
            pass
        assert start_tls in site.ldapsearch("-s", "base", "+", phone="", base="")[1]
        assert site.figure("ldapgw_sync_interval_seconds") == 420
        assert "from 127.0.0.1 is open" in gateway.said
        with socket.create_connection(("127.0.0.1", site.ldap_port)) as client:
            client.sendall(bytes.fromhex("1603010200"))  # the beginning of a TLS hello
        told = "! 127.0.0.1 speaks TLS to the port for LDAP without TLS"
        wait_until(lambda: told in site.ldapgw("status").stdout, "the status names the client")
        gateway.send(signal.SIGHUP)
        wait_until(lambda: gateway.said.count(IS_GOOD) == 2, "another reload begins")
        assert gateway.end() == 0
        assert gateway.said.count(STARTED) == 2
    assert "Traceback" not in gateway.said

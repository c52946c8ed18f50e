# SPDX-License-Identifier: MIT
"""The log of a running gateway: ours alone, from the configured levels on, by both doors.

Only a process has a standard error of its own and gets signals.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ldapgw.server.logging import FIELDS
from tests.journeys.test_serving import TWISTD
from tests.support.site.running import Process, Site, wait_until

pytestmark = pytest.mark.long  # starts gateways; tests/server/test_logging has the lines

MEMBERS = {"time", "level", "part", "event", "message", "exception", *FIELDS}
START = ["database_new", "books_loaded", "gateway_started"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A gateway of one tenant that logs as JSON, and where Twisted cannot write its cache of plugins."""
    site = Site(tmp_path)
    site.file.write_text('log_format = "json"\nlog_level = ["info"]\n' + site.file.read_text())
    plugins = tmp_path / "more" / "twisted" / "plugins"
    (plugins / "dropin.cache").mkdir(parents=True)
    (plugins / "another.py").touch()
    return site


def command(site: Site, door: str, *more: str) -> list[str]:
    arguments = [*TWISTD, str(site.file)] if door == "twistd" else site.command("run")
    return ["env", f"PYTHONPATH={site.folder / 'more'}", *arguments, *more]


def lines(gateway: Process) -> list[dict[str, Any]]:
    """All lines, of which each is an object of known members."""
    found = [json.loads(line) for line in gateway.said.splitlines()]
    assert [line for line in found if not line.keys() <= MEMBERS] == []
    return found


@pytest.mark.parametrize("door", ["run", "twistd"])
def test_only_our_events_are_logged(site: Site, door: str) -> None:
    """From the start to the end, at level info."""
    with site.running(command(site, door)) as gateway:
        pass
    assert [line["event"] for line in lines(gateway)] == [*START, "gateway_stopping"]


def test_what_twisted_says_can_be_had(site: Site) -> None:
    """With a level of its own, and then also what it says of its plugins; an option counts more than the setting."""
    with site.running(command(site, "twistd", "--log-level", "error", "--log-level=twisted=info")) as gateway:
        pass
    found = lines(gateway)
    assert {line["part"] for line in found} == {"twisted"}
    assert [line["message"] for line in found if "plugin cache" in line["message"]] == [
        f"Unable to write to plugin cache {site.folder}/more/twisted/plugins/dropin.cache: error number 21"
    ]


def test_a_reload_takes_other_levels(site: Site) -> None:
    """And other levels for parts."""
    with site.running(command(site, "run")) as gateway:
        site.ldapsearch("-s", "base", phone="", base="")
        site.file.write_text(site.file.read_text().replace('["info"]', '["error", "ldap=debug"]'))
        gateway.send(signal.SIGHUP)
        wait_until(lambda: site.is_ready() and "reload_started" in gateway.said, "the gateway has started again")
        wait_until(lambda: site.ldapsearch("-s", "base", phone="", base="")[0] == 0, "LDAP is served")
        wait_until(lambda: "connection_closed" in gateway.said, "the connection is logged")
    start, later = lines(gateway)[: len(START) + 2], lines(gateway)[len(START) + 2 :]
    assert [line["event"] for line in start] == [*START, "reload_started", "gateway_stopping"]
    assert {(line["event"], line["level"]) for line in later} == {
        ("connection_opened", "debug"),
        ("connection_closed", "debug"),
    }


def test_what_is_no_level_is_refused(site: Site) -> None:
    """With a line that says what is allowed."""
    refused = Process(command(site, "twistd", "--log-level", "sync=loud"), site.folder / "refused.log", site.folder)
    assert refused.wait() == 1
    done = site.ldapgw("run", "--log-level", "sync=loud")
    assert done.returncode == 2
    for said in (refused.said, done.stderr):
        assert said.splitlines()[-1].endswith(
            "'sync=loud': expected LEVEL or PART=LEVEL; LEVEL is one of debug, info, warning, error, critical; "
            "PART is one of google, ldap, peers, phones, server, store, sync, twisted, web"
        )


def test_a_daemon_refuses_to_reload_and_serves_until_it_is_ended(site: Site) -> None:
    """With a line in its log, even if whoever started it had blocked the signal; the lock file names its process."""
    pidfile, logfile = site.folder / "twistd.pid", site.folder / "twistd.log"
    daemon = [TWISTD[0], f"--pidfile={pidfile}", f"--logfile={logfile}", "ldapgw", "--config", str(site.file)]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        started = Process(daemon, site.folder / "daemon.log", site.folder)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert started.wait() == 0
    wait_until(site.is_ready, "the daemon serves")
    pid = int(pidfile.read_text())
    try:
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "reload_impossible" in logfile.read_text(), "the refusal is logged")
        assert [json.loads(line)["event"] for line in logfile.read_text().splitlines()] == [*START, "reload_impossible"]
        assert int((site.folder / "state" / "ldapgw.pid").read_text()) == pid
        site.add_phone("desk1", "--tenant", "acme")
        assert site.names() == []
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not pidfile.exists(), "the daemon is gone")
    assert "Traceback" not in logfile.read_text()

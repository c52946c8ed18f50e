# SPDX-License-Identifier: MIT
"""``sandbox``, ``demo`` and ``run`` go on until a signal; each runs in a process of its own.

Only a process gets a signal, and shows what it prints before and after the signal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner

from ldapgw.cli import main
from ldapgw.server.state_dir import lock_holder_pid
from tests.support.site.command_line import ACME, HEAD, Gateway


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``ldapgw ARGUMENTS`` while the test needs the process, and kill a process that has not ended."""
    command = [sys.executable, "-m", "ldapgw", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def read_until(process: subprocess.Popen[str], beginning: str) -> list[str]:
    """Return the printed lines up to a line with this beginning."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(beginning):
            return lines
    assert process.stderr is not None
    raise AssertionError(lines, process.stderr.read())


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Return the exit code after a signal, and the text on stderr."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_sandbox_prints_the_lines_of_a_configuration(tmp_path: Path, number: signal.Signals) -> None:
    """The lines are TOML with the sandbox's address; a signal ends the sandbox quietly."""
    people = tmp_path / "people.json"
    people.write_text(json.dumps([{"names": [{"displayName": "Jörg Müller"}]}]))
    with program("sandbox", "--port", "0", "--people", str(people)) as process:
        told = tomllib.loads("\n".join(read_until(process, "# Redirect URIs")))
        url = told["google"]["people_api"]
        with urlopen(f"{url}/sandbox/state") as answer:
            state = json.load(answer)
        assert ended(process, number) == (0, "")
    assert told["google"] == {
        "authorization_endpoint": f"{url}/o/oauth2/v2/auth",
        "token_endpoint": f"{url}/token",
        "revocation_endpoint": f"{url}/revoke",
        "people_api": url,
        "admin_api": url,
        "issuer": url,
        "jwks_uri": f"{url}/oauth2/v3/certs",
    }
    assert told["tenant"][0].keys() == {"client_id", "client_secret"}
    assert state["accounts"][0]["persons"]["contacts"] == 1


def test_a_sandbox_that_is_refused(gateway: Gateway) -> None:
    """One line names the port in use, or the missing file."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert gateway.refused("sandbox", "--port", port) == (f"--port {port}: cannot listen: Address already in use\n")
    assert gateway.refused("sandbox", "--people", "/no/such/file") == (
        "/no/such/file: cannot be read: No such file or directory\n"
    )


def test_run_serves_until_sigterm(gateway: Gateway) -> None:
    """While the gateway runs, commands know its process; afterwards there is no process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    web = f'[web]\nlisten = ["tcp:{port}:interface=127.0.0.1"]'
    gateway.write(HEAD.replace('[web]\nlisten = ["tcp:0:interface=127.0.0.1"]', web) + ACME)
    with program("--config", str(gateway.file), "run") as process:
        while lock_holder_pid(gateway.state_dir) != process.pid:
            assert process.poll() is None, "it ended"
        assert f"is running (process {process.pid})" in gateway.run("check").stdout
        assert gateway.refused("run") == (
            f"{gateway.file}: state_dir = {gateway.state_dir}: is in use by another gateway (process {process.pid})\n"
        )
        code, err = ended(process, signal.SIGTERM)
    assert code == 0
    assert "Traceback" not in err
    assert "Page https://phonebook.example.com/ · LDAP ldap://phonebook.example.com · 0 accounts, 0 phones\n" in err
    assert not any(word in err for word in ("Starting factory", "link?key="))
    assert "is running" not in gateway.run("check").stdout


@pytest.mark.long  # the test runs a sandbox, a gateway and a consent
def test_demo(tmp_path: Path) -> None:
    """The demo prints a page, a login and a search, and leaves nothing behind."""
    folder = tmp_path / "demo"
    with program("demo", "--state", str(folder)) as process:
        lines = read_until(process, "Ctrl-C ends the demo.")
        assert any(line.startswith("ldapsearch ") for line in lines)
        assert any(
            line.startswith("Page: ") and line.endswith("(sign in as alice@acme.example, an administrator)")
            for line in lines
        )
        # Other commands work on the demo with the line that it prints.
        [line] = [line for line in lines if line.startswith("export LDAPGW_CONFIG=")]
        environment = {"LDAPGW_CONFIG": line.partition("=")[2]}
        assert environment == {"LDAPGW_CONFIG": str(folder / "ldapgw.toml")}
        assert {path.stat().st_mode & 0o777 for path in (folder, folder / "ldapgw.toml")} == {0o700, 0o600}
        told = json.loads(CliRunner().invoke(main, ["status", "--json"], env=environment).stdout)
        assert (told["process"], told["tenants"][0]["accounts"]["ok"]) == (process.pid, 1)
        [lookup] = [line for line in lines if line.endswith(" lookup mül --phone desk1")]
        pasted = ["env", "-i", f"PATH={os.defpath}", "LANG=C.UTF-8", *map("=".join, environment.items())]
        found = subprocess.run([*pasted, "sh", "-c", lookup], capture_output=True, text=True, check=True, timeout=60)
        assert "Müller" in found.stdout
        code, err = ended(process, signal.SIGTERM)
    assert (code, "Traceback" in err) == (0, False)
    assert not folder.exists()


@pytest.mark.long  # the test runs a sandbox, and a gateway that syncs a company
def test_demo_of_a_workspace(tmp_path: Path) -> None:
    """The administrator's account appears without a consent.

    Only its owner may read the key, which goes with the demo.
    """
    folder = tmp_path / "demo"
    with program("demo", "--workspace", "--state", str(folder)) as process:
        lines = read_until(process, "Ctrl-C ends the demo.")
        assert any(line.endswith("(sign in as admin@acme.example, an administrator)") for line in lines)
        assert not any("consent …" in line for line in lines)
        assert (folder / "service-account.json").stat().st_mode & 0o777 == 0o600
        environment = {"LDAPGW_CONFIG": str(folder / "ldapgw.toml")}
        told = json.loads(CliRunner().invoke(main, ["status", "--json"], env=environment).stdout)
        assert sum(told["tenants"][0]["accounts"].values()) >= 199
        code, err = ended(process, signal.SIGTERM)
    assert (code, "Traceback" in err) == (0, False)
    assert not folder.exists()


def test_demo_refuses_a_folder_that_is_somebodys(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ann")
    assert "is not empty, and was not created by ldapgw demo" in gateway.refused("demo", "--state", str(tmp_path))
    assert (tmp_path / "letter.txt").read_text() == "Dear Ann"

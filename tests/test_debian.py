# SPDX-License-Identifier: MIT
"""The Debian package: built, and installed, upgraded, removed and purged in a Debian of its own.

Only dpkg and systemd show that the package installs, upgrades and is removed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from ldapgw import __version__
from ldapgw.cli import main
from tests.support import base_image, debian_machine
from tests.support.checkout import ROOT
from tests.support.debian_machine import BOOTED, Machine, init
from tests.support.program import run
from tests.support.released import VERSION, commit_all, copy_checkout, released
from tests.support.site.running import PATIENCE, free_ports, wait_until

NEWER = "99.0"
SCRIPT = ROOT / "scripts/deb"

NEEDED = ("dh", "dpkg-buildpackage", "lintian", *base_image.NEEDED)
_missing = [name for name in NEEDED if shutil.which(name) is None]
_missing_to_boot = [name for name in debian_machine.NEEDED_TO_BOOT if shutil.which(name) is None]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        "CI" not in os.environ and (bool(_missing) or os.geteuid() != 0 or not Path("/etc/debian_version").exists()),
        reason=f"needs Debian, root, {', '.join(NEEDED)}",
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a release."""
    return released(tmp_path_factory).package


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the Debian that a release's image is based on."""
    return released(tmp_path_factory).base


def test_lintian_finds_no_errors(package: Path) -> None:
    """Each override has its reason beside it."""
    run("lintian", "--allow-root", "--fail-on", "error", package)


def test_the_package_says_what_it_is(package: Path) -> None:
    """The release's version and this Debian's, and one version of Python."""
    fields = dict(
        line.split(": ", 1) for line in run("dpkg-deb", "--field", package).splitlines() if not line.startswith(" ")
    )
    system = platform.freedesktop_os_release()
    assert fields["Version"] == f"{VERSION}~{system['ID']}{system['VERSION_ID']}"
    assert package.name == f"ldapgw_{fields['Version']}_{run('dpkg', '--print-architecture').strip()}.deb"
    assert re.search(r"python3 \(>= 3\.(\d+)~\), python3 \(<< 3\.\d+\)", fields["Depends"])


@pytest.mark.parametrize(("sign", "order"), [("~~", "lt"), ("+", "gt")], ids=["before a release", "after a release"])
def test_a_package_between_two_releases(tmp_path: Path, sign: str, order: str) -> None:
    """It names its commit, and is older than the release whose version it has until there is that release."""
    checkout = commit_all(copy_checkout(tmp_path))
    if sign == "+":
        run("git", "tag", f"v{__version__}", cwd=checkout)
        (checkout / "new").touch()
        commit_all(checkout)
    # The lines of the script that make the version.
    (lines,) = re.findall(r"^(version=(?:.*\n)*?version=\$version~.*)$", SCRIPT.read_text(), re.MULTILINE)
    version = run("sh", "-euc", f"{lines}\necho $version", cwd=checkout).strip()
    assert re.fullmatch(rf"{re.escape(__version__ + sign)}git\d{{12}}\.[0-9a-f]+~debian\d+", version)
    run("dpkg", "--compare-versions", version, order, f"{__version__}~debian0")


def test_files_are_where_debian_wants_them(package: Path) -> None:
    """A man page for each command, units where debhelper puts them, and in /etc and /var only what the user needs."""
    listed = run("dpkg-deb", "--contents", package)
    names = {line.split()[5].removeprefix(".") for line in listed.splitlines()}
    man = {"/usr/share/man/man1/ldapgw.1.gz", "/usr/share/man/man5/ldapgw.toml.5.gz"}
    man |= {f"/usr/share/man/man1/ldapgw-{name}.1.gz" for name in main.list_commands(None)}  # type: ignore[arg-type]
    assert {name for name in names if name.startswith("/usr/share/man/") and not name.endswith("/")} == man
    # Until Debian 12, units are in /lib.
    (units,) = {name.rpartition("/")[0] for name in names if name.endswith((".service", ".timer"))}
    assert units.removeprefix("/usr") == "/lib/systemd/system"
    assert names >= {
        "/usr/bin/ldapgw",
        *(f"{units}/{path.name}" for ending in ("service", "timer") for path in (ROOT / "etc").glob(f"*.{ending}")),
        "/usr/share/bash-completion/completions/ldapgw",
        "/usr/share/zsh/vendor-completions/_ldapgw",
        "/usr/share/fish/vendor_completions.d/ldapgw.fish",
        "/usr/share/doc/ldapgw/README.Debian",
        "/usr/share/doc/ldapgw/examples/ldapgw.toml",
    }
    outside = {name for name in names if not name.startswith(("/usr/", "/lib/"))}
    assert outside == {"/", "/etc/", "/var/", "/var/lib/", "/etc/ldapgw/", "/var/lib/ldapgw/"}


def newer(package: Path, folder: Path) -> Path:
    """The same package with a higher version."""
    run("dpkg-deb", "--raw-extract", package, folder)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {NEWER}", control.read_text(), flags=re.MULTILINE))
    run("dpkg-deb", "--build", "-Znone", folder, folder.with_suffix(".deb"))
    return folder.with_suffix(".deb")


def start_and_stop(machine: Machine, ldap: int) -> None:
    """Run what the unit runs, as its user: once it says that it is ready, phones are served."""
    unit = (machine.root / "lib/systemd/system/ldapgw.service").read_text()
    assert "\nType=notify\n" in unit
    assert "\nUser=ldapgw\n" in unit
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(PATIENCE)
        address = machine.root / "run/notify"
        notify.bind(str(address))
        address.chmod(0o777)
        service = subprocess.Popen(
            machine.command("NOTIFY_SOCKET=/run/notify", *command.split(), user="ldapgw:ldapgw"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert notify.recv(100) == b"READY=1"
            socket.create_connection(("127.0.0.1", ldap)).close()
        finally:
            service.send_signal(signal.SIGTERM)
            said, _ = service.communicate(timeout=PATIENCE)
        assert (service.returncode, notify.recv(100)) == (0, b"STOPPING=1"), said
        address.unlink()


def test_it_is_installed_upgraded_removed_and_purged(package: Path, base: Path, tmp_path: Path) -> None:
    """An upgrade and a removal keep the configuration and the state; purging keeps what a backup needs."""
    machine = Machine(tmp_path / "root", base)
    ldap, web = free_ports(2)
    before = machine.files()

    machine.dpkg("--install", package)
    assert machine.run("ldapgw", "--version") == f"ldapgw {VERSION} (compiled)\n"
    folders = ("/etc/ldapgw", "/var/lib/ldapgw", backups := "/var/backups/ldapgw")
    assert machine.modes(*folders) == ["750 root:ldapgw", *["700 ldapgw:ldapgw"] * 2]
    (cache,) = (machine.root / "usr/lib/ldapgw").glob("lib/python3.*/site-packages/twisted/plugins/dropin.cache")
    assert b"ldapgw_plugin" in cache.read_bytes()
    built = subprocess.run(["grep", "-rlF", package.parents[1], machine.root / "usr"], capture_output=True, check=False)
    assert (built.returncode, built.stdout) == (1, b""), "something names the folder in which the package was built"
    enabled = "/etc/systemd/system/multi-user.target.wants/ldapgw.service"
    assert str((machine.root / enabled[1:]).readlink()).removeprefix("/usr") == "/lib/systemd/system/ldapgw.service"
    assert not machine.exists("/etc/systemd/system/timers.target.wants/ldapgw-backup.timer")

    machine.run(*init(ldap, web))
    file, key = "/etc/ldapgw/ldapgw.toml", "/var/lib/ldapgw/ldapgw.key"
    assert machine.modes(file, key) == ["640 root:ldapgw", "600 ldapgw:ldapgw"]
    assert "✗" not in machine.run("ldapgw", "check", user="ldapgw:ldapgw")
    start_and_stop(machine, ldap)
    machine.run("ldapgw", "backup", f"{backups}/ldapgw.db", user="ldapgw:ldapgw")

    with (machine.root / file[1:]).open("a") as configuration:
        configuration.write("# changed by hand\n")
    kept = {path: (machine.root / path[1:]).read_bytes() for path in (file, key)}
    owners = machine.modes(*kept, "/etc/ldapgw", "/var/lib/ldapgw")
    machine.dpkg("--install", newer(package, tmp_path / "newer"))
    assert machine.run("dpkg-query", "--show", "--showformat=${Version}", "ldapgw") == NEWER
    assert {path: (machine.root / path[1:]).read_bytes() for path in kept} == kept
    assert machine.modes(*kept, "/etc/ldapgw", "/var/lib/ldapgw") == owners
    start_and_stop(machine, ldap)

    machine.dpkg("--remove", "ldapgw")
    assert {path: (machine.root / path[1:]).read_bytes() for path in kept} == kept
    assert not any(machine.exists(path) for path in ("/usr/bin/ldapgw", "/usr/lib/ldapgw", "/usr/share/doc/ldapgw"))

    machine.dpkg("--purge", "ldapgw")
    (old_key,) = (machine.root / "var/lib/ldapgw").iterdir()
    assert (old_key.stem, old_key.read_bytes()) == ("ldapgw.key", kept[key])
    left = ("/var/lib/ldapgw", f"/var/lib/ldapgw/{old_key.name}", backups, f"{backups}/ldapgw.db")
    assert machine.files() - before == set(left)
    assert "ldapgw" in (machine.root / "etc/passwd").read_text()
    machine.dpkg("--install", package)
    machine.run(*init(ldap, web))
    machine.run("ldapgw", "restore", "--yes", f"{backups}/ldapgw.db")
    assert "✗" not in machine.run("ldapgw", "check", user="ldapgw:ldapgw")


SEARCH = ("ldapsearch", "-x", "-LLL", "-H", "ldap://127.0.0.1", "-s", "base", "-b", "", "namingContexts")


@pytest.mark.soak  # boots a Debian, as tests/test_install.py does
@pytest.mark.skipif(
    "CI" not in os.environ and bool(_missing_to_boot), reason=f"needs {', '.join(debian_machine.NEEDED_TO_BOOT)}"
)
def test_systemd_runs_it(package: Path, base: Path, tmp_path: Path) -> None:
    """On the usual ports: ready when started, reloaded, watched, restarted by an upgrade, ended with the package."""
    machine = Machine(tmp_path / "root", base, (*BOOTED, "bash-completion"))
    with machine.booted():

        def property_of_service(name: str) -> str:
            return machine.run("systemctl", "show", "--property", name, "--value", "ldapgw").strip()

        machine.dpkg("--install", package)
        units = ("ldapgw.service", "ldapgw@.service", "ldapgw-backup.service", "ldapgw-backup.timer")
        machine.run("systemd-analyze", "verify", *(f"/lib/systemd/system/{unit}" for unit in units))
        machine.run("systemctl", "start", "ldapgw")
        assert property_of_service("ConditionResult") == "no"

        machine.run(*init(389, 8080))
        checked = machine.run("ldapgw", "check", user="ldapgw")
        assert "port 389 needs the capability CAP_NET_BIND_SERVICE" in checked
        assert "✗" not in checked
        machine.run("systemctl", "start", "ldapgw")
        assert machine.run(*SEARCH, user="ldapgw") == "dn:\nnamingContexts: dc=acme,dc=example\n\n"
        assert 'ldap.listen "tcp:389": port 389 answers' in machine.run("ldapgw", "check", user="ldapgw")

        process = property_of_service("MainPID")
        machine.run("systemctl", "start", "ldapgw-backup")
        (backup,) = machine.run("ls", "/var/backups/ldapgw").split()
        assert re.fullmatch(r"ldapgw-\d{8}T\d{6}Z\.db", backup)
        owners = machine.modes("/var/backups/ldapgw", f"/var/backups/ldapgw/{backup}")
        assert owners == ["700 ldapgw:ldapgw", "600 ldapgw:ldapgw"]

        file = machine.root / "etc/ldapgw/ldapgw.toml"
        good = file.read_text()
        file.write_text(good.replace('"dc=acme,dc=example"', '"dc=acme,dc=test"'))
        machine.run("systemctl", "reload", "ldapgw")
        file.write_text("nonsense")
        with pytest.raises(AssertionError, match=r"Job for ldapgw\.service failed"):
            machine.run("systemctl", "reload", "ldapgw")
        assert "is not TOML" in machine.run("journalctl", "--unit=ldapgw", "--output=cat")
        assert machine.run(*SEARCH) == "dn:\nnamingContexts: dc=acme,dc=test\n\n"
        assert property_of_service("MainPID") == process
        file.write_text(good)

        assert property_of_service("WatchdogUSec") == "1min"
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "ldapgw")
        machine.run("sh", "-c", "journalctl --unit=ldapgw --follow | grep --max-count=1 'Scheduled restart job'")
        machine.run("systemctl", "start", "ldapgw")
        hung, process = process, property_of_service("MainPID")
        assert process != hung
        machine.run(*SEARCH)

        script = "source /usr/share/bash-completion/completions/ldapgw; COMP_WORDS=(ldapgw ph); COMP_CWORD=1"
        completed = machine.run("bash", "-c", f"{script}; _ldapgw_completion ldapgw; echo ${{COMPREPLY[@]}}")
        assert completed == "phones\n"

        # Under the same restrictions, with contacts: a process of its own parses what Google answers.
        (machine.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        override = machine.root / "etc/systemd/system/ldapgw.service.d/demo.conf"
        override.parent.mkdir(parents=True)
        demo = "/usr/bin/ldapgw demo --state /var/lib/ldapgw/demo --ldap-port 3389 --port 8081 --sandbox-port 8090"
        override.write_text(f"[Service]\nType=simple\nRestart=no\nExecStart=\nExecStart={demo}\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "ldapgw")
        searches: list[str] = []

        def is_over() -> bool:
            searches[:] = re.findall(r"ldapsearch .*", machine.run("journalctl", "--unit=ldapgw", "--output=cat"))
            return bool(searches) or property_of_service("ActiveState") == "failed"

        wait_until(is_over, "the demo has begun or ended", PATIENCE)
        assert "\ntelephoneNumber: " in machine.run("sh", "-c", searches[0])
        shutil.rmtree(override.parent)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "ldapgw")
        process = property_of_service("MainPID")

        machine.dpkg("--install", newer(package, tmp_path / "newer"))
        assert property_of_service("ActiveState") == "active"
        assert property_of_service("MainPID") not in ("0", process)
        machine.dpkg("--remove", "ldapgw")
        assert property_of_service("LoadState") == "not-found"
        assert property_of_service("MainPID") == "0"
        machine.dpkg("--purge", "ldapgw")
        assert machine.run("systemctl", "--failed", "--quiet") == ""

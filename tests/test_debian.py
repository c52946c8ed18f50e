# SPDX-License-Identifier: MIT
"""The Debian package: built, and installed, upgraded, removed and purged in a Debian of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ldapgw import __version__
from ldapgw.cli import main
from tests.support.checkout import ROOT, project_files
from tests.support.site.running import PATIENCE, free_ports

# Seconds; an idle machine needs a tenth of them.
BUILD_PATIENCE = 1200.0

NEWER = "99.0"

NEEDED = ("dh", "dpkg-buildpackage", "lintian", "mmdebstrap")
_missing = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        "CI" not in os.environ and (bool(_missing) or os.geteuid() != 0 or not Path("/etc/debian_version").exists()),
        reason=f"needs Debian, root, {', '.join(NEEDED)}",
    ),
]


def run(*command: object, cwd: Path | None = None, patience: float = BUILD_PATIENCE) -> str:
    """Run a program; what it says, once it has ended well."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=patience
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built in a clean checkout, without what compiling takes minutes for."""
    folder = tmp_path_factory.mktemp("package")
    checkout = folder / "checkout"
    for path in project_files():
        target = checkout / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    run("git", "init", "--quiet", cwd=checkout)
    run("git", "add", "--all", cwd=checkout)
    run("git", *author, "commit", "--quiet", "-m", "All of it", cwd=checkout)
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, checkout)
    (wheel,) = folder.glob("*.whl")
    run("scripts/deb", "--wheel", wheel, cwd=checkout)
    (made,) = (checkout / "dist").glob("*.deb")
    return made


def test_lintian_finds_no_errors(package: Path) -> None:
    """What is overridden has its reason beside it."""
    run("lintian", "--allow-root", "--fail-on", "error", package)


def test_the_package_says_what_it_is(package: Path) -> None:
    """Between the release before and the next one, and for one version of Python."""
    fields = dict(
        line.split(": ", 1) for line in run("dpkg-deb", "--field", package).splitlines() if not line.startswith(" ")
    )
    assert re.fullmatch(rf"{re.escape(__version__)}\+git\d{{12}}\.[0-9a-f]+~debian\d+", fields["Version"])
    run("dpkg", "--compare-versions", fields["Version"], "gt", __version__)
    assert re.search(r"python3 \(>= 3\.(\d+)~\), python3 \(<< 3\.\d+\)", fields["Depends"])


def test_files_are_where_debian_wants_them(package: Path) -> None:
    """A man page for each command, and in /etc and /var only what the package's user needs."""
    listed = run("dpkg-deb", "--contents", package)
    names = {line.split()[5].removeprefix(".") for line in listed.splitlines()}
    man = {"/usr/share/man/man1/ldapgw.1.gz", "/usr/share/man/man5/ldapgw.toml.5.gz"}
    man |= {f"/usr/share/man/man1/ldapgw-{name}.1.gz" for name in main.list_commands(None)}  # type: ignore[arg-type]
    assert {name for name in names if name.startswith("/usr/share/man/") and not name.endswith("/")} == man
    assert names >= {
        "/usr/bin/ldapgw",
        "/lib/systemd/system/ldapgw.service",
        "/lib/systemd/system/ldapgw@.service",
        "/lib/systemd/system/ldapgw-backup.service",
        "/lib/systemd/system/ldapgw-backup.timer",
        "/usr/share/bash-completion/completions/ldapgw",
        "/usr/share/zsh/vendor-completions/_ldapgw",
        "/usr/share/fish/vendor_completions.d/ldapgw.fish",
        "/usr/share/doc/ldapgw/README.Debian",
        "/usr/share/doc/ldapgw/examples/ldapgw.toml",
    }
    outside = {name for name in names if not name.startswith(("/usr/", "/lib/"))} - {"/", "/etc/", "/var/", "/var/lib/"}
    assert outside == {"/etc/ldapgw/", "/var/lib/ldapgw/"}


class Machine:
    """A Debian in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        codename = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
        assert codename is not None
        run(
            *("mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,ca-certificates,adduser"),
            *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/locale/*", codename[1], root),
        )

    def command(self, *command: str, user: str = "root") -> list[str]:
        variables = ("env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        return ["chroot", f"--userspec={user}", str(self.root), *variables, *command]

    def run(self, *command: str, user: str = "root") -> str:
        return run(*self.command(*command, user=user))

    def dpkg(self, action: str, package: Path | str) -> None:
        if isinstance(package, Path):
            shutil.copy(package, self.root / "tmp/ldapgw.deb")
            package = "/tmp/ldapgw.deb"
        self.run("dpkg", "--force-unsafe-io", action, package)

    def modes(self, *paths: str) -> list[str]:
        return self.run("stat", "--format=%a %U:%G", *paths).splitlines()

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path.removeprefix("/"))

    def files(self) -> set[str]:
        """All files and folders but logs, temporary files, and those of the package management and of user accounts."""
        others = ("/run", "/tmp", "/var/lib/dpkg", "/var/log", "/etc/group*", "/etc/gshadow*", "/etc/passwd*")
        left_out = [
            word for path in (*others, "/etc/shadow*", "/etc/.pwd.lock") for word in ("-path", path, "-prune", "-o")
        ]
        listed = self.run("find", "/", "-xdev", *left_out, "-print")
        return set(listed.splitlines())


def newer(package: Path, folder: Path) -> Path:
    """The same package with a higher version."""
    run("dpkg-deb", "--raw-extract", package, folder)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {NEWER}", control.read_text(), flags=re.MULTILINE))
    run("dpkg-deb", "--build", "-Znone", folder, folder.with_suffix(".deb"))
    return folder.with_suffix(".deb")


def init(ldap: int, web: int) -> Sequence[str]:
    answers = {
        "admin": "root@acme.example",
        "tenant": "acme",
        "title": "Acme GmbH",
        "base-dn": "dc=acme,dc=example",
        "allow": "@acme.example",
        "region": "DE",
        "public-url": "https://phonebook.acme.example",
        "web-port": str(web),
        "ldap-port": str(ldap),
        "client-secret-file": "",
        "state-dir": "/var/lib/ldapgw",
    }
    return ("ldapgw", "init", *(f"--{name}={answer}" for name, answer in answers.items()))


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


def test_it_is_installed_upgraded_removed_and_purged(package: Path, tmp_path: Path) -> None:
    """An upgrade and a removal keep the configuration and the state; purging leaves nothing behind but the user."""
    machine = Machine(tmp_path / "root")
    ldap, web = free_ports(2)
    before = machine.files()

    machine.dpkg("--install", package)
    assert machine.run("ldapgw", "--version") == f"ldapgw {__version__} (not compiled)\n"
    assert machine.modes("/etc/ldapgw", "/var/lib/ldapgw") == ["750 root:ldapgw", "700 ldapgw:ldapgw"]
    built = subprocess.run(["grep", "-rlF", package.parents[1], machine.root / "usr"], capture_output=True, check=False)
    assert (built.returncode, built.stdout) == (1, b""), "something names the folder in which the package was built"
    enabled = "/etc/systemd/system/multi-user.target.wants/ldapgw.service"
    assert (machine.root / enabled[1:]).readlink() == Path("/lib/systemd/system/ldapgw.service")
    assert not machine.exists("/etc/systemd/system/timers.target.wants/ldapgw-backup.timer")

    machine.run(*init(ldap, web))
    file, key = "/etc/ldapgw/ldapgw.toml", "/var/lib/ldapgw/ldapgw.key"
    assert machine.modes(file, key) == ["640 root:ldapgw", "600 ldapgw:ldapgw"]
    assert "✗" not in machine.run("ldapgw", "check", user="ldapgw:ldapgw")
    start_and_stop(machine, ldap)

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
    assert machine.files() - before == set()
    assert "ldapgw" in (machine.root / "etc/passwd").read_text()

# SPDX-License-Identifier: MIT
"""A Debian in a folder, in which commands run by chroot or, once it is booted, beside its own systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import run
from tests.support.site.running import PATIENCE

# Only for a machine that is booted.
NEEDED_TO_BOOT = ("nsenter", "systemd-nspawn")
# A Debian of mmdebstrap's smallest kind lacks these packages, which an administrator needs.
BOOTED = ("dbus", "ldap-utils", "sudo", "systemd-sysv")


class Machine:
    """A Debian of the release that this machine has.

    :param base: the archive that the Debian is unpacked from (`tests.support.base_image.make_archive`).
    :param packages: Debian's packages that it has beyond the necessary ones.
    """

    def __init__(self, root: Path, base: Path, packages: Sequence[str] = ()) -> None:
        self.root = root
        self._leader: int | None = None
        root.mkdir()
        run("tar", "--extract", "--numeric-owner", "--file", base, "--directory", root)
        # The base leaves out manuals and documents, which a machine has.
        (root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").write_text("force-unsafe-io\npath-exclude=/usr/share/locale/*\n")
        install = ("install", "--quiet", "--yes", "--no-install-recommends")
        for command in (
            ("update", "--quiet"),
            (*install, "python3", "ca-certificates", "adduser", *packages),
            ("clean",),
        ):
            self.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *command)

    @contextmanager
    def booted(self) -> Iterator[None]:
        """Start its systemd, with a network of its own that reaches nothing; commands then run beside it."""
        options = ("--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe", "--boot")
        container = subprocess.Popen(
            ["systemd-nspawn", *options, f"--directory={self.root}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        try:
            while self._leader is None or not self._is_up():
                assert container.poll() is None, container.communicate()[0]
                self._leader = next(map(int, children.read_text().split()), None)
            yield
        finally:
            self._leader = None
            # Asks systemd to power off.
            container.terminate()
            container.communicate(timeout=PATIENCE)

    def _is_up(self) -> bool:
        asked = subprocess.run(
            self.command("systemctl", "is-system-running", "--wait"), capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() in ("running", "degraded")

    def command(self, *command: str, user: str = "root") -> list[str]:
        variables = ("env", "--ignore-environment", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        if self._leader is None:
            return ["chroot", f"--userspec={user}", str(self.root), *variables, *command]
        inside = ("nsenter", f"--target={self._leader}", "--all", "--wd=/", *variables)
        if user != "root":
            return [*inside, "runuser", f"--user={user.partition(':')[0]}", "--", *command]
        return [*inside, *command]

    def run(self, *command: str, user: str = "root", stdin: str = "") -> str:
        return run(*self.command(*command, user=user), stdin=stdin)

    def dpkg(self, action: str, package: Path | str) -> None:
        if isinstance(package, Path):
            shutil.copy(package, self.root / "var/ldapgw.deb")
            package = "/var/ldapgw.deb"
        self.run("dpkg", "--force-unsafe-io", action, package)
        (self.root / "var/ldapgw.deb").unlink(missing_ok=True)

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


def init(ldap: int, web: int) -> Sequence[str]:
    """The command that writes a configuration without asking."""
    answers = {
        "admin": "root@acme.example",
        "tenant": "acme",
        "title": "Acme GmbH",
        "base-dn": "dc=acme,dc=example",
        "allow": "@acme.example",
        "remove-leavers": "",
        "region": "DE",
        "public-url": "https://phonebook.acme.example",
        "encryption": "proxy",
        "web-port": str(web),
        "ldap-port": str(ldap),
        "client-secret-file": "",
        "state-dir": "/var/lib/ldapgw",
    }
    return ("ldapgw", "init", *(f"--{name}={answer}" for name, answer in answers.items()))

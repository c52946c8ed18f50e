# SPDX-License-Identifier: MIT
"""``docs/how-to/install.rst``: its commands, as they are written, in a Debian of their own.

Only the commands themselves show that the page is complete.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from docutils import nodes

from tests.support import base_image, debian_machine, rst
from tests.support.checkout import ROOT
from tests.support.debian_machine import BOOTED, Machine
from tests.support.program import run
from tests.support.released import commit_all, copy_checkout

PAGE = ROOT / "docs/how-to/install.rst"
OTHER_WAYS = ROOT / "docs/how-to/install-other.rst"
HOME = "home/admin"
# The first answer is the only one without a default; then the name of the page, which needs one too.
ANSWERS = "anna@acme.example\n" + 6 * "\n" + "https://phonebook.example.com\n" + 5 * "\n"

NEEDED = ("mmdebstrap", *debian_machine.NEEDED_TO_BOOT)
_missing = [name for name in NEEDED if shutil.which(name) is None]

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        "CI" not in os.environ and (bool(_missing) or os.geteuid() != 0 or not Path("/etc/debian_version").exists()),
        reason=f"needs Debian, root, {', '.join(NEEDED)}",
    ),
]


def _page(title: str) -> Path:
    return OTHER_WAYS if title in rst.titles(OTHER_WAYS) else PAGE


def commands(*titles: str) -> list[str]:
    """The blocks of commands in sections of the page."""
    blocks = [block for title in titles for block in rst.section(_page(title), title).findall(nodes.literal_block)]
    # The source code is there already.
    return [block.astext() for block in blocks if not block.astext().startswith("tar --extract --file")]


def packages(blocks: list[str]) -> tuple[str, ...]:
    """Debian's packages that commands install; files are none."""
    lines = re.findall(r"^sudo apt-get install (.*)$", "\n".join(blocks), re.MULTILINE)
    return tuple(name for line in lines for name in line.split() if "/" not in name)


def wheel_of(checkout: Path, folder: Path) -> Path:
    """The pure wheel."""
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, "-m", "pip", "wheel", *options, checkout)
    (wheel,) = folder.glob("ldapgw-*.whl")
    return wheel


def prepare(machine: Machine) -> None:
    """An administrator, and what the commands would download: the machine reaches no network."""
    machine.run("useradd", "--create-home", "--shell=/bin/bash", "admin")
    (machine.root / "etc/sudoers.d/admin").write_text("admin ALL=(ALL) NOPASSWD: ALL\n")
    (machine.root / "etc/hosts").write_text("127.0.0.1 localhost phonebook.example.com\n")
    version = machine.run("python3", "-c", "import sys; print('%s.%s' % sys.version_info[:2])").strip()
    wheels = machine.root / "srv/wheels"
    download = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels)
    chosen = ("--only-binary", ":all:", "--python-version", version)
    run(*download, *chosen, "--require-hashes", "--requirement", ROOT / "requirements.txt")
    # These packages build and compile a wheel, and make the man pages of the Debian package.
    builders = ("setuptools", "wheel", "mypy[mypyc]", "docutils")
    run(*download, *chosen, "--constraint", ROOT / "constraints.txt", *builders)
    (machine.root / "etc/apt/apt.conf.d/99recommends").write_text(
        'APT::Install-Recommends "false";\nAPT::Get::Assume-Yes "true";\n'  # an administrator says so
    )
    (machine.root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a Debian."""
    return base_image.make_archive(tmp_path_factory.mktemp("debian") / "base")


@pytest.mark.parametrize("way", ["Debian package", "pip", "Checkout"])
def test_from_an_empty_machine_to_a_search(tmp_path: Path, base: Path, way: str) -> None:
    """Each command succeeds, from the first one to a search as a phone does it.

    The Debian package is built where it is installed; tests/test_containers.py has the fourth way.
    """
    is_deb = way == "Debian package"
    install = [*commands(way), *(() if is_deb else commands("User and folders"))]
    machine = Machine(tmp_path / "root", base, (*BOOTED, *packages(install)))
    checkout = commit_all(copy_checkout(tmp_path / "checkout"))
    wheel = wheel_of(checkout, tmp_path / "wheels")
    with machine.booted():
        prepare(machine)
        if way == "pip":
            run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", machine.root / HOME, checkout)
            shutil.copy(wheel, machine.root / HOME)
            folder = f"/{HOME}"
        else:
            folder = f"/{HOME}/ldapgw"
            shutil.copytree(checkout, machine.root / folder.lstrip("/"), symlinks=True)
            machine.run("chown", "--recursive", "admin", folder)

        def typed(block: str, start: str, stdin: str = "") -> str:
            """Return an administrator's output for a block of commands."""
            return machine.run("bash", "-ec", f"cd {start}\n{block}", user="admin", stdin=stdin)

        first, *others = install
        typed(first, folder)
        if is_deb:
            typed("cp dist/ldapgw_*.deb ..", folder)
            folder = f"/{HOME}"
        for block in others:
            typed(block, folder)
        assert typed("ldapgw --version", folder).endswith("(compiled)\n" if is_deb else "(not compiled)\n")
        (init,) = commands("2. Create the configuration")
        typed(init, folder, stdin=ANSWERS)
        (check,) = commands("5. Check the installation")
        typed(check, folder)
        typed(commands("6. Start the gateway")[0 if is_deb else 1], folder)
        add, search = commands("7. Add the first phone")
        added = typed(add.replace("--account alice@acme.example", "--tenant acme"), folder)
        (password,) = re.findall(r"^password +(\w+)", added, re.MULTILINE)
        assert "result: 0 Success\n" in typed(search.replace("-W", f"-w {password}"), folder)

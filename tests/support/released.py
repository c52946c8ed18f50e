# SPDX-License-Identifier: MIT
"""A release with all that is shipped, made once for all tests of a run: packages, image, documentation, checksums."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from tests.support import base_image, program
from tests.support.checkout import ROOT, project_files

VERSION = "98.7.6"
# A version that is there already: the release is one of maintenance.
NEWER = "99.0.0"
SIGNER = "releaser@example.com"
# Seconds: it compiles, twice where Debian's Python is another one than ours.
PATIENCE = 3600.0

MISSING_FOR_DEB = [name for name in ("dh", "dpkg-buildpackage") if shutil.which(name) is None]
MISSING_FOR_IMAGE = [name for name in base_image.NEEDED if shutil.which(name) is None]


def run(*command: object, cwd: Path, timeout: float = 120) -> str:
    """Run a program that knows nothing of this one; its output, once it has ended well."""
    environment = (f"PATH={os.environ['PATH']}", "LANG=C.UTF-8", f"HOME={cwd}")
    return program.run("env", "--ignore-environment", *environment, *command, cwd=cwd, timeout=timeout)


def copy_checkout(folder: Path) -> Path:
    for path in project_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def commit_all(folder: Path) -> Path:
    """Make a repository of a folder, with all that it has in one commit."""
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", *author, "commit", "--quiet", "-m", "All of it", cwd=folder)
    return folder


def make_key(home: Path) -> tuple[str, str]:
    """Make a key; the variables with which a release is signed by it."""
    home.mkdir(mode=0o700)
    key = ("--passphrase", "", "--quick-generate-key", SIGNER, "default", "default", "never")
    run("gpg", "--homedir", home, "--batch", "--quiet", *key, cwd=home)
    return f"RELEASE_KEY={SIGNER}", f"GNUPGHOME={home}"


def end_agents(home: Path) -> None:
    run("gpgconf", "--homedir", home, "--kill", "all", cwd=home)


def release(checkout: Path, *variables: str, dry: bool = False) -> Path:
    """Make a release in a copy of the checkout; the folder of what was made.

    :param variables: for the script.
    """
    copy_checkout(checkout)
    # Of the tests, that they run, and on what.
    (checkout / ".ci/run").write_text("#!/bin/sh\ngit log --format=%s >../tested\n")
    for used in (".venv", "tests/node/node_modules"):
        if (ROOT / used).exists():
            (checkout / used).symlink_to(ROOT / used)
    commit_all(checkout)
    for version in ("1.9.0", "1.10.0", NEWER):
        run("git", "tag", f"v{version}", cwd=checkout)
    options = ("--dry-run",) if dry else ()
    run("env", *variables, "scripts/release", *options, VERSION, cwd=checkout, timeout=PATIENCE)
    return checkout / "dist" / VERSION


@dataclass(frozen=True, slots=True)
class Release:
    """A signed release with a wheel for this Python; with a Debian package and an image where their tools are."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def made(self) -> Path:
        """The folder of what was made."""
        return self.checkout / "dist" / VERSION

    @property
    def signing(self) -> tuple[str, str]:
        """The variables with which it was signed."""
        return f"RELEASE_KEY={SIGNER}", f"GNUPGHOME={self.folder}/gnupg"

    @property
    def package(self) -> Path:
        """The Debian package."""
        (package,) = self.made.glob("*.deb")
        return package

    @property
    def base(self) -> Path:
        """The archive of the Debian that the image is based on."""
        return self.folder / "base" / "base.tar"

    @property
    def storage(self) -> tuple[str, ...]:
        """The variables for Buildah's storage, which has the image and its base."""
        return f"CONTAINERS_STORAGE_CONF={self.folder}/storage.conf", "BUILDAH_ISOLATION=chroot"

    def make(self) -> None:
        self.folder.mkdir()
        make_key(self.folder / "gnupg")
        deb = f"DEB={'no' if MISSING_FOR_DEB else 'yes'}"
        image = ("IMAGE=no",) if MISSING_FOR_IMAGE else self._prepare_image()
        release(self.checkout, f"PYTHONS={sys.executable}", "MYPYC_OPT_LEVEL=0", deb, *image, *self.signing)
        end_agents(self.folder / "gnupg")

    def _prepare_image(self) -> tuple[str, ...]:
        """The variables with which a release makes its image: of a base of ours, and from wheels."""
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{self.folder}/storage"\nrunroot = "{self.folder}/run"\n'
        )
        base_image.make_base(base_image.make_archive(self.base.parent), ("env", *self.storage, "buildah"))
        wheels = self.folder / "wheels"
        # Debian's Python runs the image.
        name = "import sys; print('%s.%s' % sys.version_info[:2])"
        version = run("/usr/bin/python3", "-c", name, cwd=self.folder).strip()
        chosen = ("--only-binary", ":all:", "--python-version", version, "--require-hashes")
        command = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, *chosen)
        run(*command, "--requirement", ROOT / "requirements.txt", cwd=self.folder, timeout=PATIENCE)
        return (*self.storage, "IMAGE=yes", f"IMAGE_BASE={base_image.NAME}", f"IMAGE_WHEELS={wheels}")


def released(factory: pytest.TempPathFactory) -> Release:
    """The release of this run, whichever process of its tests asks first."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = Release(shared / "release")
    with (shared / "release.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not found.folder.exists():
            found.make()
            (found.folder / "whole").touch()
    assert (found.folder / "whole").exists(), "the release has failed before"
    return found

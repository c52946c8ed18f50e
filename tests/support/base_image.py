# SPDX-License-Identifier: MIT
"""The Debian that this machine has, in its smallest kind: a base of container images and of machines in a folder.

The Debian is made here, because no registry is reached, and once for all tests of a run that ask for it.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from tests.support.program import run

NEEDED = ("buildah", "mmdebstrap")
NAME = "localhost/base"


def make_archive(folder: Path) -> Path:
    """Make a tar file of the Debian in a new folder, without manuals, documents and languages, as slim images are."""
    folder.mkdir()
    archive = folder / "base.tar"
    without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    run("mmdebstrap", "--variant=minbase", "--dpkgopt=force-unsafe-io", *without, suite, archive)
    return archive


def make_base(archive: Path, buildah: Sequence[object]) -> None:
    """Make the image of the archive.

    :param buildah: the command with its options.
    """
    folder = archive.parent
    (folder / "Containerfile").write_text(f"FROM scratch\nADD {archive.name} /\n")
    run(*buildah, "build", "--isolation", "chroot", "--quiet", "--tag", NAME, folder)

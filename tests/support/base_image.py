# SPDX-License-Identifier: MIT
"""A base for the container image, as Debian's slim one is: made here, as no registry is reached."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

NEEDED = ("buildah", "mmdebstrap")
NAME = "localhost/base"
# Seconds; an idle machine needs a tenth of them.
PATIENCE = 900


def make_base(folder: Path, buildah: Sequence[object]) -> None:
    """Make the image of the Debian that this machine has.

    :param buildah: the command with its options.
    """
    folder.mkdir()
    without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    (folder / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    for command in (
        ("mmdebstrap", "--variant=minbase", *without, suite, folder / "base.tar"),
        (*buildah, "build", "--isolation", "chroot", "--quiet", "--tag", NAME, folder),
    ):
        words = [str(word) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr

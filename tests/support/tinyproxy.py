# SPDX-License-Identifier: MIT
"""A real proxy, Debian's tinyproxy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.site.running import free_ports, wait_until


@contextmanager
def proxy_with_password(folder: Path) -> Iterator[int]:
    """The port of a proxy that wants the user max with the password secret; its log is in the folder."""
    program = shutil.which("tinyproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None and "CI" not in os.environ:
        pytest.skip("needs tinyproxy: scripts/setup")
    assert program
    (port,) = free_ports(1)
    file = folder / "tinyproxy.conf"
    settings = f'Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 20\nLogFile "{folder}/log"\n'
    file.write_text(settings + "BasicAuth max secret\n")
    with subprocess.Popen([program, "-d", "-c", str(file)], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _accepts(port), "tinyproxy")
            yield port
        finally:
            process.terminate()


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

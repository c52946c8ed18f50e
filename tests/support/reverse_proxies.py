# SPDX-License-Identifier: MIT
"""Real reverse proxies that serve a gateway's page below a path, each ended by its process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.haproxy import haproxy
from tests.support.site.running import PATIENCE, wait_until

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location {path}/ {{
            proxy_pass http://127.0.0.1:{to}{strip};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Host $host;
        }}
    }}
}}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
    {directive} {path}/* {{
        reverse_proxy 127.0.0.1:{to} {{
            header_up X-Forwarded-Proto https
        }}
    }}
    respond 404
}}
"""

HAPROXY = """
frontend page
    mode http
    bind 127.0.0.1:{port}
    option forwardfor
    use_backend phonebook if {{ path_beg {path}/ }}
    http-request return status 404 unless {{ path_beg {path}/ }}
backend phonebook
    mode http
    server gateway 127.0.0.1:{to}
"""


@contextmanager
def nginx(folder: Path, port: int, path: str, to: int) -> Iterator[None]:
    """It leaves the path."""
    with _nginx(folder, port, path, to, strip=""):
        yield


@contextmanager
def stripping_nginx(folder: Path, port: int, path: str, to: int) -> Iterator[None]:
    """It takes the path off."""
    with _nginx(folder, port, path, to, strip="/"):
        yield


@contextmanager
def caddy(folder: Path, port: int, path: str, to: int) -> Iterator[None]:
    """It leaves the path."""
    with _caddy(folder, port, path, to, directive="handle"):
        yield


@contextmanager
def stripping_caddy(folder: Path, port: int, path: str, to: int) -> Iterator[None]:
    """It takes the path off."""
    with _caddy(folder, port, path, to, directive="handle_path"):
        yield


@contextmanager
def plain_haproxy(folder: Path, port: int, path: str, to: int) -> Iterator[None]:
    """It leaves the path."""
    with haproxy(folder, HAPROXY.format(port=port, path=path, to=to)):
        yield


@contextmanager
def _nginx(folder: Path, port: int, path: str, to: int, strip: str) -> Iterator[None]:
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port, path=path, to=to, strip=strip))
    with _running("nginx", ["-e", "stderr", "-p", str(folder), "-c", str(file)], folder, port):
        yield


@contextmanager
def _caddy(folder: Path, port: int, path: str, to: int, directive: str) -> Iterator[None]:
    file = folder / "Caddyfile"
    file.write_text(CADDY.format(port=port, path=path, to=to, directive=directive))
    with _running("caddy", ["run", "--adapter", "caddyfile", "--config", str(file)], folder, port):
        yield


@contextmanager
def _running(name: str, arguments: list[str], folder: Path, port: int) -> Iterator[None]:
    program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    if program is None and "CI" not in os.environ:
        pytest.skip(f"needs {name}: scripts/setup")
    assert program
    log = folder / f"{name}.log"
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log.open("wb") as file:
        process = subprocess.Popen([program, *arguments], stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        wait_until(lambda: _accepts(port) or process.poll() is not None, f"{name} listens")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

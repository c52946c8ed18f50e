# SPDX-License-Identifier: MIT
"""Real proxies on loopback: HAProxy, reverse proxies that serve a gateway's page below a path, and a forward proxy.

Each has a folder of its own and is ended by its process id.
"""

from __future__ import annotations

import csv
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.site.running import PATIENCE, free_ports, listens, running_program

# The address that it connects from.
ADDRESS = "127.0.0.2"

CONFIGURATION = """
global
    stats socket {folder}/stats mode 600
    maxconn 100
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    default-server inter 200ms fastinter 200ms downinter 200ms rise 1 fall 1 source {address}
"""


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

HAPROXY_PAGE = """
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


@dataclass(frozen=True)
class Haproxy:
    """A proxy that runs."""

    folder: Path

    def checks(self) -> dict[str, str]:
        """Return the result of the last health check of each server, by its backend."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.folder / "stats"))
            client.sendall(b"show stat\n")
            said = b"".join(iter(lambda: client.recv(1 << 16), b"")).decode()
        rows = csv.DictReader(said.removeprefix("# ").splitlines())
        return {
            row["pxname"]: f"{row['status']} {row['check_status']}"
            for row in rows
            if row["svname"] not in ("FRONTEND", "BACKEND")
        }


@contextmanager
def haproxy(folder: Path, configuration: str) -> Iterator[Haproxy]:
    """Run HAProxy with listeners added to the configuration, until the block ends."""
    file = folder / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(folder=folder, address=ADDRESS) + configuration)
    with running_program("haproxy", ["-db", "-f", str(file)], folder, (folder / "stats").exists):
        yield Haproxy(folder)


# Each leaves the path of a request as it is, or takes off the path that the page is below.
REVERSE_PROXIES = ("nginx", "stripping nginx", "caddy", "stripping caddy", "haproxy")


@contextmanager
def reverse_proxy(kind: str, folder: Path, port: int, path: str, to: int) -> Iterator[None]:
    """Run one of `REVERSE_PROXIES` until the block ends."""
    is_stripping, name = kind.startswith("stripping"), kind.split()[-1]
    given = {"folder": folder, "port": port, "path": path, "to": to}
    if name == "haproxy":
        with haproxy(folder, HAPROXY_PAGE.format(**given)):
            yield
        return
    file = folder / f"{name}.conf"
    if name == "nginx":
        file.write_text(NGINX.format(**given, strip="/" if is_stripping else ""))
        arguments = ["-e", "stderr", "-p", str(folder), "-c", str(file)]
    else:
        file.write_text(CADDY.format(**given, directive="handle_path" if is_stripping else "handle"))
        arguments = ["run", "--adapter", "caddyfile", "--config", str(file)]
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    with running_program(name, arguments, folder, lambda: listens(port), env=os.environ | homes):
        yield


@contextmanager
def proxy_with_password(folder: Path) -> Iterator[int]:
    """The port of a tinyproxy that wants the user max with the password secret; its log is in the folder."""
    (port,) = free_ports(1)
    file = folder / "tinyproxy.conf"
    settings = f'Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 20\nLogFile "{folder}/log"\n'
    file.write_text(settings + "BasicAuth max secret\n")
    with running_program("tinyproxy", ["-d", "-c", str(file)], folder, lambda: listens(port)):
        yield port

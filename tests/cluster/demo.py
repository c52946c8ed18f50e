# SPDX-License-Identifier: MIT
"""Two gateways on one PostgreSQL behind HAProxy, to search and to kill: ``scripts/demo-cluster``."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from threading import Event

from tests.cluster.cluster import Cluster
from tests.support.haproxy import ADDRESS, haproxy
from tests.support.site.running import Process, Site, free_ports

LISTENER = """
listen {name}
    bind 127.0.0.1:{port}
    option httpchk GET /readyz
"""
SERVER = "    server {name} 127.0.0.1:{port} check port {web} send-proxy-v2 check-send-proxy\n"

TOLD = """
Two gateways share one PostgreSQL database; HAProxy is in front of them.

  Page     {page}   (sign in as alice@acme.example)
  LDAP     ldap://127.0.0.1:{ldap}

Search as Alice's phone, through HAProxy:

  ldapsearch -x -LLL -H ldap://127.0.0.1:{ldap} -D desk1 -w {password} -b dc=acme,dc=example '(cn=*)' cn

Look at the gateways:

  {gateways}

Kill one of them, and search again:

{kills}
Start it again:

{starts}
Ctrl-C ends all of it.
"""


def front(sites: list[Site], ldap: int, web: int) -> str:
    """HAProxy's listeners for LDAP and for the page."""
    listeners = ""
    for name, port, kind in (("ldap", ldap, "ldap_port"), ("page", web, "web_port")):
        listeners += LISTENER.format(name=name, port=port)
        for number, site in enumerate(sites, 1):
            listeners += SERVER.format(name=f"gateway{number}", port=getattr(site, kind), web=site.web_port)
    return listeners


def told(cluster: Cluster, gateways: list[Process], ldap: int) -> str:
    """What can be tried, as lines to paste."""
    first, program = cluster.office.site, Path(sys.executable).with_name("ldapgw")
    return TOLD.format(
        page=first.page,
        ldap=ldap,
        password=first.phones["desk1"],
        gateways=f"{program} --config {first.file} gateways",
        kills="".join(f"  kill -9 {gateway.pid}\n" for gateway in gateways),
        starts="".join(f"  {program} --config {site.file} run\n" for site in cluster.sites),
    )


def main() -> int:
    over = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    ldap, web = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="ldapgw-demo-") as made:
        cluster = Cluster(Path(made), 2, "1m")
        try:
            for site in cluster.sites:
                text = site.file.read_text().replace(f"http://127.0.0.1:{site.web_port}", f"http://127.0.0.1:{web}")
                for table in ("[ldap]\n", "[web]\n"):
                    text = text.replace(table, f'{table}proxy_protocol = ["{ADDRESS}"]\n')
                site.file.write_text(text)
                site.page = f"http://127.0.0.1:{web}/acme/"
            cluster.office.site.turn("add-redirect-uri", uri=f"http://127.0.0.1:{web}/oauth/callback")
            with haproxy(Path(made), front(cluster.sites, ldap, web)), cluster.running() as gateways:
                sys.stdout.write(told(cluster, gateways, ldap))
                sys.stdout.flush()
                over.wait()
        finally:
            cluster.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())

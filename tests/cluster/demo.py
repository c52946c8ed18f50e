# SPDX-License-Identifier: MIT
"""Two gateways on one PostgreSQL behind HAProxy, to search and to kill: ``scripts/demo-cluster``."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from threading import Event

from tests.support.proxies import ADDRESS, haproxy
from tests.support.site.cluster import Cluster
from tests.support.site.running import Process, Site, free_ports

# A browser stays at one gateway: new passwords are only at the gateway that made them.
COOKIE = "cookie GATEWAY insert indirect nocache httponly"

FRONT = """
listen ldap
    bind 127.0.0.1:{ldap}
    option httpchk GET /readyz
{phones}
listen page
    mode http
    bind 127.0.0.1:{web}
    option httpchk GET /readyz
    option forwardfor
    option redispatch
    {cookie}
{pages}
"""

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


def front(sites: list[Site], ldap: int, web: int, cookie: str = COOKIE) -> str:
    """HAProxy's listeners for LDAP and for the page.

    :param cookie: the line that keeps a browser at one gateway; empty: each request may go to another gateway.
    """
    phones, pages = "", ""
    for number, site in enumerate(sites, 1):
        name, check = f"gateway{number}", f"check port {site.web_port}"
        phones += f"    server {name} 127.0.0.1:{site.ldap_port} {check} send-proxy-v2\n"
        pages += f"    server {name} 127.0.0.1:{site.web_port} {check}{f' cookie {name}' if cookie else ''}\n"
    return FRONT.format(ldap=ldap, web=web, cookie=cookie, phones=phones, pages=pages)


def put_behind(cluster: Cluster, web: int) -> None:
    """Have the gateways believe HAProxy who their clients are, and know the port of HAProxy that has the page."""
    for site in cluster.sites:
        text = site.file.read_text().replace(f"http://127.0.0.1:{site.web_port}", f"http://127.0.0.1:{web}")
        text = text.replace("[ldap]\n", f'[ldap]\nproxy_protocol = ["{ADDRESS}"]\n')
        text = text.replace("[web]\n", f'[web]\ntrusted_proxies = ["{ADDRESS}"]\n')
        site.file.write_text(text)
        site.page = f"http://127.0.0.1:{web}/acme/"
    cluster.office.site.turn("add-redirect-uri", uri=f"http://127.0.0.1:{web}/oauth/callback")


def told(cluster: Cluster, gateways: list[Process], ldap: int) -> str:
    """Return the acts that can be tried, as lines to paste."""
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
    with tempfile.TemporaryDirectory(prefix="ldapgw-demo-") as made, closing(Cluster(Path(made), 2, "1m")) as cluster:
        put_behind(cluster, web)
        with haproxy(Path(made), front(cluster.sites, ldap, web)), cluster.running() as gateways:
            sys.stdout.write(told(cluster, gateways, ldap))
            sys.stdout.flush()
            over.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

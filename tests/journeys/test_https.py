# SPDX-License-Identifier: MIT
"""From ``init`` to a phone by LDAPS and a browser by HTTPS, both of which check the authority.

The journey needs the program itself: the files that one command makes are served and reread by another, and curl and
ldapsearch verify the chain and the name as phones and browsers do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from ldapgw.google.sandbox.tenant import CLIENT_ID, CLIENT_SECRET
from tests.support.site.running import Process, find_program, free_ports, wait_until

BASE = "dc=acme,dc=example"
CONFIDENTIALITY_REQUIRED = 13


def done(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def test_encrypted_from_the_start(tmp_path: Path) -> None:
    """Unattended; the page redirects, a phone without TLS is refused, and a new certificate needs no restart."""
    file, ca = tmp_path / "ldapgw.toml", tmp_path / "ca.crt"
    client = tmp_path / "client.json"
    client.write_text(json.dumps({"web": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}}))
    https, http, ldap, ldaps = free_ports(4)

    def ldapgw(*arguments: str) -> str:
        ran = done(sys.executable, "-m", "ldapgw", "--config", str(file), *arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    answers = {
        "--admin": "root@acme.example",
        "--tenant": "acme",
        "--title": "Acme",
        "--base-dn": BASE,
        "--allow": "@acme.example",
        "--remove-leavers": "",
        "--region": "DE",
        "--public-url": f"https://localhost:{https}",
        "--state-dir": str(tmp_path / "state"),
        "--client-secret-file": str(client),
        "--encryption": "create",
        "--web-port": str(https),
        "--ldap-port": str(ldap),
    }
    ldapgw("init", *(part for pair in answers.items() for part in pair))
    text = file.read_text()
    file.write_text(re.sub(r'"tcp:80[0-9]{2}"', f'"tcp:{http}"', text).replace(f"tcp:{ldap + 247}", f"tcp:{ldaps}"))
    # OpenLDAP's library takes localhost for the machine's own name.
    ldapgw("certificate", "create", "--name", "127.0.0.1")
    curl, search = find_program("curl"), find_program("ldapsearch", "ldap-utils")
    gateway = Process([sys.executable, "-m", "ldapgw", "--config", str(file), "run"], tmp_path / "log", tmp_path)
    try:
        ready = (curl, "-sf", f"http://localhost:{http}/readyz")
        wait_until(lambda: done(*ready).stdout == "ready\n" or gateway.status is not None, "the gateway is ready")
        assert gateway.status is None, gateway.said
        ca.write_text(done(curl, "-sf", f"http://localhost:{http}/acme/ca.crt").stdout)
        page = done(
            curl, "-sSfL", "--cacert", str(ca), "-w", "%{url_effective} %{num_redirects}", f"http://localhost:{http}/"
        )
        assert page.returncode == 0, page.stderr
        assert "Connect Google contacts" in page.stdout
        assert page.stdout.endswith(f"https://localhost:{https}/acme/ 2")
        assert done(curl, "-sf", f"https://localhost:{https}/acme/").returncode == 60  # nobody else trusts it
        password = json.loads(ldapgw("phones", "add", "desk1", "--json"))["password"]

        def bound(url: str, *options: str, trusted: Path = ca) -> int:
            login = ("-D", "desk1", "-w", password, "-b", BASE, "-s", "base")
            trust = {"LDAPTLS_CACERT": str(trusted), "LDAPTLS_REQCERT": "demand"}
            return done(search, "-x", "-H", url, *options, *login, **trust).returncode

        # The command has waited until the gateway knows the phone.
        assert bound(f"ldaps://127.0.0.1:{ldaps}") == 0
        assert bound(f"ldap://127.0.0.1:{ldap}", "-ZZ") == 0
        assert bound(f"ldap://127.0.0.1:{ldap}") == CONFIDENTIALITY_REQUIRED
        before = served(https)
        ldapgw("certificate", "create", "--name", "127.0.0.1", "--name", "ldap.acme.example")
        wait_until(lambda: served(https) != before, "the new certificate is served")
        assert bound(f"ldaps://127.0.0.1:{ldaps}") == 0
        checked = ldapgw("check")
        assert checked.count("with a certificate that devices trust once they have ca.crt") == 2
        assert f'web.listen_tls "tcp:{https}": port {https} answers, and the gateway is ready' in checked
    finally:
        gateway.end()


def served(port: int) -> str:
    """Return the certificate that a port shows."""
    shown = done("openssl", "s_client", "-connect", f"localhost:{port}", "-servername", "localhost", "-showcerts")
    return shown.stdout.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]

# SPDX-License-Identifier: MIT
"""``sandbox`` and ``demo``: run a stand-in for Google, alone or with a gateway, to try out ldapgw."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click
from twisted.internet.error import CannotListenError
from twisted.web.server import Site

from ldapgw.cli.root import examples
from ldapgw.errors import UserError
from ldapgw.google.sandbox.api import KEYS
from ldapgw.google.sandbox.app import AUTHORIZATION
from ldapgw.google.sandbox.app import sandbox as sandbox_resource
from ldapgw.google.sandbox.fields import load_people
from ldapgw.google.sandbox.tenant import CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, demo_world

_HOST = "127.0.0.1"
_PORT = click.IntRange(0, 65535)


@click.command(epilog=examples("ldapgw sandbox", "ldapgw sandbox --port 0"))
@click.option(
    "--port", type=_PORT, default=8090, show_default=True, help="The port to listen on; 0 stands for any free port."
)
@click.option("--people", metavar="FILE", help="Contacts to serve: persons as the People API returns them, in JSON.")
def sandbox(port: int, people: str | None) -> None:
    """Run a stand-in for Google on this machine.

    Ctrl-C stops the stand-in.
    """
    from twisted.internet import reactor as imported  # noqa: TID251  an entry point

    reactor: Any = imported
    world = demo_world(
        now=reactor.seconds, random=os.urandom, people=load_people(people) if people is not None else None
    )
    try:
        listening = reactor.listenTCP(port, Site(sandbox_resource(world)), interface=_HOST)
    except CannotListenError as error:
        reason = getattr(error.socketError, "strerror", "")
        raise UserError(f"--port {port}: cannot listen: {reason}") from None
    world.issuer = f"http://{_HOST}:{listening.getHost().port}"
    click.echo(_announcement(world.issuer))
    reactor.run()


@click.command(epilog=examples("ldapgw demo", "ldapgw demo --state .demo --port 8000", "ldapgw demo --workspace"))
@click.option(
    "--state", metavar="DIR", help="The folder for the demo's files, deleted at the end. Default: a temporary folder."
)
@click.option("--port", type=_PORT, default=0, help="The port of the page. Default: 8080, or another free port.")
@click.option("--ldap-port", type=_PORT, default=0, help="The port for LDAP. Default: 3389, or another free port.")
@click.option("--sandbox-port", type=_PORT, default=0, help="The sandbox's port. Default: 8090, or another free port.")
@click.option("--workspace", is_flag=True, help="Show a company whose Google Workspace lets a service account read.")
@click.pass_context
def demo(
    ctx: click.Context, state: str | None, port: int, ldap_port: int, sandbox_port: int, *, workspace: bool
) -> None:
    """Run a demo gateway with a stand-in for Google.

    Ctrl-C stops the demo.

    The demo connects an account, adds a phone, and prints how to use the other commands with the demo.  With
    --workspace, nobody has to connect: a service account reads the contacts of 200 people.
    """
    from ldapgw.server.demo import Ports, run_demo

    folder = Path(state if state is not None else tempfile.mkdtemp(prefix="ldapgw-demo-"))
    ports = Ports(web=port, ldap=ldap_port, sandbox=sandbox_port)
    ctx.exit(run_demo(folder, ports, click.echo, workspace=workspace))


def _announcement(url: str) -> str:
    """Return the sandbox's URL and the configuration of a gateway that uses the sandbox."""
    return f"""\
# The sandbox is on {url}/ until Ctrl-C. A gateway uses it with these values,
# which belong below [google] and [[tenant]] of ldapgw.toml:

[google]
authorization_endpoint = "{url}{AUTHORIZATION}"
token_endpoint = "{url}/token"
revocation_endpoint = "{url}/revoke"
people_api = "{url}"
admin_api = "{url}"
issuer = "{url}"
jwks_uri = "{url}{KEYS}"

[[tenant]]
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"

# Redirect URIs: {", ".join(REDIRECT_URIS)}; add others on {url}/sandbox/"""

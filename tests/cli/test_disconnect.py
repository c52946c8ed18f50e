# SPDX-License-Identifier: MIT
"""The tests run ``disconnect``, with the sandbox on loopback in place of Google.

Each command runs in a process, because it starts a reactor of its own while the sandbox runs on the test's reactor.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_twisted
from sqlalchemy import update
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.server import Site

from ldapgw.google.sandbox.app import sandbox
from ldapgw.google.sandbox.grants import Grantee
from ldapgw.google.sandbox.tenant import ALICE, CLIENT_ID, demo_world
from ldapgw.google.sandbox.world import World
from ldapgw.store import accounts, contacts, revocations
from ldapgw.store.secrets import new_key, write_keys
from ldapgw.store.tables import account as account_table
from tests.support.site.command_line import ACME, BETA, HEAD, Gateway, person

SCOPE = "https://www.googleapis.com/auth/contacts.readonly"


@dataclass
class Google:
    """The sandbox knows the scopes that Alice has granted."""

    world: World
    grantee: Grantee

    @property
    def granted(self) -> bool:
        return bool(self.world.grants.granted_scopes(self.grantee))


@asynccontextmanager
async def google(gateway: Gateway) -> AsyncIterator[Google]:
    """Yield the sandbox on a port; Alice's account is connected there and has one contact."""
    world = demo_world(now=reactor.seconds, random=os.urandom, people={ALICE: []})
    port = reactor.listenTCP(0, Site(sandbox(world)), interface="127.0.0.1")
    url = f"http://127.0.0.1:{port.getHost().port}"
    gateway.write(HEAD + f'[google]\nrevocation_endpoint = "{url}/revoke"\n' + ACME)
    account_id = gateway.connect(ALICE)
    gateway.fill(account_id, person("Jörg Müller", "030 1234567"))
    grantee = Grantee(world.account(ALICE).sub, CLIENT_ID)
    token = world.grants.issue_refresh(grantee, (SCOPE,), None)
    with gateway.begin() as connection:
        connection.execute(update(account_table).values(refresh_token=gateway.secret_box.seal(token)))
    try:
        yield Google(world, grantee)
    finally:
        await port.stopListening()


async def disconnect(gateway: Gateway, *arguments: str) -> tuple[int, str, str]:
    """Return the command's exit code, stdout and stderr."""
    command = ["-m", "ldapgw", "--config", str(gateway.file), "disconnect", "--yes", *arguments]
    out, err, code = await getProcessOutputAndValue(sys.executable, command, env=os.environ)
    return code, out.decode(), err.decode()


def left(gateway: Gateway) -> tuple[bool, int]:
    """Return the state of the connection and the number of contacts of Alice's account."""
    account = gateway.account(ALICE)
    return account.is_connected, len(gateway.do(contacts.read, [account.id])[0].contacts)


@pytest_twisted.ensureDeferred
async def test_revoked_and_forgotten(gateway: Gateway) -> None:
    """The grant ends at Google, and the account's tokens, contacts and cached books are gone."""
    images = gateway.state_dir / "images"
    async with google(gateway) as there:
        images.mkdir()
        for name in ("1.image", "1-directory.image", "2.image"):
            (images / name).touch()
        assert there.granted
        assert await disconnect(gateway, "Alice@ACME.example") == DONE
        assert not there.granted
    assert left(gateway) == (False, 0)
    assert [file.name for file in images.iterdir()] == ["2.image"]


DONE = (0, "Disconnected alice@acme.example: access revoked at Google, tokens and contacts deleted.\n", "")


@pytest.mark.parametrize("trouble", ["gone already", "no ca_file", "out of reach"])
@pytest_twisted.ensureDeferred
async def test_what_google_says_does_not_matter(gateway: Gateway, trouble: str) -> None:
    """The account is disconnected in any case; if the grant may still stand, the owner reads how to end the grant."""
    async with google(gateway) as there:
        if trouble == "gone already":
            there.world.revoke(ALICE)
            assert await disconnect(gateway, "Alice@ACME.example") == DONE
        elif trouble == "no ca_file":
            gateway.write(gateway.file.read_text().replace("[google]", '[google]\nca_file = "none.pem"'))
            code, _, err = await disconnect(gateway, ALICE)
            assert (code, "none.pem: cannot be read: No such file or directory" in err) == (1, True)
    if trouble == "out of reach":
        assert await disconnect(gateway, ALICE) == (
            1,
            "",
            "ldapgw: Disconnected alice@acme.example and deleted its tokens and contacts, but its access is not "
            "revoked at Google yet (network: ConnectionRefusedError). The gateway keeps trying for a day; the owner "
            "can do it at https://myaccount.google.com/permissions\n",
        )
    assert left(gateway) == (False, 0)


@pytest_twisted.ensureDeferred
async def test_ctrl_c_while_google_is_silent(gateway: Gateway) -> None:
    """The command ends at once and quietly; the account is disconnected, and the gateway has to revoke the grant."""
    async with google(gateway) as there:
        there.world.faults.inject("broken_silence")
        command = ["-m", "ldapgw", "--config", str(gateway.file), "disconnect", ALICE, "--yes"]
        with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            while not there.world.calls["/revoke"]:
                await deferLater(reactor, 0.05)
            assert left(gateway) == (False, 0)
            process.send_signal(signal.SIGINT)
            printed, _ = await deferToThread(process.communicate)
    assert (process.returncode, printed) == (130, b"")
    assert pending(gateway) == [ALICE]


def pending(gateway: Gateway) -> list[str]:
    """Return the subs of the users whose grants the gateway still has to revoke."""
    due = gateway.do(revocations.read_due, gateway.secret_box, reactor.seconds() + revocations.FIRST_WAIT)
    return [one.sub for one in due]


def test_a_grant_that_another_tenant_uses(gateway: Gateway) -> None:
    """The command does not say that the access is revoked, and the account of the other tenant stays connected."""
    gateway.write(HEAD + ACME + BETA.replace("@beta", "@acme"))
    for tenant in ("acme", "beta"):
        gateway.connect(ALICE, tenant)
    done = gateway.run("disconnect", ALICE, "--yes", "--tenant", "acme")
    assert (done.exit_code, done.stdout) == (0, f"Disconnected {ALICE}: tokens and contacts deleted.\n")
    assert done.stderr == (
        "! The access at Google is not revoked: the account was connected again in the meantime, or another tenant "
        "uses the same Google account.\n"
    )
    assert [one["state"] for one in gateway.json("accounts")] == ["disconnected", "waiting"]
    assert pending(gateway) == []


@pytest.mark.parametrize("key", ["missing", "new"])
def test_the_key_is_lost(gateway: Gateway, key: str) -> None:
    """Without the key nothing can be revoked, but the account is disconnected all the same."""
    gateway.fill(gateway.connect(ALICE), person("Jörg Müller", "030 1234567"))
    file = gateway.state_dir / "ldapgw.key"
    problem = "does not fit the stored consent"
    if key == "new":
        write_keys(file, [new_key()])
    else:
        problem = "the key file is missing, so the stored consents cannot be read; put it back from a backup"
        file.unlink()
    assert gateway.refused("disconnect", ALICE, "--yes") == (
        f"Disconnected {ALICE} and deleted its tokens and contacts, but its access is not revoked at Google "
        f"({file}: {problem}). Without the key, the gateway can't revoke the access either; the owner can do it at "
        "https://myaccount.google.com/permissions\n"
    )
    assert left(gateway) == (False, 0)


def test_an_account_that_is_not_connected(gateway: Gateway) -> None:
    account_id = gateway.connect(ALICE)
    gateway.do(accounts.disconnect, account_id)
    assert gateway.refused("disconnect", ALICE) == f"{ALICE} is not connected\n"


@pytest.mark.parametrize("tenant", ["acme", "beta"])
def test_the_tenant_narrows_the_search(gateway: Gateway, tenant: str) -> None:
    gateway.write(HEAD + ACME + ACME.replace("acme", "beta"))
    assert (
        gateway.refused("disconnect", ALICE, "--yes", "--tenant", tenant)
        == f'there is no account {ALICE} in tenant "{tenant}": connect the account on the page first\n'
    )

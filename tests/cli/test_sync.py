# SPDX-License-Identifier: MIT
"""The tests run ``sync``."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from ldapgw.cli import sync as module
from ldapgw.store import accounts, sync_state
from ldapgw.store.accounts import SyncRequest
from tests.support.site.command_line import ACME, BETA, HEAD, THEN, Gateway, person


def requested_syncs(gateway: Gateway) -> dict[str, SyncRequest | None]:
    """Return the requested sync of each account in the gateway's database."""
    return {one.address: one.requested_sync for one in gateway.do(accounts.read_all)}


def idle(gateway: Gateway, address: str, tenant: str = "acme") -> int:
    """Return a connected account whose first sync is over."""
    account_id = gateway.connect(address, tenant)
    gateway.fill(account_id, person("Jörg Müller", "030 1234567"))
    return account_id


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"alice@acme.example": SyncRequest.INCREMENTAL, "bob@acme.example": SyncRequest.INCREMENTAL}),
        (["ALICE@acme.example"], {"alice@acme.example": SyncRequest.INCREMENTAL, "bob@acme.example": None}),
        (["bob@acme.example", "--full"], {"alice@acme.example": None, "bob@acme.example": SyncRequest.FULL}),
        (
            ["bob@acme.example", "--accept-shrink", "--yes"],
            {"alice@acme.example": None, "bob@acme.example": SyncRequest.ACCEPT},
        ),
    ],
    ids=["all", "one", "full", "accept-shrink"],
)
def test_a_request_is_stored(gateway: Gateway, arguments: list[str], expected: dict[str, SyncRequest | None]) -> None:
    """The database has a request for the named accounts or for all."""
    idle(gateway, "alice@acme.example")
    idle(gateway, "bob@acme.example")
    with gateway.running():
        result = gateway.run("sync", *arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Syncing ")
    assert requested_syncs(gateway) == expected


def test_losing_contacts_is_agreed_to(gateway: Gateway) -> None:
    """On a terminal the command asks, and names the accounts that lose contacts.

    Without a terminal ``--yes`` is needed.
    """
    idle(gateway, "alice@acme.example")
    idle(gateway, "bob@acme.example")
    consequence = (
        "This lets the next sync of alice@acme.example, bob@acme.example remove more than half of the contacts."
    )
    with gateway.running():
        assert (
            gateway.refused("sync", "--accept-shrink") == f"{consequence} To go ahead without a terminal, add --yes.\n"
        )
        assert gateway.ask(b"n\n", "sync", "--accept-shrink") == (
            1,
            f"{consequence}\nContinue? [y/N]: n\nldapgw: nothing was changed\n",
        )
        assert set(requested_syncs(gateway).values()) == {None}
        assert gateway.ask(b"y\n", "sync", "--accept-shrink")[0] == 0
    assert set(requested_syncs(gateway).values()) == {SyncRequest.ACCEPT}


def test_without_a_gateway_the_request_is_stored_and_refused(gateway: Gateway) -> None:
    """No gateway syncs now, so the command fails, but the gateway's next start syncs.

    Without an account nothing is stored.
    """
    assert gateway.refused("sync") == "no account is connected; connect one on https://phonebook.example.com/\n"
    idle(gateway, "alice@acme.example")
    assert gateway.refused("sync", "--wait") == (
        f"no gateway is running on {gateway.state_dir}; the sync begins when a gateway starts\n"
    )
    assert requested_syncs(gateway) == {"alice@acme.example": SyncRequest.INCREMENTAL}


def test_accounts_that_cannot_be_synced_are_named_and_nothing_is_asked(gateway: Gateway) -> None:
    """Each such account has a line, and the other accounts are not synced either."""
    idle(gateway, "alice@acme.example")
    gone = idle(gateway, "bob@acme.example")
    idle(gateway, "carol@old.example", "old")
    gateway.do(accounts.disconnect, gone)
    with gateway.running():
        lines = gateway.refused("sync", "alice@acme.example", "bob@acme.example", "carol@old.example")
    assert lines.splitlines() == [
        "bob@acme.example is not connected; connect it on https://phonebook.example.com/acme/",
        f'carol@old.example: its tenant "old" is not in {gateway.file} any more',
    ]
    assert set(requested_syncs(gateway).values()) == {None}


def test_all_of_one_tenant(gateway: Gateway) -> None:
    """``--tenant`` without an account means all accounts of this tenant."""
    gateway.write(HEAD + ACME + BETA)
    idle(gateway, "alice@acme.example")
    idle(gateway, "bob@beta.example", "beta")
    with gateway.running():
        gateway.run("sync", "--tenant", "beta")
    assert requested_syncs(gateway) == {"alice@acme.example": None, "bob@beta.example": SyncRequest.INCREMENTAL}


def stand_in(monkeypatch: pytest.MonkeyPatch, gateway: Gateway, steps: list[Callable[[Gateway], None]]) -> None:
    """Let a gateway work while the command would sleep; after the last step the gateway does nothing more."""
    todo = iter(steps)
    monkeypatch.setattr(module.time, "sleep", lambda _: next(todo, lambda _: None)(gateway))


def ended(address: str, code: str = "") -> Callable[[Gateway], None]:
    """Return a step that ends a sync."""

    def step(gateway: Gateway) -> None:
        account = gateway.account(address)
        if code:
            gateway.do(sync_state.fail, account, code, THEN, None)
        else:
            gateway.do(sync_state.end, account, THEN, THEN + 600)

    return step


def begun(address: str) -> Callable[[Gateway], None]:
    """Return a step that begins a sync."""

    def step(gateway: Gateway) -> None:
        gateway.do(sync_state.begin, gateway.account(address).id)

    return step


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["lines", "JSON"])
def test_waiting_ends_with_the_outcome(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    """A successful sync is a line on stdout, and a failed one is a line on stderr with the advice, and exit code 1.

    As JSON, each account has an object on stdout; ``--json`` needs ``--wait``.
    """
    alice, bob = "alice@acme.example", "bob@acme.example"
    for address in (alice, bob):
        idle(gateway, address)
    stand_in(monkeypatch, gateway, [begun(alice), begun(bob), ended(alice), ended(bob, "quota")])
    with gateway.running():
        result = gateway.run("sync", "--wait", *options)
        assert gateway.run("sync", "--json").exit_code == 2
    told = "Google has asked the gateway to slow down, so the next sync is delayed. You don’t need to do anything."
    assert (result.exit_code, result.stderr) == (1, f"ldapgw: {bob}: {told}\n")
    if not options:
        assert result.stdout == f"✓ {alice}: 1 contacts, 1 numbers\n"
        return
    common = {"tenant": "acme", "contacts": 1, "numbers": 1, "sync": None}
    assert json.loads(result.stdout) == [
        {"account": alice, "ok": True, "error": None, **common},
        {"account": bob, "ok": False, "error": {"code": "quota", "message": told}, **common},
    ]


def test_a_sync_that_was_running_already_is_not_the_one(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure of the earlier sync does not count, because the request gets a sync of its own."""
    idle(gateway, "alice@acme.example")
    begun("alice@acme.example")(gateway)
    alice = "alice@acme.example"
    stand_in(monkeypatch, gateway, [ended(alice, "network"), begun(alice), ended(alice)])
    with gateway.running():
        result = gateway.run("sync", "--wait", alice)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        ("disconnected", "was disconnected in the meantime"),
        ("stuck", "the sync hasn't finished after 1 minutes; it continues in the background"),
        ("stopped", "the gateway has stopped; the sync begins when a gateway starts"),
    ],
)
def test_waiting_has_an_end(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, trouble: str, line: str) -> None:
    """The wait ends if the account is disconnected, the sync takes too long, or the gateway stops."""
    account_id = idle(gateway, "alice@acme.example")
    monkeypatch.setattr(module, "WAIT_TIMEOUT_SECONDS", 60)
    running = ExitStack()

    def step(gateway: Gateway) -> None:
        if trouble == "stopped":
            running.close()
        elif trouble == "stuck":
            begun("alice@acme.example")(gateway)
        else:
            gateway.do(accounts.disconnect, account_id)

    stand_in(monkeypatch, gateway, [step])
    with running:
        running.enter_context(gateway.running())
        assert gateway.refused("sync", "--wait") == f"alice@acme.example: {line}\n"

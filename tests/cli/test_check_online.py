# SPDX-License-Identifier: MIT
"""``check --online`` tries the way to Google and the client.

Each command runs in a process, because it starts a reactor of its own while the sandbox runs on the test's reactor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)
from twisted.internet.utils import getProcessOutputAndValue

from ldapgw.cli.check_connections import check_online
from ldapgw.cli.site import now
from ldapgw.contact import Source
from ldapgw.google.delegation import GROUPS_SCOPE, REFUSAL_TEXTS, RESPONSIBLE, USERS_SCOPE, DelegationRefusal
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.google.sandbox import delegation as sandbox
from ldapgw.google.sandbox.tenant import ALICE, BOB, CLIENT_ID, CLIENT_SECRET, DOMAIN, SERVICE_ACCOUNT
from ldapgw.server.config import load
from ldapgw.server.google import GoogleClients, configured_delegations
from ldapgw.server.reactor import WallClock
from ldapgw.store import tenants
from ldapgw.store.tenants import DelegationSettings, EnteredClient, EnteredDelegation
from tests.google.double import RudeServer
from tests.support.inspection import CERTS, Inspected, inspected
from tests.support.proxies import proxy_with_password
from tests.support.site.command_line import ACME, HEAD, THEN, Gateway
from tests.support.site.running import free_ports

CLIENT = "online client of tenant acme"
CLOCK, AGREES = "online clock", ("ok", "agrees with Google's")


def configure(gateway: Gateway, url: str, *settings: str, secret: str = CLIENT_SECRET, own_client: bool = True) -> None:
    """Write a configuration with Google at a URL."""
    google = [f'token_endpoint = "{url}/token"', f'revocation_endpoint = "{url}/revoke"', f'people_api = "{url}"']
    client = f'client_id = "{CLIENT_ID}"\nclient_secret = "{secret}"' if own_client else ""
    tenant = ACME.replace('client_id = "client"\nclient_secret = "secret"', client)
    head = HEAD.replace("https://phonebook.example.com", "http://localhost:8080")
    gateway.write("\n".join([head, "[google]", *google, *settings, tenant]))


async def online(gateway: Gateway, **environment: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """Return the exit code, and the state and message of each item that was found online."""
    command = ["-m", "ldapgw", "--config", str(gateway.file), "check", "--online", "--json"]
    out, err, code = await getProcessOutputAndValue(sys.executable, command, env={**os.environ, **environment})
    assert b"Traceback" not in err, err.decode()
    items = json.loads(out)["items"]
    return code, {item["item"]: (item["state"], item["message"]) for item in items if item["item"].startswith("online")}


def problem(found: Mapping[str, tuple[str, str]], host: str) -> str:
    """Return the reason why a host is not reached; its client was then not tried."""
    state, message = found[f"online {host}"]
    assert state == "failed"
    assert found[CLIENT][0] == "warning"
    assert found[CLIENT][1].startswith("not tried: ")
    return message


@pytest_twisted.ensureDeferred
async def test_all_is_well(gateway: Gateway, tmp_path: Path) -> None:
    """The command tries each host once, and the client; no file is created in the state directory."""
    async with inspected(tmp_path) as google:
        configure(gateway, google.plain)
        host = google.plain.removeprefix("http://")
        assert await online(gateway) == (
            0,
            {f"online {host}": ("ok", "answers"), CLIENT: ("ok", "Google knows it"), CLOCK: AGREES},
        )
    assert not gateway.state_dir.exists()


@pytest_twisted.ensureDeferred
async def test_a_telephone_system(gateway: Gateway, tmp_path: Path) -> None:
    """The command tries the host of the gateway's own calls and dials no number.

    It does not try an address for browsers.
    """
    async with inspected(tmp_path) as google:
        configure(gateway, google.plain)
        text = gateway.file.read_text()
        host, closed = google.plain.removeprefix("http://"), f"127.0.0.1:{free_ports(1)[0]}"
        for name, line, expected in (
            (host, 'dial = "server"', ("ok", "answers")),
            (closed, 'dial = "server"', ("failed", "no connection: check the firewall;")),
            (closed, 'dial = "browser"', None),
        ):
            gateway.write(f'{text}\ndial_url = "http://{name}/call?key=hush&to={{number}}"\n{line}\n')
            found = (await online(gateway))[1].get(f"online {name} (dial_url)")
            assert (found is None) == (expected is None)
            if found is not None and expected is not None:
                assert (found[0], found[1][: len(expected[1])]) == expected
                assert "hush" not in found[1]


@pytest_twisted.ensureDeferred
async def test_a_host_name_that_has_no_address(gateway: Gateway, tmp_path: Path) -> None:
    """Phones need the address of this name, so a warning says what to do; the other hosts are tried nevertheless."""
    async with inspected(tmp_path) as google:
        configure(gateway, google.plain)
        gateway.write(gateway.file.read_text().replace("http://localhost:8080", "https://phonebook.invalid"))
        command = ["-m", "ldapgw", "--config", str(gateway.file), "check", "--online"]
        quick = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}
        out, _, code = await getProcessOutputAndValue(sys.executable, command, env=quick)
    (line,) = (line for line in out.decode().splitlines() if "finds no address" in line)
    assert code == 0
    assert line.startswith(f"! {gateway.file}: web.public_url: this machine finds no address of phonebook.invalid (")
    assert line.endswith(
        "; enter the name in the DNS server that the phones ask, with the gateway's address; for a test from only "
        "this machine, add the line 127.0.0.1 phonebook.invalid to /etc/hosts"
    )
    assert f"✓ {CLIENT}: Google knows it" in out.decode()


@pytest.mark.soak  # the test starts the command; a quick test does too
@pytest_twisted.ensureDeferred
async def test_a_client_that_was_entered_on_the_page(gateway: Gateway, tmp_path: Path) -> None:
    """The command tries such a client too, and a wrong secret fails."""
    async with inspected(tmp_path) as google:
        configure(gateway, google.plain, own_client=False)
        assert CLIENT not in (await online(gateway))[1]
        for secret, state in ((CLIENT_SECRET, "ok"), ("GOCSPX-wrong", "failed")):
            gateway.do(tenants.enter_client, gateway.secret_box, EnteredClient("acme", CLIENT_ID, secret, THEN))
            assert (await online(gateway))[1][CLIENT][0] == state


@pytest.mark.parametrize(
    ("ahead", "state", "message"),
    [
        (30, "ok", "agrees with Google's"),
        (
            -100,
            "warning",
            "is 100 seconds behind Google's; synchronize it, such as with timedatectl set-ntp true, before",
        ),
        (420, "failed", "is 7 minutes ahead of Google's, so tokens and certificates seem expired or not yet valid"),
        (None, None, ""),
    ],
    ids=["right", "behind", "ahead", "unknown"],
)
@pytest_twisted.ensureDeferred
async def test_the_clock(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, ahead: float | None, state: str | None, message: str
) -> None:
    """The command compares the clock with the date of Google's answers, but not with the date of a cached answer."""
    at = 1_800_000_000.0
    date = f"Date: {formatdate(at, usegmt=True)}\r\n" + ("Age: 0\r\n" if ahead is None else "")
    server = RudeServer(f"HTTP/1.1 404 Not Found\r\n{date}Content-Length: 0\r\n\r\n".encode(), hang_up=True)
    port = await server.listen(reactor)
    configure(gateway, f"http://127.0.0.1:{port.getHost().port}")
    config = load(str(gateway.file))
    google = GoogleClients(config.google, reactor, reactor)
    results = await check_online(config, google, {}, {}, reactor, lambda: at + (ahead or 0))
    await port.stopListening()
    told = [(one.status, one.message[: len(message)]) for one in results if one.item == CLOCK]
    assert told == ([] if state is None else [(state, message)])


@pytest_twisted.ensureDeferred
async def test_the_clock_of_the_host_that_agrees_best(gateway: Gateway) -> None:
    """A proxy that changes the date of one host's answers says nothing about this machine's clock."""
    at = 1_800_000_000.0
    heads = [f"HTTP/1.1 404 Not Found\r\nDate: {formatdate(date, usegmt=True)}\r\n" for date in (at - 900, at)]
    servers = [RudeServer(f"{head}Content-Length: 0\r\n\r\n".encode(), hang_up=True) for head in heads]
    listening = [await server.listen(reactor) for server in servers]
    urls = [f"http://127.0.0.1:{port.getHost().port}" for port in listening]
    configure(gateway, urls[0])
    gateway.write(gateway.file.read_text().replace(f'people_api = "{urls[0]}"', f'people_api = "{urls[1]}"'))
    config = load(str(gateway.file))
    results = await check_online(config, GoogleClients(config.google, reactor, reactor), {}, {}, reactor, lambda: at)
    for port in listening:
        await port.stopListening()
    assert [(one.item, one.status) for one in results] == [
        *((f"online {url.removeprefix('http://')}", "ok") for url in urls),
        (CLOCK, "ok"),
    ]


@pytest_twisted.ensureDeferred
async def test_a_client_that_fails(gateway: Gateway, tmp_path: Path) -> None:
    """Google may refuse the secret, know that the client was deleted, or be in trouble; each case has its message."""
    async with inspected(tmp_path) as google:
        configure(gateway, google.plain, secret="GOCSPX-wrong")
        refused = "compare its id and secret with the Google console (invalid_client: Unauthorized)"
        code, found = await online(gateway)
        assert (code, found[CLIENT]) == (1, ("failed", refused))
        google.world.faults.inject("token_error_deleted_client", times=1)
        gone = "somebody deleted it; restore it in the Google console within 30 days, or enter another client"
        code, found = await online(gateway)
        assert (code, found[CLIENT]) == (1, ("failed", f"{gone} (deleted_client: The OAuth client was deleted.)"))
        google.world.faults.inject("token_error_503_html")
        in_trouble = "Google could not say whether it knows the client; try again later (HTTP 503)"
        code, found = await online(gateway)
        assert (code, found[CLIENT]) == (1, ("failed", in_trouble))


@pytest.mark.soak  # the test starts the command; a quick test does too
@pytest.mark.parametrize(
    ("public_url", "state"), [("https://phone.example.com", "failed"), ("https://gw.lan", "warning")]
)
@pytest_twisted.ensureDeferred
async def test_a_redirect_uri_that_is_not_registered(
    gateway: Gateway, tmp_path: Path, public_url: str, state: str
) -> None:
    """A private name cannot be registered, and is only a warning, because ``connect`` works without the name."""
    async with inspected(tmp_path) as google:
        configure(gateway, google.plain)
        gateway.write(gateway.file.read_text().replace("http://localhost:8080", public_url))
        google.world.faults.inject("token_error_redirect_uri_mismatch")
        code, found = await online(gateway)
    assert (code, found[CLIENT][0]) == (int(state == "failed"), state)
    assert f"but not the redirect URI {public_url}/oauth/callback; register it" in found[CLIENT][1]


@pytest.mark.soak  # the test starts the command; a quick test does too
@pytest.mark.parametrize("host", ["nobody.invalid", "127.0.0.1:{port}"], ids=["name", "port"])
@pytest_twisted.ensureDeferred
async def test_a_host_that_is_not_reached(gateway: Gateway, host: str) -> None:
    """The message names an unknown name or a closed port; with a bad ca_file nothing is tried."""
    host = host.format(port=free_ports(1)[0])
    configure(gateway, f"https://{host}")
    code, found = await online(gateway)
    assert code == 1
    if host == "nobody.invalid":
        assert problem(found, host).startswith("its name cannot be resolved: check this machine's DNS")
        configure(gateway, f"https://{host}", 'ca_file = "none.pem"')
        code, found = await online(gateway)
        assert (code, set(found)) == (1, {"online"})
        assert found["online"][1].endswith("none.pem: cannot be read: No such file or directory")
    else:
        assert problem(found, host).startswith("no connection: check the firewall")
        assert problem(found, host).endswith("(ConnectionRefusedError)")


@pytest.mark.soak  # the test starts the command; a quick test does too
@pytest_twisted.ensureDeferred
async def test_a_foreign_certificate(gateway: Gateway, tmp_path: Path) -> None:
    """Without ca_file TLS fails.

    With ca_file TLS works, and then no proxy may inspect the connection to Google's keys.
    """
    async with inspected(tmp_path) as google:
        host = google.url.removeprefix("https://")
        configure(gateway, google.url)
        code, found = await online(gateway)
        assert code == 1
        assert problem(found, host).startswith("its certificate is not trusted: if a proxy inspects TLS, name")
        assert await _with_ca_file(gateway, google, google.url) == (
            1,
            "failed",
            "nobody can connect or sign in: if a proxy inspects TLS, exempt this host, which publishes the keys for "
            "verifying Google's signatures (TLS: certificate verify failed)",
        )
        assert await _with_ca_file(gateway, google, google.plain) == (
            0,
            "ok",
            "can be fetched, and no proxy inspects this connection",
        )


async def _with_ca_file(gateway: Gateway, google: Inspected, keys: str) -> tuple[int, str, str]:
    """Return the result about the keys; all other results have to be good."""
    settings = f'ca_file = "{google.folder}/ca-cert.pem"', f'jwks_uri = "{keys}{CERTS}"'
    configure(gateway, google.url, *settings)
    code, found = await online(gateway)
    ((state, message),) = (found.pop(item) for item in list(found) if item.endswith("(keys)"))
    assert {state for state, _ in found.values()} == {"ok"}
    return code, state, message


@pytest.mark.long  # the test runs a proxy of its own
@pytest_twisted.ensureDeferred
async def test_a_real_proxy(gateway: Gateway, tmp_path: Path) -> None:
    """The command works through the proxy; a wrong password and a missing proxy are told as the proxy's faults."""
    async with inspected(tmp_path) as google:
        host = google.plain.removeprefix("http://")
        with proxy_with_password(tmp_path) as port:
            configure(gateway, google.plain, f'proxy = "http://max:secret@127.0.0.1:{port}"')
            assert (await online(gateway))[0] == 0
            assert f"CONNECT {host}" in (tmp_path / "log").read_text()
            configure(gateway, google.plain, f'proxy = "http://max:wrong@127.0.0.1:{port}"')
            code, found = await online(gateway)
            assert code == 1
            message = problem(found, host)
            assert message.startswith("check google.proxy")
            assert message.endswith("(the proxy refuses: HTTP 401)")
        code, found = await online(gateway)
        assert (code, problem(found, host).rpartition(" (")[2]) == (
            1,
            "the proxy cannot be reached: ConnectionRefusedError)",
        )


@pytest.mark.soak  # the test starts the command; a quick test does too
@pytest_twisted.ensureDeferred
async def test_a_proxy_of_the_environment(gateway: Gateway) -> None:
    """The message says that the proxy's name is unknown, or that the variable has no proper address."""
    configure(gateway, "https://google.example")
    for proxy, detail in (
        ("http://nobody.invalid:3128", "the proxy cannot be reached: DNSLookupError"),
        ("socks5://proxy", "HTTPS_PROXY: expected http://proxy:3128"),
    ):
        _, found = await online(gateway, HTTPS_PROXY=proxy, NO_PROXY="", no_proxy="")
        assert problem(found, "google.example").endswith(f"({detail})")


@pytest.mark.soak  # the test starts the command; a quick test does too
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n",
            "answers with HTTP 503: try again later, and check the proxy if the error lasts",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n",
            "the answer is not from Google: check what is between the gateway and Google (content encoding not asked "
            "for)",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_host_that_answers_otherwise(gateway: Gateway, answer: bytes, message: str) -> None:
    """The host is reached, and either is in trouble or is not Google."""
    server = RudeServer(answer + b"Connection: close\r\n\r\n", hang_up=True)
    port = await server.listen(reactor)
    host = f"127.0.0.1:{port.getHost().port}"
    configure(gateway, f"http://{host}")
    code, found = await online(gateway)
    await port.stopListening()
    assert (code, found[f"online {host}"]) == (1, ("failed", message))
    assert found[CLIENT][0] == "failed"


CONTACTS, OTHER = SCOPE_OF[Source.CONTACTS], SCOPE_OF[Source.OTHER_CONTACTS]
ACCOUNT = "online service account of tenant acme"
GOOD = {
    f"{ACCOUNT}, scope {CONTACTS}": ("ok", "is allowed"),
    f"{ACCOUNT}, scope {OTHER}": ("ok", "is allowed"),
    f"{ACCOUNT}, scope {USERS_SCOPE}": ("ok", "is allowed"),
    f"{ACCOUNT}, scope {GROUPS_SCOPE}": ("ok", "is allowed"),
    f"{ACCOUNT}, users": ("ok", "the settings select 1 user"),
    f"{ACCOUNT}, contacts": ("ok", "can be read as a user"),
}


def delegate(gateway: Gateway, google: Inspected) -> None:
    """Configure a service account that may read Bob's contacts, and a Workspace that allows all scopes."""
    google.world.issuer = google.plain
    google.world.advance(max(0.0, now() - google.world.time()))
    google.world.workspaces.authorize(SERVICE_ACCOUNT, DOMAIN, (CONTACTS, OTHER, USERS_SCOPE, GROUPS_SCOPE))
    google.world.set_user(ALICE, signed_in=True)
    google.world.set_user(BOB, signed_in=True)
    google.world.workspaces.set_group("phones@acme.example", "Phones", [BOB])
    configure(gateway, google.plain, f'admin_api = "{google.plain}"')
    chosen = f'administrator = "{ALICE}"\ngroups = ["phones@acme.example"]'
    delegation = f'sources = ["contacts", "other_contacts"]\n[[tenant.delegation]]\nkey_file = "key.json"\n{chosen}\n'
    (gateway.folder / "key.json").write_bytes(sandbox.key_file(google.world))
    gateway.write(gateway.file.read_text() + delegation)


def lines(refusal: DelegationRefusal) -> str:
    """Return the printed lines of a refusal."""
    text = REFUSAL_TEXTS[refusal]
    return f"{text.what}\n  {RESPONSIBLE[text.who]}: {text.todo}"


async def tried(gateway: Gateway, google: Inspected) -> dict[str, tuple[str, str]]:
    """Return the results about the service account, without the line about its key."""
    config = load(str(gateway.file))
    clients = GoogleClients(config.google, reactor, WallClock(reactor, now))
    delegations = configured_delegations(config.tenant)
    results = await check_online(config, clients, {}, delegations, reactor, now)
    found = {one.item: (str(one.status), one.message) for one in results if one.item.startswith(ACCOUNT)}
    state, message = found.pop(f"{ACCOUNT}, key file")
    account = google.world.workspaces.service_account()
    assert (state, message) == ("ok", f"client ID {account.client_id}, key {account.key_id}")
    return found


@pytest_twisted.ensureDeferred
async def test_a_service_account(gateway: Gateway, tmp_path: Path) -> None:
    """The command tries each scope, the users, and one user's contacts.

    A refusal says what happened and who has to act.
    """
    async with inspected(tmp_path) as google:
        delegate(gateway, google)
        assert await tried(gateway, google) == GOOD
        for refused, changed in (
            ({CONTACTS}, {f"{ACCOUNT}, scope {CONTACTS}": ("failed", lines(DelegationRefusal.SOME_SCOPES))}),
            (
                {GROUPS_SCOPE},
                {
                    f"{ACCOUNT}, scope {GROUPS_SCOPE}": ("failed", lines(DelegationRefusal.SOME_SCOPES)),
                    f"{ACCOUNT}, users": None,
                    f"{ACCOUNT}, contacts": None,
                },
            ),
            (
                {CONTACTS, OTHER, USERS_SCOPE, GROUPS_SCOPE},
                {
                    f"{ACCOUNT}, scope {CONTACTS}": ("failed", lines(DelegationRefusal.NOT_AUTHORIZED)),
                    **{
                        f"{ACCOUNT}, scope {scope}": ("failed", "is not allowed either")
                        for scope in (OTHER, USERS_SCOPE, GROUPS_SCOPE)
                    },
                    f"{ACCOUNT}, users": None,
                    f"{ACCOUNT}, contacts": None,
                },
            ),
        ):
            allowed = {CONTACTS, OTHER, USERS_SCOPE, GROUPS_SCOPE} - refused
            google.world.workspaces.authorize(SERVICE_ACCOUNT, DOMAIN, allowed)
            expected = {item: found for item, found in {**GOOD, **changed}.items() if found}
            assert await tried(gateway, google) == expected
        delegate(gateway, google)
        google.world.workspaces.set_group("phones@acme.example", "Phones", [])
        message = "the settings select no user: compare them with the Google Admin console (Directory, Users)"
        assert (await tried(gateway, google))[f"{ACCOUNT}, users"] == ("warning", message)
        delegate(gateway, google)
        for fault, step, found in (
            ("delegation_bad_key", "", ("failed", lines(DelegationRefusal.BAD_KEY))),
            ("workspace_not_an_admin_403", ", users", ("failed", lines(DelegationRefusal.NOT_AN_ADMIN))),
            (
                "error_service_disabled_403",
                ", contacts",
                ("failed", "enable the People API in the Google project of the service account (HTTP 403"),
            ),
        ):
            google.world.faults.inject(fault, times=1)
            item, (state, message) = list((await tried(gateway, google)).items())[-1]
            assert (item, state, message[: len(found[1])]) == (f"{ACCOUNT}{step}", *found)


@pytest_twisted.ensureDeferred
async def test_a_service_account_by_the_command(gateway: Gateway, tmp_path: Path) -> None:
    """The person who has to act is on a line of its own; an entered service account is tried as well."""
    async with inspected(tmp_path) as google:
        delegate(gateway, google)
        key_file = gateway.folder / "key.json"
        gateway.write(gateway.file.read_text().partition("[[tenant.delegation]]")[0])
        settings = DelegationSettings(ALICE, groups=("phones@acme.example",))
        entered = EnteredDelegation("acme", key_file.read_text(), settings, THEN)
        key_file.unlink()
        gateway.do(tenants.enter_delegation, gateway.secret_box, entered)
        code, found = await online(gateway)
        assert code == 0, repr(found)
        assert {item: found[item] for item in GOOD} == GOOD
        google.world.workspaces.set_state(SERVICE_ACCOUNT, "disabled")
        command = ["-m", "ldapgw", "--config", str(gateway.file), "check", "--online"]
        out, _, code = await getProcessOutputAndValue(sys.executable, command, env=os.environ)
    what, who = lines(DelegationRefusal.SERVICE_ACCOUNT_DISABLED).splitlines()
    assert code == 1
    assert f"✗ {ACCOUNT}: {what}\n{who}\n" in out.decode()

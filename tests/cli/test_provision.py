# SPDX-License-Identifier: MIT
"""The tests run ``phones provision``."""

from __future__ import annotations

from typing import Any

import pytest

from ldapgw.store import activity, phones, provisioning
from ldapgw.store.activity import Act
from ldapgw.store.provisioning import Fetch, Reason
from tests.support.site.command_line import ACME, HEAD, Gateway

NETWORKS = 'provisioning_networks = ["192.0.2.0/24"]\n'
MACS = {"desk1": "001565aabbcc", "desk2": "000413aabbcc", "desk3": ""}


@pytest.fixture
def gateway(gateway: Gateway) -> Gateway:
    """Acme has two phones with a MAC address, and one without."""
    gateway.write((HEAD + ACME).replace("tcp:0:", "tcp:389:", 1) + NETWORKS)
    for name, model in (("desk1", "yealink"), ("desk2", "snom"), ("desk3", "yealink")):
        gateway.run("phones", "add", name, "--tenant", "acme", "--model", model)
    with gateway.begin() as connection:
        for name, mac in MACS.items():
            phones.set_mac(connection, name, mac)
    return gateway


def run(gateway: Gateway, *arguments: str, status: int = 0) -> str:
    result = gateway.run("phones", "provision", *arguments)
    assert result.exit_code == status, result.output
    return str(result.stdout + result.stderr)


def told(gateway: Gateway, *arguments: str) -> Any:
    return gateway.json("phones", "provision", *arguments)


def test_the_window_opens_shows_what_happens_and_closes(gateway: Gateway) -> None:
    opened = told(gateway, "--tenant", "acme", "--open", "60m")
    address = opened["address"]
    assert address.startswith("https://phonebook.example.com/acme/provision/")
    assert (opened["open"], opened["plain_http"], opened["refused"]) == (True, False, [])
    assert [(one["name"], one["mac"], one["file"]) for one in opened["phones"]] == [
        ("desk1", "00:15:65:aa:bb:cc", "001565aabbcc.cfg"),
        ("desk2", "00:04:13:aa:bb:cc", one_file("desk2", opened)),
        ("desk3", None, None),
    ]
    assert opened["phones"][2]["obstacle"].startswith("The MAC address isn’t known.")
    with gateway.begin() as connection:
        window = provisioning.read_window(connection, "acme", gateway.secret_box)
        assert window is not None
        fetched = Fetch(window.opened_at + 1, "192.0.2.7", "001565aabbcc.cfg")
        login = phones.read_by_name(connection, "desk1")
        assert login is not None
        assert provisioning.note_fetch(connection, window, login, "ssha256$00$00", fetched) is None
        provisioning.note_refusal(connection, "acme", Reason.UNKNOWN_MAC, "001565ffffff", "192.0.2.8", fetched.when)
    said = run(gateway, "--tenant", "acme")
    assert "from 192.0.2.7" in said
    assert "00:15:65:ff:ff:ff asked once, last from 192.0.2.8" in said
    assert "No phone has this MAC address." in said
    shown = told(gateway, "--tenant", "acme")
    assert [one["fetched_from"] for one in shown["phones"]] == ["192.0.2.7", None, None]
    assert [(one["mac"], one["reason"], one["count"]) for one in shown["refused"]] == [
        ("00:15:65:ff:ff:ff", "unknown_mac", 1)
    ]
    assert told(gateway, "--tenant", "acme", "--close")["open"] is False
    assert run(gateway, "--tenant", "acme").startswith("The provisioning window is closed.\n")
    assert told(gateway, "--open", "15m", "desk2")["address"] == address
    assert [one["name"] for one in told(gateway, "--open", "15m", "desk2", "DESK2")["phones"]] == ["desk2"]
    assert told(gateway, "--tenant", "acme", "--new-address")["address"] is None
    plain = told(gateway, "--tenant", "acme", "--open", "240m", "--plain-http")
    assert plain["plain_address"] == plain["address"].replace("https:", "http:")
    assert plain["address"].partition("provision/")[2] != address.partition("provision/")[2]
    options = [(one["option"], one["value"].removeprefix(plain["address"])) for one in plain["dhcp"]]
    assert options == [(66, ""), (66, "{mac}.xml")]
    entries = gateway.do(activity.read_page, "acme").entries
    acts = [entry.act for entry in entries]
    assert [entry.detail for entry in entries if entry.act == Act.WINDOW_OPENED] == [
        "240 min; HTTP",
        "15 min; desk2",
        "15 min; desk2",
        "60 min",
    ]
    assert (acts.count(Act.WINDOW_OPENED), acts.count(Act.WINDOW_CLOSED)) == (4, 2)


def one_file(name: str, shown: Any) -> str:
    """Return the file of a phone, which has the phone's MAC address in its name."""
    found = str(next(one["file"] for one in shown["phones"] if one["name"] == name))
    assert MACS[name] in found.lower()
    return found


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--open", "61m"], 2, "Invalid value for '--open'"),
        (["--open", "15m", "--close"], 2, "Choose one of --open, --close and --new-address."),
        (["desk1"], 2, "The names of phones and --plain-http are allowed only with --open."),
        (["--plain-http"], 2, "The names of phones and --plain-http are allowed only with --open."),
        (["--open", "15m", "desk9"], 1, "there is no phone named desk9"),
        (["--open", "15m", "--tenant", "nowhere"], 1, 'there is no tenant "nowhere"'),
    ],
)
def test_what_is_refused(gateway: Gateway, arguments: list[str], status: int, said: str) -> None:
    tenant = [] if "--tenant" in arguments else ["--tenant", "acme"]
    assert said in run(gateway, *tenant, *arguments, status=status)


def test_without_networks_nobody_could_fetch_anything(gateway: Gateway) -> None:
    gateway.write((HEAD + ACME).replace("tcp:0:", "tcp:389:", 1))
    said = run(gateway, "--tenant", "acme", "--open", "15m", status=1)
    assert "provisioning_networks is not set, so no phone could fetch its settings" in said

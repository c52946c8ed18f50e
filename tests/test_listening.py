# SPDX-License-Identifier: MIT
"""Endpoint strings and the address that phones are given."""

from __future__ import annotations

import pytest

from ldapgw.phones.provisioning.settings import Server
from ldapgw.server.config import decode
from ldapgw.server.listener import Listening, ldap_url, phone_server

TENANT = {"name": "acme", "base_dn": "dc=acme"}


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("tcp:389", Listening("", 389, ipv6=False)),
        ("tcp:port=389:interface=192.0.2.1", Listening("192.0.2.1", 389, ipv6=False)),
        ("tcp:389:192.0.2.1:backlog=5", Listening("192.0.2.1", 389, ipv6=False)),
        (r"tcp6:389:interface=\:\:1", Listening("::1", 389, ipv6=True)),
        (r"tcp:389:interface=2001\:db8\:\:1", Listening("2001:db8::1", 389, ipv6=True)),
        ("ssl:636:privateKey=key.pem", Listening("", 636, ipv6=False)),
        ("unix:/run/ldapgw.sock", None),
        ("systemd:domain=INET:index=0", None),
        (r"haproxy:tcp6:389:interface=\:\:1", Listening("::1", 389, ipv6=True)),
        ("haproxy:systemd:domain=INET:index=0", None),
    ],
)
def test_read(endpoint: str, expected: Listening | None) -> None:
    """What Twisted takes for a TCP port is one; anything else is None."""
    assert Listening.read(endpoint) == expected


@pytest.mark.parametrize(
    ("ldap", "public_url", "expected"),
    [
        ({}, "https://book.example.com", "ldap://book.example.com:389"),
        ({"listen": ["tcp:10389"]}, "https://book.example.com:8443", "ldap://book.example.com:10389"),
        ({"listen_tls": ["tcp:636"]}, "https://book.example.com", "ldaps://book.example.com:636"),
        ({"listen": ["unix:/run/ldap", "tcp:389"]}, "http://[::1]:8080", "ldap://[::1]:389"),
        ({"listen": ["tcp:0"]}, "http://localhost:8080", "ldap://localhost"),
        ({"listen": ["unix:/run/ldap"]}, "https://book.example.com", "ldap://book.example.com:389"),
        ({"listen_tls": ["haproxy:tcp:10636"]}, "https://book.example.com", "ldaps://book.example.com:10636"),
    ],
    ids=["default", "port", "tls", "ipv6", "any port", "no TCP", "haproxy"],
)
def test_ldap_url(ldap: dict[str, object], public_url: str, expected: str) -> None:
    """The page's host with LDAP's port, on TLS where it is configured."""
    document = {"state_dir": "s", "ldap": ldap, "web": {"public_url": public_url}, "tenant": [TENANT]}
    document["tls"] = {"certificate": "c.pem", "private_key": "k.pem"}
    assert ldap_url(decode(document, "/etc/ldapgw.toml")) == expected


@pytest.mark.parametrize(
    ("ldap", "public_url", "expected"),
    [
        ({}, "https://book.example.com", Server("book.example.com", 389)),
        ({}, "http://localhost:8080", Server("localhost", 389, loopback=True)),
        ({}, "http://127.0.0.5", Server("127.0.0.5", 389, loopback=True)),
        ({"listen": []}, "https://b.example", Server("b.example", 0)),
        (
            {"listen": ["unix:/run/ldap"], "listen_tls": ["unix:/run/ldaps"]},
            "https://b.example",
            Server("b.example", 389, 636, start_tls=True, guessed=True),
        ),
        (
            {"listen": ["unix:/run/ldap", "tcp:10389"], "listen_tls": []},
            "https://b.example",
            Server("b.example", 10389),
        ),
    ],
    ids=["usual", "localhost", "loopback", "nothing", "no TCP", "one known"],
)
def test_phone_server(ldap: dict[str, object], public_url: str, expected: Server) -> None:
    """What the settings of phones are made of, and whether it is any good to them."""
    document = {"state_dir": "s", "ldap": ldap, "web": {"public_url": public_url}, "tenant": [TENANT]}
    if expected.start_tls:
        document["tls"] = {"certificate": "c.pem", "private_key": "k.pem"}
    assert phone_server(decode(document, "/etc/ldapgw.toml")) == expected

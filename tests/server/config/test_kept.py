# SPDX-License-Identifier: MIT
"""A kept configuration goes to the executed program."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import pytest

from ldapgw.server.config import Config, load
from ldapgw.server.config.load import hand_over, keep, take

# The file has a value of each type other than text, number or table.
FILE = """
state_dir = "state"
database = "postgresql+psycopg://ldapgw:hush@db.example/ldapgw"
encryption_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
roles = ["serve", "web"]
log_level = ["debug", "sync=error"]
[ldap]
listen = ["tcp:389:interface=127.0.0.1"]
idle_timeout = "2h"
max_message = "1MiB"
[tls]
certificate = "fullchain.pem"
private_key = "key.pem"
[web]
public_url = "https://phonebook.example.com"
trusted_proxies = ["10.0.0.0/8", "::1"]
[serve]
stale_start = "0s"
[google]
proxy = "http://user:hush@proxy:3128"
calls_per_minute = 5
[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
client_id = "id"
client_secret = "hush"
allowed_users = ["@acme.example", "*"]
admins = ["root@acme.example"]
strip = ["L0#"]
outside_line = "0"
sources = ["contacts", "directory"]
book_order = ["directory", "alice@acme.example"]
help = "it@acme.example"
attribute_aliases = { "Ext" = "phone" }
sharing = "group:sales"
number_format = "dial"
[[tenant.group]]
name = "sales"
accounts = ["a@acme.example"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "ldapgw.toml").write_text(FILE)
    return load(str(tmp_path / "ldapgw.toml"), {})


def handed_over(config: Config) -> dict[str, str]:
    """Return the environment of the executed program."""
    environment = {"HOME": "/"}
    hand_over(keep(config), environment)
    return environment


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_it_is_what_was_kept(config: Config, monkeypatch: pytest.MonkeyPatch, *, is_in_memory: bool) -> None:
    """The program can take the configuration once. The environment has no secret, and the file has no name."""
    if not is_in_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    environment = handed_over(config)
    [descriptor] = {int(value) for name, value in environment.items() if name != "HOME"}
    assert os.get_inheritable(descriptor)
    assert os.fstat(descriptor).st_nlink == 0
    taken = take(environment)
    assert (taken, repr(taken)) == (config, repr(config))
    assert environment == {"HOME": "/"}
    assert take(environment) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_another_version_reads_the_file(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may have other tables, so the program does not take the configuration."""
    environment = handed_over(config)
    monkeypatch.setattr(import_module("ldapgw.server.config.load"), "__version__", "2.0")
    assert take(environment) is None
    assert environment == {"HOME": "/"}

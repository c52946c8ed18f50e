# SPDX-License-Identifier: MIT
"""Settings come from the environment, in place of settings of the file or without a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from msgspec.structs import fields

from ldapgw.contact import Source
from ldapgw.errors import UserError
from ldapgw.server.config import Config, load
from ldapgw.server.config.environment import merge, read_settings
from ldapgw.server.config.forms import AttributeAliases, Group
from ldapgw.server.config.tables import Ldap, Table, Tenant, Web

FILE = """
state_dir = "state"
[ldap]
size_limit = 50
[web]
public_url = "http://localhost:8080"
[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
[[tenant]]
name = "big-corp"
base_dn = "dc=big,dc=example"
region = "AT"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ldapgw.toml"
    path.write_text(FILE)
    return path


def config(file: Path, environment: Mapping[str, str]) -> Config:
    return load(str(file), environment)


def problems(file: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        config(file, environment)
    return caught.value.problems


def test_every_kind_of_value(file: Path) -> None:
    """Text stays text, other values are written as in TOML, and a list may be separated by commas."""
    found = config(
        file,
        {
            "LDAPGW__LOG_FORMAT": "json",
            "LDAPGW__LOG_LEVEL": "warning, sync=debug",
            "LDAPGW__NEW_STORE": "false",
            "LDAPGW__STATE_DIR": "/var/lib/ldapgw",
            "LDAPGW__LDAP__SIZE_LIMIT": "500",
            "LDAPGW__LDAP__TIME_LIMIT": "20s",
            "LDAPGW__LDAP__LISTEN": "tcp:1389, tcp6:1389",
            "LDAPGW__WEB__TRUSTED_PROXIES": '["10.0.0.0/8"]',
            "LDAPGW__TENANT__ACME__TITLE": "true",
            "LDAPGW__TENANT__ACME__SOURCES": "contacts,directory",
            "LDAPGW__TENANT__ACME__GROUP": '[{name = "sales", accounts = ["alice@acme.example"]}]',
            "PATH": "/usr/bin",
        },
    )
    assert found.log_level == ("warning", "sync=debug")
    assert (found.log_format, found.new_store, found.state_dir) == ("json", False, "/var/lib/ldapgw")
    assert (found.ldap.size_limit, found.ldap.time_limit, found.ldap.listen) == (500, 20, ("tcp:1389", "tcp6:1389"))
    assert list(map(str, found.web.trusted_proxies)) == ["10.0.0.0/8"]
    acme = found.tenant[0]
    assert (acme.title, acme.sources) == ("true", (Source.CONTACTS, Source.DIRECTORY))
    assert acme.group == (Group("sales", ("alice@acme.example",)),)


def test_every_key_has_its_variable() -> None:
    """Each key of the reference has a variable, whose name follows from the key's table."""
    keys = [
        (("tenant[1]", "tenant__acme") if name == "tenant" else (name, name), key)
        for name, hint in get_type_hints(Config).items()
        for table in (hint, *get_args(hint))
        if isinstance(table, type) and issubclass(table, Table)
        for key in get_type_hints(table)
        if (name, key) != ("tenant", "name")
    ]
    expected = {f"{place}.{key}": f"LDAPGW__{named}__{key}".upper() for (place, named), key in keys}
    settings = read_settings(dict.fromkeys(expected.values(), "x"))
    _, names = merge({"tenant": [{"name": "acme"}]}, settings)
    assert {place: name for place, name in names.items() if place != "tenant[1].name"} == expected
    assert {place.partition(".")[0] for place in names} >= {"google", "ldap", "serve", "sync", "tls", "web"}


def test_a_tenant_by_its_name(file: Path, tmp_path: Path) -> None:
    """Underscores stand for hyphens, also in a row. Settings of the file stay, and unknown tenants are added."""
    file.write_text(FILE + '[[tenant]]\nname = "a--b---c"\nbase_dn = "dc=abc,dc=example"\n')
    (tmp_path / "title").write_text("X\n")
    found = config(
        file,
        {
            "LDAPGW__TENANT__A__B___C__REGION": "CH",
            "LDAPGW__TENANT__BIG_CORP__TITLE": "Big",
            "LDAPGW__TENANT__NEW_ONE__BASE_DN": "dc=new,dc=example",
            "LDAPGW__TENANT__X____Y__BASE_DN": "dc=x,dc=example",
            "LDAPGW__TENANT__X____Y__TITLE__FROM_FILE": str(tmp_path / "title"),
        },
    )
    assert [(tenant.name, tenant.title, tenant.region) for tenant in found.tenant] == [
        ("acme", "", "DE"),
        ("big-corp", "Big", "AT"),
        ("a--b---c", "", "CH"),
        ("new-one", "", "DE"),
        ("x----y", "X", "DE"),
    ]


def test_a_slip_in_the_name_of_a_tenant(file: Path) -> None:
    """The variables add no tenant without the required settings. The message names a similar tenant."""
    assert problems(
        file,
        {
            "LDAPGW__TENANT__ACNE__REGION": "AT",
            "LDAPGW__TENANT__ACNE__TITLE": "Acme",
            "LDAPGW__TENANT__BIGCORP__TITLE": "Big",
            "LDAPGW__TENANT__OTHER__REGION": "FR",
            "LDAPGW__TENANT__THIRD__BASE_DN": "dc=third,dc=example",
        },
    ) == (
        'LDAPGW__TENANT__ACNE__REGION: there is no tenant "acne"; did you mean "acme"; to add a tenant, set '
        "LDAPGW__TENANT__ACNE__BASE_DN too",
        'LDAPGW__TENANT__ACNE__TITLE: there is no tenant "acne"; did you mean "acme"; to add a tenant, set '
        "LDAPGW__TENANT__ACNE__BASE_DN too",
        'LDAPGW__TENANT__BIGCORP__TITLE: there is no tenant "bigcorp"; did you mean "big-corp"; to add a tenant, set '
        "LDAPGW__TENANT__BIGCORP__BASE_DN too",
        'LDAPGW__TENANT__OTHER__REGION: there is no tenant "other"; the tenants are: acme, big-corp, third; to add a '
        "tenant, set LDAPGW__TENANT__OTHER__BASE_DN too",
    )


def test_a_name_that_no_tenant_can_have(file: Path) -> None:
    """The message names the variable with the name."""
    assert problems(file, {"LDAPGW__TENANT__A.B__BASE_DN": "dc=a,dc=example"}) == (
        'LDAPGW__TENANT__A.B__BASE_DN = "a.b": expected a name of a-z, 0-9 and -, such as "acme"',
    )


def test_a_name_in_the_file_that_no_tenant_can_have(tmp_path: Path) -> None:
    """The message names the key of the file, even if the tenant also has a variable."""
    path = tmp_path / "dot.toml"
    path.write_text(FILE.replace('"big-corp"', '"a.b"'))
    assert problems(path, {"LDAPGW__TENANT__A.B__REGION": "CH"}) == (
        f'{path}: tenant[2].name = "a.b": expected a name of a-z, 0-9 and -, such as "acme"',
    )


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment may hold all settings if the default file is missing."""
    environment = {
        "LDAPGW__STATE_DIR": "/data",
        "LDAPGW__WEB__PUBLIC_URL": "http://localhost:8080",
        "LDAPGW__TENANT__ACME__BASE_DN": "dc=acme,dc=example",
    }
    missing = tmp_path / "missing.toml"
    assert "there is no such configuration file" in problems(missing, environment)[0]
    monkeypatch.setattr(import_module("ldapgw.server.config.load"), "DEFAULT_FILE", str(missing))
    found = config(missing, environment)
    assert (found.state_dir, [tenant.name for tenant in found.tenant]) == ("/data", ["acme"])
    assert "there is no such configuration file" in problems(missing, {})[0]


def test_a_secret_from_a_file(file: Path, tmp_path: Path) -> None:
    """The value lacks the newline at the end. A variable or a credential of systemd names the file."""
    (tmp_path / "id").write_text("1.apps.googleusercontent.com")
    (tmp_path / "secret").write_text("GOCSPX-one\n")
    (tmp_path / "limit").write_text("7\n")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "LDAPGW__TENANT__BIG_CORP__CLIENT_SECRET").write_text("GOCSPX-two")
    (credentials / "unrelated").write_text("no setting")
    environment = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "LDAPGW__LDAP__SIZE_LIMIT_FILE": str(tmp_path / "limit"),
        "LDAPGW__TENANT__ACME__CLIENT_ID_FILE": str(tmp_path / "id"),
        "LDAPGW__TENANT__ACME__CLIENT_SECRET__FROM_FILE": str(tmp_path / "secret"),
        "LDAPGW__TENANT__BIG_CORP__CLIENT_ID": "2.apps.googleusercontent.com",
    }
    loaded = config(file, environment)
    assert [tenant.client_secret for tenant in loaded.tenant] == ["GOCSPX-one", "GOCSPX-two"]
    assert (loaded.tenant[0].client_id, loaded.ldap.size_limit) == ("1.apps.googleusercontent.com", 7)
    assert "GOCSPX" not in repr(read_settings(environment))


def test_settings_whose_names_end_as_those_of_files() -> None:
    """A name of a setting counts before the suffix for files."""
    names = ("LDAPGW__DATABASE_PASSWORD_FILE", "LDAPGW__GOOGLE__CA_FILE", "LDAPGW__TENANT__ACME__CLIENT_SECRET_FILE")
    assert [(one.path[-1], one.text, one.file) for one in read_settings(dict.fromkeys(names, "/x"))] == [
        ("database_password_file", "/x", None),
        ("ca_file", "/x", None),
        ("client_secret_file", "/x", None),
    ]


def test_names_that_are_no_settings(file: Path, tmp_path: Path) -> None:
    """Each error has a message. The two variables of other purposes are left alone."""
    (tmp_path / "latin").write_bytes(b"\xff")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "LDAPGW__SYNC__INTERVAL").mkdir()
    (credentials / "LDAPGW__WEB__PUBLIC_URL").write_text("http://localhost")
    expected = "is no setting; expected LDAPGW__KEY, LDAPGW__TABLE__KEY or LDAPGW__TENANT__NAME__KEY"
    assert problems(
        file,
        {
            "LDAPGW_COMPILE": "1",
            "LDAPGW_CONFIG": "x",
            "CREDENTIALS_DIRECTORY": str(credentials),
            "LDAPGW_STATE_DIR": "/data",
            "LDAPGW__LDAP__": "1",
            "LDAPGW__LDAP__SIZE__LIMIT": "1",
            "LDAPGW__TENANT__ACME": "1",
            "LDAPGW__TENANT__ACME__NAME": "beta",
            "LDAPGW__TENANT__ACME__TITLE": "M\udcfcller",
            "LDAPGW__WEB__PUBLIC_URL": "http://localhost",
            "LDAPGW__WEB__PUBLIC_URL__FROM_FILE": "/url",
            "LDAPGW__LOG_FORMAT__FROM_FILE": str(tmp_path / "missing"),
            "LDAPGW__STATE_DIR__FROM_FILE": str(tmp_path / "latin"),
        },
    ) == (
        "LDAPGW_STATE_DIR: is no setting; did you mean LDAPGW__STATE_DIR?",
        f"LDAPGW__LDAP__: {expected}",
        "LDAPGW__LDAP__SIZE__LIMIT: is no setting; did you mean LDAPGW__LDAP__SIZE_LIMIT?",
        "LDAPGW__LOG_FORMAT__FROM_FILE: the file cannot be read: No such file or directory",
        "LDAPGW__STATE_DIR__FROM_FILE: the value is not text in UTF-8",
        "LDAPGW__SYNC__INTERVAL: the file cannot be read: Is a directory",
        f"LDAPGW__TENANT__ACME: {expected}",
        "LDAPGW__TENANT__ACME__NAME: the name of a tenant cannot be set: its variables contain the name",
        "LDAPGW__TENANT__ACME__TITLE: the value is not text in UTF-8",
        "LDAPGW__WEB__PUBLIC_URL: is the same setting as LDAPGW__WEB__PUBLIC_URL; set one of them",
        "LDAPGW__WEB__PUBLIC_URL__FROM_FILE: is the same setting as LDAPGW__WEB__PUBLIC_URL; set one of them",
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LDAPGW_LDAP_SIZE_LIMIT", "LDAPGW__LDAP__SIZE_LIMIT"),
        ("LDAPGW_LDAP_SIZELIMIT", "LDAPGW__LDAP__SIZE_LIMIT"),
        ("LDAPGW_CONFG", "LDAPGW_CONFIG"),
        ("LDAPGW_CONFIG__FROM_FILE", "LDAPGW_CONFIG"),
        ("LDAPGW_ENCRYPTION_KEY_FROM_FILE", "LDAPGW__ENCRYPTION_KEY__FROM_FILE"),
        ("LDAPGW_ENCRYPTION_KEY_FILE", "LDAPGW__ENCRYPTION_KEY_FILE"),
        ("LDAPGW_DATABASE_PASWORD_FILE", "LDAPGW__DATABASE_PASSWORD_FILE"),
        ("LDAPGW_TENANT_BIG_CORP_EXCLUDE_LABELS", "LDAPGW__TENANT__BIG_CORP__EXCLUDE_LABELS"),
        ("LDAPGW__LDAPS__SIZE_LIMIT", "LDAPGW__LDAP__SIZE_LIMIT"),
        ("LDAPGW__TENANT_ACME_CLIENT_SECRET_FROM_FILE", "LDAPGW__TENANT__ACME__CLIENT_SECRET__FROM_FILE"),
        ("LDAPGW__TENANT_ACME_CLIENT_SECRET_FILE", "LDAPGW__TENANT__ACME__CLIENT_SECRET_FILE"),
        ("LDAPGW__TENANT_ACME_CLIENT_ID_FILE", "LDAPGW__TENANT__ACME__CLIENT_ID_FILE"),
        ("LDAPGW__TENANT__ACME__REGOIN", "LDAPGW__TENANT__ACME__REGION"),
        ("LDAPGW__SYN__SYNTERVAL", "LDAPGW__SYNC__INTERVAL"),
    ],
)
def test_a_slip_in_a_name(file: Path, name: str, meant: str) -> None:
    """The message names the similar setting."""
    (told,) = problems(file, {name: "1"})
    assert re.fullmatch(f"{name}: is (no setting|not a key of this table); did you mean {meant}\\?", told)


@pytest.mark.parametrize("service", ["LDAPGW", "LDAPGW_LDAP", "LDAPGW_PAGE_2"])
def test_the_variables_of_a_service(file: Path, service: str) -> None:
    """Kubernetes gives these variables to every pod beside a service, so the gateway ignores them."""
    environment = {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": "389",
        f"{service}_SERVICE_PORT_LDAP": "389",
        f"{service}_SERVICE_PORT_LDAP_TLS": "636",
        f"{service}_PORT": "tcp://10.0.0.1:389",
        f"{service}_PORT_389_TCP": "tcp://10.0.0.1:389",
        f"{service}_PORT_389_TCP_PROTO": "tcp",
        f"{service}_PORT_389_TCP_PORT": "389",
        f"{service}_PORT_389_TCP_ADDR": "10.0.0.1",
    }
    assert config(file, environment) == config(file, {})


@pytest.mark.parametrize(
    "name", ["LDAPGW_LDAP_PORT", "LDAPGW_LDAP_SERVICE", "LDAPGW__LDAP_SERVICE_HOST", "LDAPGW__WEB__PORT"]
)
def test_a_name_that_is_like_one_of_a_service(file: Path, name: str) -> None:
    """Such a name is a slip, so the gateway refuses the variable."""
    (told,) = problems(file, {name: "389"})
    assert told.startswith(f"{name}: is n")


def test_a_variable_in_place_of_a_table(file: Path) -> None:
    """The message names the variable and not the file."""
    assert problems(file, {"LDAPGW__LDAP": "5", "LDAPGW__TENANT": "acme"}) == (
        "LDAPGW__LDAP: expected a table; its keys have variables of their own, LDAPGW__LDAP__KEY",
        "LDAPGW__TENANT: expected at least one [[tenant]] table",
    )


def test_values_that_do_not_fit(file: Path) -> None:
    """The message names the variable in place of the key, and leaves out a secret."""
    told = problems(
        file,
        {
            "LDAPGW__LDAP__SIZE_LIMIT": "many",
            "LDAPGW__LDAP__UNKNOWN": "5",
            "LDAPGW__NEW_STORE": "maybe",
            "LDAPGW__SERVE__STALE_START": "soon",
            "LDAPGW__TENANT__BIG_CORP__REGION": "XX",
            "LDAPGW__GOOGLE__PROXY": "sesame",
        },
    )
    assert sorted(line.partition("; its keys")[0].partition(": expected")[0] for line in told) == [
        "LDAPGW__GOOGLE__PROXY",
        'LDAPGW__LDAP__SIZE_LIMIT = "many"',
        "LDAPGW__LDAP__UNKNOWN: is not a key of this table",
        'LDAPGW__NEW_STORE = "maybe"',
        'LDAPGW__SERVE__STALE_START = "soon"',
        'LDAPGW__TENANT__BIG_CORP__REGION = "XX"',
    ]
    assert "sesame" not in " ".join(told)


def test_an_empty_variable_of_a_list(file: Path) -> None:
    """Every list refuses the empty text, which could mean an empty list or a variable left out of a compose file."""
    lists = {
        f"LDAPGW__{place}{field.name}".upper()
        for place, kind in (("", Config), ("ldap__", Ldap), ("web__", Web), ("tenant__acme__", Tenant))
        for field in fields(kind)
        if isinstance(field.default, tuple)
        and not isinstance(field.default, AttributeAliases)
        and field.name not in ("delegation", "file")
    }
    assert len(lists) >= 17
    told = problems(file, dict.fromkeys(lists, ""))
    assert {line.partition(' = "": expected ')[0] for line in told} == lists
    assert {line.rpartition("; ")[2] for line in told} == {"write [] for an empty list, or leave the variable out"}
    none = config(file, {"LDAPGW__TENANT__ACME__LABELS": "[]", "LDAPGW__LDAP__LISTEN_TLS": "[]"})
    assert (none.tenant[0].labels, none.ldap.listen_tls) == ((), ())


def test_an_empty_variable(file: Path) -> None:
    """A text setting may be empty, and any other setting is refused."""
    assert config(file, {"LDAPGW__TENANT__BIG_CORP__TITLE": ""}).tenant[1].title == ""
    assert problems(file, {"LDAPGW__NEW_STORE": "", "LDAPGW__TENANT__ACME__LABELS": "Work,"}) == (
        'LDAPGW__NEW_STORE = "": expected true or false; or leave the variable out',
        'LDAPGW__TENANT__ACME__LABELS = "Work,": expected a list, each item the name of a label, such as "Work"',
    )


@pytest.mark.parametrize(
    ("key", "value"), [("ldap", "1"), ("tenant", "1"), ("tenant", "[1]"), ("tenant", "[{name = [1]}]")]
)
def test_a_file_with_something_else_in_place_of_a_table(tmp_path: Path, key: str, value: str) -> None:
    """The message names the file's key despite the variables."""
    file = tmp_path / "odd.toml"
    file.write_text(f'state_dir = "state"\n{key} = {value}\n[web]\npublic_url = "http://localhost:8080"\n')
    environment = {"LDAPGW__LDAP__SIZE_LIMIT": "5", "LDAPGW__TENANT__ACME__BASE_DN": "dc=acme,dc=example"}
    assert f"{file}: {key}" in problems(file, environment)[0]


def test_a_key_from_elsewhere(file: Path, tmp_path: Path) -> None:
    """The key comes from a file or a credential, with a newline at the end. No message and no repr shows the key."""
    key = "0123456789-0123456789_0123456789-0123456789="
    (tmp_path / "LDAPGW__ENCRYPTION_KEY").write_text(f"{key}\n")
    found = config(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert found.encryption_key == key
    assert key not in repr(found)
    (tmp_path / "key").write_text(f"{key}\n{key}\n")
    named = {"LDAPGW__ENCRYPTION_KEY__FROM_FILE": str(tmp_path / "key")}
    assert config(file, named).encryption_key.split() == [key, key]
    for wrong in ("hush", f"{key[:-2]}=", f"{key}{key}", key.replace("-", "+")):
        assert problems(file, {"LDAPGW__ENCRYPTION_KEY": wrong}) == (
            "LDAPGW__ENCRYPTION_KEY: expected a key of 32 octets in URL-safe Base64, or several with blanks between "
            "them; make one with: openssl rand -base64 32 | tr +/ -_",
        )
    assert config(file, {"LDAPGW__ENCRYPTION_KEY": ""}).encryption_key == ""

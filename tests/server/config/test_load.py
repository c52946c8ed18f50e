# SPDX-License-Identifier: MIT
"""The tests read the configuration file, and check the messages about errors."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from ldapgw.contact import Sharing
from ldapgw.errors import UserError
from ldapgw.server.config import Config, load
from ldapgw.server.config.forms import Allowed, File, Group, Mail, OrgUnit
from ldapgw.server.config.tables import BookFile, Delegation, Google, Ldap, Sync, Tenant, Web
from tests.google.service_account import key_file
from tests.support.phonebook.listening import contexts_in

SMALLEST = """
state_dir = "state"
[web]
public_url = "https://phonebook.example.com"
[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
"""

# The configuration converts these values, and the sample of the file lacks these forms.
CONVERTED = """
state_dir = "/var/lib/ldapgw"
database = "sqlite:////var/lib/ldapgw/other.db"

[ldap]
listen = ["tcp:389", "tcp:389:interface=\\\\:\\\\:1"]
idle_timeout = "2h"
max_message = "1MiB"
reuse_port = true

[tls]
certificate = "fullchain.pem"
private_key = "/etc/privkey.pem"

[web]
public_url = "http://localhost:8081/"
metrics_networks = []

[sync]
interval = "1s"

[google]
authorization_endpoint = "http://127.0.0.1:8090/o/oauth2/v2/auth"
token_endpoint = "http://127.0.0.1:8090/token"
revocation_endpoint = "http://127.0.0.1:8090/revoke"
people_api = "http://127.0.0.1:8090"
issuer = "http://[::1]:8090"

[[tenant]]
name = "acme"
base_dn = "dc=acme,dc=example"
client_id = "id"
client_secret = "hush"
allowed_users = ["@acme.example", "*", "guest@else.example"]
strip = ["L0#", "_trunk1"]
anonymous_networks = ["192.168.0.0/16"]
"""


def read(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "ldapgw.toml"
    file.write_text(text)
    return load(str(file))


def at(url: str) -> str:
    """Return the smallest configuration, with another address of the page."""
    return SMALLEST.replace("https://phonebook.example.com", url)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    prefix = f"{tmp_path / 'ldapgw.toml'}: "
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def test_only_the_marked_keys_are_needed(tmp_path: Path) -> None:
    """The other keys have defaults, which the reference lists."""
    config = read(tmp_path, SMALLEST)
    assert config.state_dir == str(tmp_path / "state")
    assert (config.ldap, config.tls, config.sync, config.google) == (Ldap(), None, Sync(), Google())
    assert config.web == Web(public_url=config.web.public_url)
    assert config.redirect_uri == "https://phonebook.example.com/oauth/callback"
    (tenant,) = config.tenant
    assert tenant == Tenant(name=tenant.name, base_dn=tenant.base_dn)
    assert (tenant.allowed_users, tenant.admins, tenant.anonymous_networks) == ((), (), ())  # nobody is let in


def test_values_are_converted(tmp_path: Path) -> None:
    """Durations and sizes are numbers, paths are absolute, and networks know their addresses."""
    config = read(tmp_path, CONVERTED)
    assert (config.ldap.idle_timeout, config.ldap.max_message, config.ldap.reuse_port) == (7200, 1 << 20, True)
    assert config.ldap.listen == ("tcp:389", r"tcp:389:interface=\:\:1")
    assert config.tls is not None
    assert (config.tls.certificate, config.tls.private_key) == (str(tmp_path / "fullchain.pem"), "/etc/privkey.pem")
    assert (config.redirect_uri, config.web.metrics_networks) == ("http://localhost:8081/oauth/callback", ())
    assert config.sync.interval == 1
    (tenant,) = config.tenant
    addresses = ("192.168.3.4", "::ffff:192.168.3.4", "10.0.0.1", "not an address")
    assert [tenant.anonymous_networks.contains(one) for one in addresses] == [True, True, False, False]
    assert tenant.allowed_users == ("@acme.example", "*", "guest@else.example")
    assert (tenant.client_secret, tenant.strip) == ("hush", ("L0#", "_trunk1"))


def test_no_secret_is_in_a_repr(tmp_path: Path) -> None:
    """A repr may get into a log."""
    config = read(tmp_path, CONVERTED)
    assert "hush" not in repr(config)
    assert "other.db" not in repr(config)


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    """A single start reports every problem."""
    text = """
    database = 3
    stat_dir = "s"
    log_format = "xml"
    log_level = ["info", "ldpa=debug"]
    [ldap]
    listen = ["tpc:389"]
    size_limit = 0
    time_limit = 10
    require_tls = 1
    max_message = "64KB"
    [sync]
    concurrency = 101
    [web]
    public_url = "http://phonebook.example.com"
    metrics_networks = ["a"]
    [tls]
    certificate = ""
    [[tenant]]
    name = "Ac me"
    base_dn = "acme"
    region = "XX"
    sources = ["contacts", "calendar"]
    sharing = "all"
    book_order = ["the boss"]
    group = [{ name = "Sales", accounts = ["a@x.example"] }]
    admins = ["root"]
    outside_line = "zero"
    strip = ["L0#", "99"]
    client_secret = 5
    """
    assert sorted(problems(tmp_path, text)) == sorted(
        [
            "state_dir: is missing; expected a path",
            "stat_dir: is not a key of this table; did you mean state_dir?",
            'database: expected "sqlite:///PATH" or "postgresql+psycopg://USER@HOST/NAME"',
            'log_format = "xml": expected one of "text", "json"',
            'log_level = ["info", "ldpa=debug"]: expected one or a list of LEVEL or PART=LEVEL; LEVEL is one of debug, '
            "info, warning, error, critical; PART is one of google, ldap, peers, phones, server, store, sync, twisted, "
            "web",
            'ldap.listen = ["tpc:389"]: expected a list of Twisted server endpoints such as ["tcp:389"] or '
            '["tcp:389:interface=127.0.0.1"]',
            "ldap.size_limit = 0: expected a whole number from 1 to 10000000",
            'ldap.time_limit = 10: expected a duration of a second or more, such as "90s", "10m", "2h" or "7d"',
            "ldap.require_tls = 1: expected true or false",
            'ldap.max_message = "64KB": expected a size such as "64KiB" or "1MiB"',
            "sync.concurrency = 101: expected a whole number from 1 to 100",
            'web.public_url = "http://phonebook.example.com": expected an https:// address without query (http:// for '
            "localhost and loopback addresses only)",
            'web.metrics_networks = ["a"]: expected a list of networks such as ["192.168.0.0/16", "::1"]',
            'tls.certificate = "": expected a path',
            "tls.private_key: is missing; expected a path",
            'tenant[1].name = "Ac me": expected a name of a-z, 0-9 and -, such as "acme"',
            'tenant[1].base_dn = "acme": expected a distinguished name such as "dc=acme,dc=example"',
            'tenant[1].region = "XX": expected the two-letter code of a country, such as "DE"',
            'tenant[1].sources = ["contacts", "calendar"]: expected a list, each item one of "contacts", '
            '"other_contacts", "directory"',
            'tenant[1].sharing = "all": expected one of "private", "callers", "shared", "group:NAME"',
            'tenant[1].group = [{"name": "Sales", "accounts": ["a@x.example"]}]: expected tables [[tenant.group]], '
            "each with a name (a-z, 0-9 and -), and with accounts (a list of e-mail addresses), google_group (the "
            "address of a Google Group), or both",
            'tenant[1].book_order = ["the boss"]: expected a list, each item an account\'s e-mail address, the name of '
            'a [[tenant.file]], "directory" or "own"',
            'tenant[1].admins = ["root"]: expected a list, each item an e-mail address',
            'tenant[1].outside_line = "zero": expected up to five digits, such as "0", or ""',
            'tenant[1].strip = ["L0#", "99"]: expected a list, each item up to 32 characters without blanks, digits '
            'not alone, such as "L0#"',
            "tenant[1].client_secret: expected text",
        ]
    )


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ('sharing = "prviate"', "private"),
        ('sources = ["contacts", "directry"]', "directory"),
        ('matching = "Lenient"', "lenient"),
        ('matching = "loose"', None),
    ],
)
def test_a_misspelt_choice_gets_a_hint(tmp_path: Path, setting: str, meant: str | None) -> None:
    """The message names the nearest choice, if any choice is near."""
    [problem] = problems(tmp_path, SMALLEST + setting)
    assert problem.partition("; did you mean ")[2] == (f'"{meant}"?' if meant else "")


@pytest.mark.parametrize("name", ["oauth", "static", "healthz", "readyz", "metrics", "-a", "a-", "a" * 64, ""])
def test_names_that_no_tenant_can_have(tmp_path: Path, name: str) -> None:
    """A tenant's name must not hide an address of the gateway."""
    found = problems(tmp_path, SMALLEST.replace('name = "acme"', f'name = "{name}"'))
    assert len(found) == 1
    assert "expected a name of a-z, 0-9 and -" in found[0]


# Each row has a setting, the expected form in the message, and values of another form.
OF_ANOTHER_FORM = {
    "[ldap]\nlisten": (
        "ldap.listen = ",
        "a list of Twisted server endpoints",
        [f'["{one}"]' for one in ("tcp:70000", "tcp:port=70000", "tcp6:65536", "tpc:389", "tcp", "tcp:x")],
    ),
    "[serve]\nstale_start": (
        "serve.stale_start = ",
        'a duration of at most a day, such as "24h" or "30m", or "0s": never',
        ['"25h"', '"2d"', '"0m"', '"never"'],
    ),
    "group": (
        "tenant[1].group = ",
        "tables [[tenant.group]], each with a name (a-z, 0-9 and -)",
        [
            *("5", '["a@x.example"]', '[{ name = "sales" }]', '[{ name = "sales", accounts = "a@x.example" }]'),
            *('[{ name = "sales", accounts = ["a"] }]', '[{ name = "sales", accounts = [1] }]'),
            '[{ name = "sales", accounts = [] }, { name = "sales", accounts = [] }]',
        ],
    ),
    # No contact has a label without a name, so such a label alone would hide all contacts.
    "labels": ("tenant[1].labels = ", 'each item the name of a label, such as "Work"', ['["Work", ""]', '[" "]']),
    "exclude_labels": ("tenant[1].exclude_labels = ", 'the name of a label, such as "Work"', ['["Work", ""]', '[" "]']),
    "attribute_aliases": (
        "tenant[1].attribute_aliases = ",
        'a table such as { "DirName" = "cn" }',
        [
            *('"cn"', "{ DirName = 1 }", '{ DirName = "nothing" }', '{ DirName = "entryUUID" }', '{ mail = "cn" }'),
            *('{ "2.5.4.3" = "sn" }', '{ "a b" = "cn" }', '{ Ext = "cn", ext = "sn" }', f'{{ {"x" * 65} = "cn" }}'),
        ],
    ),
    "remove_leavers": (
        "tenant[1].remove_leavers = ",
        'a duration of a day or more, such as "14d", or "": never',
        ['"1h"', '"0s"'],
    ),
    # A link must not run a script.
    "help": (
        "tenant[1].help = ",
        "an e-mail address or an https:// address",
        ['"javascript:alert(1)"', '"ask Bob"', '"http://help.acme.example"'],
    ),
}


@pytest.mark.parametrize("setting", OF_ANOTHER_FORM)
def test_values_of_another_form(tmp_path: Path, setting: str) -> None:
    """Each value gets a line with the expected form."""
    place, expected, values = OF_ANOTHER_FORM[setting]
    for value in values:
        [told] = problems(tmp_path, f"{SMALLEST}{setting} = {value}")
        assert told.startswith(place), value
        assert f"expected {expected}" in told or expected in told.partition(": expected a list, ")[2], value


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("", ""),
        ("https://pbx.example/call?from={phone}&to={number}", "https://pbx.example/call?from={phone}&to={number}"),
        ("https://pbx.example:8443/{number}", "https://pbx.example:8443/{number}"),
        ("http://127.0.0.1:8088/c2c?n={number}", "http://127.0.0.1:8088/c2c?n={number}"),
        ("https://telefonanlage-süd.example/{number}", "https://xn--telefonanlage-sd-xzb.example/{number}"),
    ],
)
def test_where_the_telephone_system_calls(tmp_path: Path, url: str, meant: str) -> None:
    """People dial with their own devices if there is no address."""
    tenant = read(tmp_path, f'{SMALLEST}dial_url = "{url}"').tenant[0]
    assert (tenant.dial_url, tenant.dial, "example" in repr(tenant.dial_url)) == (meant, "browser", False)


@pytest.mark.parametrize(
    "url",
    [
        "https://pbx.example/call?from={phone}",
        "https://pbx.example/call?to={number}&again={number}",
        "https://pbx.example/call?to={number}&who={name}",
        "https://pbx.example/call?to={number}{}",
        "https://pbx.example/call?to={number}&x={",
        "https://pbx.example/call?to={{number}}",
        "https://pbx.example/call#{number}",
        "https://user:hush@pbx.example/call?to={number}",
        "https://{phone}.example/call?to={number}",
        "https://pbx.example:{number}/",
        "http://pbx.example/call?to={number}",
        "https://[2001:db8::1]/call?to={number}",
        "https://pbx.example/call?to={number} x",
        "https://pbx.example:0/{number}",
        "tel:{number}",
        "javascript:alert({number})",
        "//pbx.example/{number}",
        "{number}",
        "https://[/{number}",
    ],
)
def test_addresses_at_which_no_telephone_system_calls(tmp_path: Path, url: str) -> None:
    """The line gives the expected form, but not the address, which may hold a secret."""
    [told] = problems(tmp_path, f"{SMALLEST}dial_url = '{url}'")
    assert told.startswith("tenant[1].dial_url: expected an https:// address with the placeholder {number}")
    assert "hush" not in told


@pytest.mark.parametrize("text", ["", "it@acme.example", "https://help.acme.example/phones"])
def test_where_people_find_help(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f'{SMALLEST}help = "{text}"').tenant[0].help == text


CONTRADICTIONS = [
    (
        '[ldap]\nlisten_tls = ["tcp:636"]',
        'ldap.listen_tls = ["tcp:636"]: needs the table [tls] with certificate and private_key',
    ),
    (
        "[ldap]\nrequire_tls = true",
        "ldap.require_tls = true: needs the table [tls]; without it, no phone can log in",
    ),
    (
        '[ldap]\nreuse_port = true\nlisten = ["tcp:389", "unix:/run/s"]',
        'ldap.reuse_port = true: "unix:/run/s" cannot be shared; expected TCP ports alone, such as "tcp:389"',
    ),
    ('[sync]\ninterval = "59s"', 'sync.interval = "59s": expected at least 1m'),
    ('[ldap]\nlisten = ["tcp:8080"]', 'web.listen = "tcp:8080": ldap.listen already listens on this endpoint'),
    (
        '[ldap]\nlisten = ["haproxy:tcp:389"]',
        'ldap.listen = "haproxy:tcp:389": expected tcp:389, and the proxies in ldap.proxy_protocol; haproxy: would '
        "accept a header from anybody",
    ),
]


@pytest.mark.parametrize(("extra", "expected"), CONTRADICTIONS)
def test_values_that_are_impossible_together(tmp_path: Path, extra: str, expected: str) -> None:
    """Each value is valid alone."""
    assert problems(tmp_path, SMALLEST + extra) == [expected]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://telefonbücher.example/x", "https://xn--telefonbcher-klb.example/x"),
        ("https://[2001:db8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://phonebook.example:8443/", "https://phonebook.example:8443"),
        ("https://x.example/a/acme", "https://x.example/a/acme"),
        ("https://x.example/a.b/c~d_e-f/", "https://x.example/a.b/c~d_e-f"),
    ],
)
def test_the_address_of_the_page(tmp_path: Path, written: str, meant: str) -> None:
    """A host is as browsers send it, for certificates, the redirect URI and the check of a form's origin.

    The gateway may share its host with other programs, so the address may have a path.
    """
    assert read(tmp_path, at(written)).web.public_url == meant


@pytest.mark.parametrize(
    ("url", "more", "expected"),
    [
        (
            "https://a.example",
            "",
            'web.listen_tls = ["tcp:443"]: needs the table [tls] with certificate and private_key',
        ),
        (
            "http://localhost:8080",
            '[tls]\ncertificate = "c.pem"\nprivate_key = "k.pem"',
            'web.public_url = "http://localhost:8080": expected https:// in front, because web.listen_tls serves HTTPS',
        ),
    ],
)
def test_https_needs_a_certificate_and_an_address(tmp_path: Path, url: str, more: str, expected: str) -> None:
    text = at(url).replace("[[tenant]]", 'listen_tls = ["tcp:443"]\n[[tenant]]')
    assert problems(tmp_path, text + more) == [expected]


# Each row has further keys for the table of a second tenant, b, the first of which is the problem, and the message.
CONTRADICTIONS_OF_TENANTS = [
    ('dial = "server"', "needs dial_url, the address that the gateway calls"),
    ("sources = []", "expected at least one source, and each only once"),
    ('sources = ["contacts", "contacts"]', "expected at least one source, and each only once"),
    ('book_order = ["own", "A@x.example", "a@x.example"]', "expected each book once"),
    (
        'sharing = "group:staff"\n[[tenant.group]]\nname = "sales"\naccounts = ["a@x.example"]',
        "there is no such [[tenant.group]]",
    ),
    ('block_label = "Spam"\nexclude_labels = ["spam"]', "expected a label that is not in exclude_labels"),
    ('shared_label = "Private"\nexclude_labels = ["private"]', "expected a label that is not in exclude_labels"),
    ('exclude_labels = ["Private"]\nlabels = ["private", "a"]', "expected labels that are not in labels"),
]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ('client_id = "x"', "expected both client_id and client_secret"),
        (f"book_order = {[f'a{number}@x.example' for number in range(257)]}", "book_order: expected 256 books at most"),
        *((extra, f"{extra.splitlines()[0]}: {message}") for extra, message in CONTRADICTIONS_OF_TENANTS),
    ],
)
def test_values_of_a_tenant_that_are_impossible_together(tmp_path: Path, extra: str, expected: str) -> None:
    """The line names the tenant."""
    assert problems(tmp_path, f"{SMALLEST}{second('b', 'dc=b')}{extra}") == [f'tenant "b": {expected}']


def test_tenants_that_are_impossible_together(tmp_path: Path) -> None:
    """Names and bases must differ. An alias of an attribute means the same in all tenants."""
    aliases = 'attribute_aliases = { "Ext" = "mobile" }\n', 'attribute_aliases = { "ext" = "pager" }\n'
    tenants = second("b", "OU=x,DC=Acme, dc=example") + aliases[0], second("c", "dc=c") + aliases[1]
    assert problems(tmp_path, SMALLEST + "".join(tenants) + second("acme", "dc=other")) == [
        'tenant "b": base_dn = "OU=x,DC=Acme, dc=example": expected a DN that is neither within nor above '
        '"dc=acme,dc=example" of tenant "acme"',
        'tenant "c": attribute_aliases: ext = "pager": expected the same value as in tenant "b", because an alias '
        "stands for the same attribute in all tenants",
        'tenant "acme": name is used twice',
    ]


def second(name: str, base_dn: str) -> str:
    return f'[[tenant]]\nname = "{name}"\nbase_dn = "{base_dn}"\n'


def test_ports_are_shared_on_linux_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems do not spread connections over the listeners."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert problems(tmp_path, SMALLEST + "[ldap]\nreuse_port = true") == [
        "ldap.reuse_port = true: only Linux spreads connections over several gateways; leave out the setting"
    ]


FIT = "of letters, digits and . _ ~ -"
NOT_OURS = "that does not begin with a tenant's name, nor with one of healthz, metrics, oauth, readyz, static"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a;b", FIT), ("/a//b", FIT), ("/a/..", FIT), ("/acme/b", NOT_OURS), ("/static", NOT_OURS)],
)
def test_paths_that_the_page_cannot_have(tmp_path: Path, path: str, expected: str) -> None:
    """Browsers accept no cookies for the path, or the gateway has the same path."""
    assert problems(tmp_path, at(f"https://x.example{path}")) == [
        f'web.public_url = "https://x.example{path}": expected a path {expected}'
    ]


def test_tls_does_not_come_before_the_header_of_a_proxy(tmp_path: Path) -> None:
    """An SSL endpoint of Twisted would put TLS in front of the header."""
    contexts_in(tmp_path)
    endpoint = f"ssl:636:privateKey={tmp_path}/key.pem:certKey={tmp_path}/certificate.pem"
    assert problems(tmp_path, f'{SMALLEST}\n[ldap]\nproxy_protocol = ["10.0.0.0/8"]\nlisten = ["{endpoint}"]') == [
        f'ldap.listen = "{endpoint}": cannot have ldap.proxy_protocol, because the header of a proxy comes before TLS'
    ]


def test_contradictions_are_told_with_everything_else(tmp_path: Path) -> None:
    """A wrong value hides no other problem."""
    more = '[ldap]\nsize_limit = "x"\n[sync]\ninterval = "5s"\n[[tenant]]\nname = "acme"\nbase_dn = "dc=b"\n'
    more += '[[tenant]]\nname = "c"\nbase_dn = "dc=c"\nclient_secret_file = "none.json"\n'
    assert problems(tmp_path, SMALLEST + more) == [
        'ldap.size_limit = "x": expected a whole number from 1 to 10000000',
        'sync.interval = "5s": expected at least 1m',
        'tenant "acme": name is used twice',
        f'tenant "c": client_secret_file = {tmp_path / "none.json"}: cannot be read: No such file or directory',
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example\\@127.0.0.1",
        "http://127.0.0.1\\.evil.example",
        "https://p.example\\evil.example",
        "https://p.example@evil.example",
        "http://127.0.0.1.evil.example",
    ],
)
def test_urls_that_browsers_read_in_another_way(tmp_path: Path, url: str) -> None:
    """Browsers read a backslash as a slash, and take no host from the text before an @."""
    (told,) = problems(tmp_path, at(url).replace(f'"{url}"', f"'{url}'"))
    assert told.startswith("web.public_url = ")
    assert "expected an https:// address" in told


def test_a_service_has_no_ipv6_address_as_its_host(tmp_path: Path) -> None:
    """The gateway could not call the service, and each sync would fail. The page may have an IPv6 address."""
    (told,) = problems(tmp_path, SMALLEST + "[google]\npeople_api = 'http://[::1]:8090'\n")
    assert told.startswith(
        'google.people_api = "http://[::1]:8090": expected an https:// address without query and with'
    )
    read(tmp_path, at("http://[::1]:8080"))


def test_tenants_must_be_there(tmp_path: Path) -> None:
    """A gateway for nobody is a mistake."""
    text = 'state_dir = "s"\ntenant = []\n[web]\npublic_url = "https://p.example"\n'
    assert problems(tmp_path, text) == ["tenant: expected at least one [[tenant]] table"]
    assert problems(tmp_path, text.replace("tenant = []", "web = 3").partition("[web]")[0]) == [
        "web: expected a table",
        "tenant: is missing; expected a table array",
    ]


def client_file(tmp_path: Path, content: str) -> str:
    (tmp_path / "client.json").write_text(content)
    return SMALLEST + 'client_secret_file = "client.json"\n'


def test_the_file_from_the_google_console_gives_the_client(tmp_path: Path) -> None:
    """The path is relative to the configuration file."""
    text = client_file(tmp_path, json.dumps({"web": {"client_id": "id", "client_secret": "hush"}}))
    (tenant,) = read(tmp_path, text).tenant
    assert (tenant.client_id, tenant.client_secret) == ("id", "hush")


CONSOLE = "expected the JSON file of a Web application client, as downloaded from the Google console"
DESKTOP = "is for a Desktop client; create a client of the type Web application in the Google console"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"installed": {"client_id": "a", "client_secret": "b"}}', DESKTOP),
        *((content, CONSOLE) for content in ("{", "[]", '{"web": {"client_id": "a"}}')),
    ],
    ids=["desktop", "not JSON", "a list", "no secret"],
)
def test_a_client_file_that_is_none(tmp_path: Path, content: str, expected: str) -> None:
    """The line names the steps in the console."""
    assert problems(tmp_path, client_file(tmp_path, content)) == [
        f'tenant "acme": client_secret_file: {expected}',
    ]


def test_a_client_file_that_is_missing_or_given_twice(tmp_path: Path) -> None:
    """Both problems are reported, with the full path of the missing file."""
    text = SMALLEST + 'client_secret_file = "none.json"\nclient_id = "a"\nclient_secret = "b"\n'
    assert problems(tmp_path, text) == [
        'tenant "acme": expected client_secret_file, or client_id with client_secret, not both',
        f'tenant "acme": client_secret_file = {tmp_path / "none.json"}: cannot be read: No such file or directory',
    ]


def test_a_file_that_cannot_be_read_or_is_not_toml(tmp_path: Path) -> None:
    """Each problem is a single line."""
    with pytest.raises(UserError, match="there is no such configuration file; create a file with ldapgw init"):
        load(str(tmp_path / "nothing.toml"))
    assert problems(tmp_path, "a = = 1")[0].startswith("is not TOML: ")
    (tmp_path / "ldapgw.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(UserError, match="is not TOML"):
        load(str(tmp_path / "ldapgw.toml"))
    (tmp_path / "ldapgw.toml").write_text("a = " + "[" * 3000 + "]" * 3000)
    with pytest.raises(UserError) as told:
        load(str(tmp_path / "ldapgw.toml"))
    assert told.value.problems == (f"{tmp_path}/ldapgw.toml: has arrays or tables that are nested too deeply",)


# Code in C may nest deeper from Python 3.12 on.
_DEEP = ("has arrays or tables that are nested too deeply", 'state_dir = {"a": ')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"a = {'1' * 5000}", "is not TOML: Exceeds the limit"),
        (f"state_dir.{'.'.join('a' * 5000)} = 1", _DEEP),
        (f"[[{'.'.join('a' * 5000)}]]", "a: is not a key of this table"),
        ('"a\\nb\\u001b" = 1', r'"a\nb\u001b": is not a key of this table'),
        ('state_dir = "a\\nb"', r'state_dir = "a\nb": expected a path'),
    ],
    ids=[
        "a number of 5000 digits",
        "a key of 5000 parts",
        "a table of 5000 parts",
        "lines in a key",
        "lines in a path",
    ],
)
def test_each_line_names_the_file_whatever_it_holds(tmp_path: Path, text: str, problem: str | tuple[str, ...]) -> None:
    """Each line begins with the file's name, and no error ends in a traceback."""
    file = tmp_path / "ldapgw.toml"
    file.write_text(text + "\n" + SMALLEST.replace('state_dir = "state"', "") if "state_dir" in text else text)
    with pytest.raises(UserError) as caught:
        load(str(file))
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    assert any(line.removeprefix(f"{file}: ").startswith(problem) for line in lines)


def test_groups_of_accounts(tmp_path: Path) -> None:
    """Each group is a table, and a new book can be shared with a group."""
    sales = '[[tenant.group]]\nname = "sales"\naccounts = ["A@x.example"]\n'
    staff = '[[tenant.group]]\nname = "staff"\naccounts = []\n'
    config = read(tmp_path, f'{SMALLEST}sharing = "group:sales"\n{sales}{staff}')
    (tenant,) = config.tenant
    assert (tenant.sharing, *tenant.group) == (Sharing("group:sales"), Group("sales", ("A@x.example",)), Group("staff"))
    assert tenant.naming_context().groups == {"sales": frozenset({"a@x.example"}), "staff": frozenset()}


def test_names_of_attributes(tmp_path: Path) -> None:
    """An alias leads to the name in the schema. CallerIDName is an alias already."""
    text = 'attribute_aliases = { "CallerIDName" = "cn", "Ext" = "phone" }\n'
    (tenant,) = read(tmp_path, SMALLEST + text).tenant
    assert tenant.attribute_aliases == (("CallerIDName", "cn"), ("Ext", "telephoneNumber"))


SERVER = 'database = "postgresql+psycopg://gateway@db.example/ldapgw"\ndatabase_password_file = "password"\n'


def test_the_password_of_the_database_is_in_a_file(tmp_path: Path) -> None:
    """The password may have any signs, and no repr shows the password."""
    (tmp_path / "password").write_text("p@ss:w/rd\n")
    config = read(tmp_path, SERVER + SMALLEST)
    url = make_url(config.database)
    assert (url.username, url.password, url.host, url.database) == ("gateway", "p@ss:w/rd", "db.example", "ldapgw")
    assert "rd" not in repr(config.database)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "password: cannot be read: No such file or directory"),
        ('database = "sqlite:///x.db"', 'password: needs database = "postgresql+psycopg://USER@HOST/NAME"'),
        ('database = "postgresql://db/x"', 'password: needs database = "postgresql+psycopg://USER@HOST/NAME"'),
        (
            'database = "postgresql://u:secret@db/x"',
            "password: the password is in database already; expected it in one of the two",
        ),
    ],
)
def test_a_password_of_the_database_that_cannot_be_used(tmp_path: Path, line: str, told: str) -> None:
    """The message names the key, but no password."""
    server = line + "\n" + SERVER.splitlines()[1] + "\n" if line else SERVER
    [problem] = problems(tmp_path, server + SMALLEST)
    assert problem.endswith(told)
    assert "secret" not in problem


def test_a_database_whose_url_is_none(tmp_path: Path) -> None:
    """The message leaves out the URL, which may have a password."""
    assert problems(tmp_path, 'database = "postgresql://u:secret@db:port/x"\n' + SMALLEST) == [
        'database: expected "sqlite:///PATH" or "postgresql+psycopg://USER@HOST/NAME"'
    ]


@pytest.mark.parametrize(
    ("roles", "database", "problem"),
    [
        ('["serve"]', "", 'roles = ["serve"]: only gateways on a PostgreSQL database can share the work; leave the'),
        ("[]", "", "roles = []: expected at least one role, and each only once"),
        ('["web", "web"]', "postgresql+psycopg://gw@db/gw", 'roles = ["web", "web"]: expected at least one role'),
        ('["phones"]', "", 'roles = ["phones"]: expected a list, each item one of "serve", "sync", "web"'),
    ],
)
def test_roles_that_cannot_be(tmp_path: Path, roles: str, database: str, problem: str) -> None:
    """Only gateways on PostgreSQL can divide the roles."""
    server = f'database = "{database}"\n' if database else ""
    told = problems(tmp_path, f"roles = {roles}\n{server}{SMALLEST}")
    assert any(problem in line for line in told), told


@pytest.mark.parametrize(("value", "seconds"), [("24h", 86400.0), ("1d", 86400.0), ("30m", 1800.0), ("0s", 0.0)])
def test_a_stale_start(tmp_path: Path, value: str, seconds: float) -> None:
    """The value is at most a day, or zero."""
    assert read(tmp_path, SMALLEST + f'[serve]\nstale_start = "{value}"').serve.stale_start == seconds


def test_a_service_account(tmp_path: Path) -> None:
    """A tenant has at most one service account, which names its users. Paths are relative to the configuration file."""
    (tmp_path / "key.json").write_bytes(key_file())
    needed = '[[tenant.delegation]]\nkey_file = "key.json"\nadministrator = "admin@acme.example"\n'
    (tenant,) = read(tmp_path, f'{SMALLEST}{needed}users = ["@acme.example"]\norg_units = ["/Sales/East"]\n').tenant
    assert tenant.delegation == (
        Delegation(
            key_file=File(tmp_path / "key.json"),
            administrator=Mail("admin@acme.example"),
            users=(Allowed("@acme.example"),),
            org_units=(OrgUnit("/Sales/East"),),
        ),
    )
    refused = (
        (needed, "delegation: expected users, groups or org_units"),
        (f'{needed}org_units = ["Sales"]', "delegation[1].org_units"),
        (2 * f'{needed}users = ["*"]\n', "delegation: expected at most one table [[tenant.delegation]]"),
        ("[[tenant.delegation]]\n", "delegation[1].key_file: is missing"),
        (f'{needed.replace("key.json", "no.json")}users = ["*"]', "no.json: cannot be read: No such file or directory"),
        (f'{needed.replace("key.json", "ldapgw.toml")}users = ["*"]', "ldapgw.toml: The file is not JSON."),
    )
    for text, problem in refused:
        with pytest.raises(UserError, match=re.escape(problem)):
            read(tmp_path, SMALLEST + text)


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("14d", 14 * 86400)])
def test_the_time_after_which_leavers_are_removed(tmp_path: Path, text: str, seconds: float) -> None:
    assert read(tmp_path, f'{SMALLEST}remove_leavers = "{text}"').tenant[0].remove_leavers == seconds


FILE = '[[tenant.file]]\nname = "extensions"\npath = "extensions.csv"\n'


def test_files(tmp_path: Path) -> None:
    """Files are shared by default, and the order of books may name them."""
    more = f'{SMALLEST}book_order = ["extensions", "own"]\n{FILE}'
    callers = '[[tenant.file]]\nname = "partners"\npath = "/srv/p.vcf"\nsharing = "callers"\n'
    tenant = read(tmp_path, more + callers).tenant[0]
    assert tenant.file == (
        BookFile(name="extensions", path=str(tmp_path / "extensions.csv"), sharing="shared"),
        BookFile(name="partners", path="/srv/p.vcf", sharing="callers"),
    )
    assert tenant.book_order == ("extensions", "own")
    assert tenant.naming_context().book_order == ("extensions", "own")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f'{FILE}sharing = "private"',
            'file[1].sharing = "private": expected one of "shared", "callers", "group:NAME"; a file has no owner, so '
            "nobody would see a private book",
        ),
        (f"{FILE}sharing = 7", "file[1].sharing = 7: expected one of"),
        (f'{FILE}sharing = "group:staff"', 'file "extensions": sharing = "group:staff": there is no such'),
        (FILE + FILE, 'file "extensions": name is used twice'),
        *(
            (FILE.replace("extensions", name, 1), f'file[1].name = "{name}": expected a name of a-z, 0-9 and -')
            for name in ("directory", "own", "phones", "replicas", "Ext", "a/b", "")
        ),
        ('[[tenant.file]]\nname = "x"', "file[1].path: is missing"),
        ("file = 7", "file: expected tables [[tenant.file]]"),
        (f'book_order = ["other"]\n{FILE}', 'book_order = "other": there is no [[tenant.file]] of this name'),
    ],
)
def test_what_is_no_file(tmp_path: Path, text: str, problem: str) -> None:
    """Each problem is a single clear line."""
    with pytest.raises(UserError) as raised:
        read(tmp_path, SMALLEST + text)
    [told] = raised.value.problems
    assert problem in told

# SPDX-License-Identifier: MIT
"""``init``: writes a configuration file from the answers to a few questions, and makes the database and the key."""

from __future__ import annotations

import json
import os
import pwd
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

import click

from ldapgw.cli.check import REFUSED_REDIRECT_URI
from ldapgw.cli.output import hint, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, pass_site, setting_type
from ldapgw.errors import UserError
from ldapgw.google.endpoints import is_redirect_uri_refused
from ldapgw.server.config import decode, merge, read_settings
from ldapgw.server.config.forms import Allowed, BaseDn, LeaverDelay, Mail, Region, Slug, Url
from ldapgw.server.state_dir import create_state_dir

_PORT = click.IntRange(1, 65535)
STATE_DIR = "/var/lib/ldapgw"

# A line that sets a key, or would set the key without the "#" in front.
_SETTING = re.compile(r"#?(?P<key>[a-z_]+) = .*")
# A line that begins a table, or would begin the table without the "#" in front.
_TABLE = re.compile(r"#?\[+(?P<table>[a-z_.]+)\]")
# The part of the sample's first comment that describes only the sample.
_HEAD = re.compile(r"\A# The configuration of ldapgw.*?(?=# Relative paths)", re.DOTALL)
_NEW_HEAD = """\
# The configuration of ldapgw, as written by ldapgw init.
#
# A key behind a "#" has the default that it shows; a key that is marked "example" has no default.
# docs/reference/configuration.rst explains every key.
#
"""

# Domains of consumers' addresses, which belong to no company.
_CONSUMERS = frozenset({"gmail.com", "googlemail.com"})


def _read_allowed(text: str) -> list[str]:
    """Read the accounts that may connect: several values of `Allowed`, separated by commas or blanks."""
    try:
        return [str(Allowed.read(item)) for item in re.split(r"[,\s]+", text.strip())]
    except ValueError:
        raise click.BadParameter(f"expected each to be {Allowed.expected}") from None


def _read_client_file(text: str) -> str:
    """Check the path of an OAuth client's JSON file; an empty path means that there is no client yet."""
    path = Path(text.strip()).expanduser().absolute() if text.strip() else None
    if path is not None and not path.is_file():
        raise click.BadParameter("there is no such file; leave it empty to enter the client on the page later")
    return str(path) if path else ""


@click.command(
    epilog=examples(
        "ldapgw init --admin root@acme.example",
        "ldapgw --config ldapgw.toml init --admin root@acme.example --state-dir state",
    )
)
@click.option("--admin", type=setting_type(Mail), help="The administrator's Google address.")
@click.option("--tenant", type=setting_type(Slug), help="A short name for the company, part of the page's address.")
@click.option("--title", help="The company's full name.")
@click.option("--base-dn", type=setting_type(BaseDn), help="The LDAP base DN that phones search.")
@click.option(
    "--allow", type=_read_allowed, metavar="WHO", help="Who may connect: addresses, @domain or *, with commas."
)
@click.option(
    "--remove-leavers",
    type=setting_type(LeaverDelay),
    metavar="TIME",
    help="When to remove people who have left Google Workspace, for example 14d. Empty for never.",
)
@click.option("--region", type=setting_type(Region), help="The country of numbers without a country code.")
@click.option("--public-url", type=setting_type(Url), help="The address of the web page.")
@click.option("--web-port", type=_PORT, help="The port that the web page listens on.")
@click.option("--ldap-port", type=_PORT, help="The port that LDAP listens on.")
@click.option(
    "--client-secret-file",
    type=_read_client_file,
    metavar="PATH",
    help="The OAuth client's JSON file. Empty to enter the client on the page later.",
)
@click.option("--state-dir", help="The folder for the database and its key.")
@pass_site
def init(site: Site, /, **given: Any) -> None:
    """Write the configuration file, asking for the necessary values.

    The command also creates the database and the key. It doesn't ask for values that are given as options.
    """
    file = Path(site.file)
    if file.exists():
        raise UserError(f"{file}: already exists; edit it, or choose another file with --config")
    text = _fill_sample(_answers(given))
    document, names = merge(tomllib.loads(text), read_settings(os.environ))
    config = decode(document, str(file), names)
    # The directory is made first, because the file's existence means that there is a database.
    create_state_dir(Path(config.state_dir), config.encryption_key)
    _write(file, text)
    print_line(f"Wrote {file}.")
    if is_redirect_uri_refused(given["public_url"]):
        hint(f"! web.public_url: {REFUSED_REDIRECT_URI}")
    user = _service_user(Path(config.state_dir))
    for line in _next_steps(str(file), user, has_client=bool(given["client_secret_file"])):
        hint(line)


def _answers(given: dict[str, Any]) -> dict[str, Any]:
    """Return the values for the file: the values given as options, and the answers to questions for other values."""

    def ask(name: str, question: str, kind: Any = str, default: Any = None) -> Any:
        if given[name] is None:
            given[name] = click.prompt(question, type=kind, default=default, err=True)
        return given[name]

    def ask_leavers() -> str:
        if given["remove_leavers"] is None and not any(who.startswith("@") for who in given["allow"]):
            return ""  # only a company on Google Workspace has a directory, which shows who has left
        question = (
            "How long after people have left Google Workspace should their accounts and phones be removed? For example "
            "14d. Leave empty for never"
        )
        return str(ask("remove_leavers", question, setting_type(LeaverDelay), ""))

    mail, slug_type, url_type = setting_type(Mail), setting_type(Slug), setting_type(Url)
    admin = ask("admin", "What is the administrator's Google address? For example anna@acme.example", mail)
    local, _, domain = admin.partition("@")
    company = local if domain.lower() in _CONSUMERS else domain.partition(".")[0]
    slug = re.sub(r"[^a-z0-9]+", "-", company.lower()).strip("-") or "home"
    question = "What is a short name for your company? It is part of the page's address. For example acme"
    tenant = ask("tenant", question, slug_type, slug)
    allowed = admin if domain.lower() in _CONSUMERS else f"@{domain}"
    base = f"dc={tenant}" if allowed == admin else ",".join(f"dc={part}" for part in domain.lower().split("."))
    values = {
        "name": tenant,
        "admins": [admin],
        "title": ask("title", "What is your company's full name? For example Acme GmbH", str, company.title()),
        "base_dn": ask(
            "base_dn",
            "Which LDAP base DN should the phones search? For example dc=acme,dc=example",
            setting_type(BaseDn),
            base,
        ),
        "allowed_users": ask(
            "allow",
            "Who may connect? Addresses, a domain or everybody, for example @acme.example",
            _read_allowed,
            allowed,
        ),
        "remove_leavers": ask_leavers(),
        "region": ask(
            "region", "Which country are numbers without a country code in? For example DE", setting_type(Region), "DE"
        ),
        "public_url": ask(
            "public_url",
            "What is the address of the web page? For example https://phonebook.acme.example",
            url_type,
            "http://localhost:8080",
        ),
        "web.listen": [f"tcp:{ask('web_port', 'On which port should the page listen?', _PORT, _web_port(given))}"],
        "ldap.listen": [f"tcp:{ask('ldap_port', 'On which port should LDAP listen?', _PORT, 389)}"],
        "state_dir": ask(
            "state_dir", f"Where should the database and its key be stored? For example {STATE_DIR}", str, STATE_DIR
        ),
    }
    question = "Where is the JSON file of your Google OAuth client? Leave empty to enter the client on the page later"
    client = ask("client_secret_file", question, _read_client_file, "")
    return {
        **values,
        "client_secret_file": client or None,
        "remove_leavers": values["remove_leavers"] or None,
        "new_store": False,
    }


def _web_port(given: Mapping[str, Any]) -> int:
    """Return the port in the page's address if the page is on this machine, or else the usual port behind a proxy."""
    parts = urlsplit(given["public_url"])
    return (parts.port or 8080) if parts.scheme == "http" else 8080


def _write(file: Path, text: str) -> None:
    """Write the file, readable for its owner and for the group of its folder, which can be the gateway's group."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as stream:
            stream.write(text)
        if os.geteuid() == 0:
            os.chown(file, -1, file.parent.stat().st_gid)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def _service_user(state_dir: Path) -> str:
    """Return the user of a gateway that root sets up as a service; empty if the command's own user runs the gateway."""
    uid = state_dir.stat().st_uid
    if os.geteuid() != 0 or uid == 0:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _next_steps(file: str, user: str, *, has_client: bool) -> list[str]:
    command = f"ldapgw --config {quote(file)}"
    start = f"{command} run"
    if user:
        command = f"sudo -u {quote(user)} {command}"
        start = "sudo systemctl start ldapgw"
    enter = [] if has_client else [f"  {command} admin-link    # opens the page that takes the OAuth client"]
    return ["Next:", f"  {command} check", f"  {start}", *enter]


def _fill_sample(values: Mapping[str, object]) -> str:
    """Return the sample of the configuration file with values filled in; all other keys keep their defaults.

    :param values: texts or lists of texts by key, or None to comment a key out.  A key that is in several tables has
        the table's name in front.
    """
    sample = files("ldapgw.server.config").joinpath("ldapgw.toml").read_text()
    lines, table = [], ""
    for line in _HEAD.sub(_NEW_HEAD, sample).splitlines():
        if header := _TABLE.match(line):
            table = header["table"]
        lines.append(_line(line, table, values))
    return "\n".join(lines) + "\n"


def _line(line: str, table: str, values: Mapping[str, object]) -> str:
    setting = _SETTING.fullmatch(line)
    if setting is None:
        return line
    key = next((key for key in (f"{table}.{setting['key']}", setting["key"]) if key in values), None)
    if key is None:
        return line
    if values[key] is None:
        return "#" + line.lstrip("#").replace("# set this", "# example")
    # A JSON string is a valid TOML string, and a JSON list of strings is a valid TOML array.
    return f"{setting['key']} = {json.dumps(values[key], ensure_ascii=False)}"

# SPDX-License-Identifier: MIT
"""``init`` and ``certificate``: write a configuration file, and make the database, the keys and a certificate.

``init`` asks a few questions, and writes the configuration file from the answers.  ``certificate`` makes a certificate
for the gateway, signed by a private authority that the command makes too; ``init`` can do the same.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import pwd
import re
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlsplit

import click

from ldapgw.cli.check import REFUSED_REDIRECT_URI, check_page_port, check_public_name, check_validity
from ldapgw.cli.output import hint, print_line
from ldapgw.cli.root import CONFIG_FILE, Choice, examples
from ldapgw.cli.site import Site, now, pass_site, read_file, setting_type
from ldapgw.errors import UserError
from ldapgw.google.endpoints import is_redirect_uri_refused, read_client_file
from ldapgw.phones.provisioning.settings import Security
from ldapgw.phones.provisioning.vendors import all_vendors
from ldapgw.server.certificates import FOLDER, AuthorityFiles, create_certificate, fingerprint
from ldapgw.server.check_result import CheckStatus
from ldapgw.server.config import Config, decode, merge, read_settings
from ldapgw.server.config.forms import Allowed, BaseDn, LeaverDelay, Mail, Region, Slug, Url
from ldapgw.server.config.written import written_file
from ldapgw.server.endpoints import ListenAddress, certificate_url
from ldapgw.server.listener import listening_socket
from ldapgw.server.state_dir import create_state_dir
from ldapgw.server.tls import certificate_names, load_certificate, private_trust_anchor, read_certificates
from ldapgw.store.files import prepare_state_dir, replace_file

_PORT = click.IntRange(1, 65535)
# The ways to encrypt the connections of phones and browsers.
_ENCRYPTION = ("files", "create", "proxy", "none")
# The values of `_ENCRYPTION` for which the gateway has a certificate.
_CERTIFICATES = ("files", "create")
# The difference between the ports for LDAP over TLS and for LDAP: the standard ports are 636 and 389.
_LDAPS_DISTANCE = 636 - 389
STATE_DIR = "/var/lib/ldapgw"

_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
# The certificate is also for these names, because a test on the gateway's own machine checks the certificate too.
_LOOPBACK = ("localhost", "127.0.0.1")
# Addresses that are reserved for documentation (RFC 5737, RFC 3849).  Connecting a datagram socket to such an address
# sends no packet, but shows the address from which this machine would send packets.
_ANYWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

_HEAD = """\
# The configuration of ldapgw, as written by ldapgw init.
#
# A key behind a "#" has the default that it shows; a key that is marked "example" has no default.
# docs/reference/configuration.rst explains every key.
"""

# Domains of consumers' addresses, which belong to no company.
_CONSUMERS = frozenset({"gmail.com", "googlemail.com"})


def _read_allowed(text: str) -> list[str]:
    """Read the accounts that may connect: several values of `Allowed`, separated by commas or blanks."""
    try:
        return [str(Allowed.read(item)) for item in re.split(r"[,\s]+", text.strip())]
    except ValueError:
        raise click.BadParameter(f"each of these values must be {Allowed.expected}") from None


def _read_url(text: str) -> str:
    """Read the address of the page; a bare host name stands for an address with HTTPS."""
    text = text.strip()
    url: str = setting_type(Url)(text if not text or "://" in text else f"https://{text}")
    return url


def _read_client_file(text: str) -> str:
    """Check an OAuth client's JSON file, and return its path; an empty path means that there is no client yet."""
    path = Path(text.strip()).expanduser().absolute() if text.strip() else None
    if path is None:
        return ""
    if not path.is_file():
        raise click.BadParameter(
            "there is no such file; leave the path empty to enter the OAuth client on the web page later"
        )
    try:
        with path.open("rb") as file:
            read_client_file(read_file(file))
    except UserError as error:
        raise click.BadParameter(error.problems[0]) from None
    except OSError as error:
        raise click.BadParameter(f"cannot be read: {error.strerror}") from None
    return str(path)


def _read_file(text: str) -> str:
    """Return the absolute path of an existing file."""
    path = Path(text.strip()).expanduser().absolute()
    if not path.is_file():
        raise click.BadParameter("there is no such file")
    return str(path)


@click.command(
    epilog=examples(
        "ldapgw init --admin root@acme.example",
        "ldapgw --config ldapgw.toml init --admin root@acme.example --state-dir state --encryption create",
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
@click.option("--public-url", type=_read_url, metavar="URL", help="The address of the web page.")
@click.option(
    "--encryption",
    type=Choice(_ENCRYPTION),
    help="files: with a certificate that you have. create: make a private authority and a certificate. proxy: a proxy "
    "encrypts. none: only for a test.",
)
@click.option("--certificate", type=_read_file, metavar="PATH", help="The certificate with its chain, a PEM file.")
@click.option("--private-key", type=_read_file, metavar="PATH", help="The certificate's private key, a PEM file.")
@click.option("--web-port", type=_PORT, help="The port that the web page listens on.")
@click.option("--ldap-port", type=_PORT, help="The port that LDAP listens on; LDAP over TLS has this port plus 247.")
@click.option(
    "--client-secret-file",
    type=_read_client_file,
    metavar="PATH",
    help="The OAuth client's JSON file. Empty to enter the OAuth client on the web page later.",
)
@click.option("--state-dir", help="The folder for the database and its key.")
@pass_site
def init(site: Site, /, **given: Any) -> None:
    """Write the configuration file.

    The command also creates the database and the key. It asks for the values that are not given as options.
    """
    file = Path(site.file)
    if file.exists():
        raise UserError(f"{file}: already exists; edit it, or choose another file with --config")
    # A JSON string or boolean is a valid TOML value, and a JSON list of strings is a valid TOML array.
    answers = {
        key: json.dumps(value, ensure_ascii=False) for key, value in _answers(given).items() if value is not None
    }
    text = written_file(_HEAD, answers)
    document, names = merge(tomllib.loads(text), read_settings(os.environ))
    config = decode(document, str(file), names)
    # The state directory is made before the configuration file, because an existing configuration file means that there
    # is a database.
    create_state_dir(Path(config.state_dir), config.encryption_key)
    made = list(issue(config, own_files(config.state_dir))) if given["encryption"] == "create" else []
    if config.tls:
        load_certificate(config.tls)
    _write(file, text)
    print_line(f"Wrote {file}.")
    for line in (*made, *_advice_on_encryption(config, given["encryption"])):
        hint(line)
    user = _service_user(Path(config.state_dir))
    for line in _next_steps(str(file), user, has_client=bool(given["client_secret_file"])):
        hint(line)


# A function that returns the value of an option, or asks a question if the option was not given.  The arguments are the
# option's name, the question, the type and the default.
_Ask = Callable[..., Any]


def _answers(given: dict[str, Any]) -> dict[str, Any]:
    """Return the values for the file by key; None stands for the default.

    The values are given as options, or are the answers to questions.
    """

    def ask(name: str, question: str, kind: Any = str, default: Any = None) -> Any:
        if given[name] is None:
            try:
                given[name] = click.prompt(question, type=kind, default=default, err=True)
            except click.Abort:
                if sys.stdin.isatty():
                    raise
                option = f"--{name.replace('_', '-')}"
                raise UserError(f"standard input has ended before this answer; give the answer as {option}") from None
        return given[name]

    def ask_leavers() -> str:
        if given["remove_leavers"] is None and not any(who.startswith("@") for who in given["allow"]):
            return ""  # only a company on Google Workspace has a directory, which shows who has left
        question = (
            "How long after people have left Google Workspace should their accounts and phones be removed? For example "
            "14d. Leave empty for never"
        )
        return str(ask("remove_leavers", question, setting_type(LeaverDelay), ""))

    mail, slug_type = setting_type(Mail), setting_type(Slug)
    admin = ask("admin", "What is the administrator's Google address? For example anna@acme.example", mail)
    local, _, domain = admin.partition("@")
    company = local if domain.lower() in _CONSUMERS else domain.partition(".")[0]
    slug = re.sub(r"[^a-z0-9]+", "-", company.lower()).strip("-") or "home"
    question = "What is a short name for your company? It is part of the page's address. For example acme"
    tenant = ask("tenant", question, slug_type, slug)
    allowed = admin if domain.lower() in _CONSUMERS else f"@{domain}"
    base = f"dc={tenant}" if allowed == admin else ",".join(f"dc={part}" for part in domain.lower().split("."))

    values = {
        "tenant.name": tenant,
        "tenant.admins": [admin],
        "tenant.title": ask("title", "What is your company's full name? For example Acme GmbH", str, company.title()),
        "tenant.base_dn": ask(
            "base_dn",
            "Which LDAP base DN should the phones search? For example dc=acme,dc=example",
            setting_type(BaseDn),
            base,
        ),
        "tenant.allowed_users": ask(
            "allow",
            "Who may connect? Addresses, a domain or everybody, for example @acme.example",
            _read_allowed,
            allowed,
        ),
        "tenant.remove_leavers": ask_leavers(),
        "tenant.region": ask(
            "region", "Which country are numbers without a country code in? For example DE", setting_type(Region), "DE"
        ),
        "web.public_url": _ask_page(
            given,
            ask,
            "http://localhost:8080"
            if allowed == admin
            else f"https://phonebook.{domain.lower()}{_port_to_show(given)}",
        ),
        "state_dir": ask(
            "state_dir", f"Where should the database and its key be stored? For example {STATE_DIR}", str, STATE_DIR
        ),
    }
    question = "Where is the JSON file of your Google OAuth client? Leave empty to enter the client on the web page"
    client = ask("client_secret_file", question, _read_client_file, "")
    _ask_encryption(given, ask)
    if given["encryption"] in _CERTIFICATES and values["web.public_url"].startswith("http:"):
        values["web.public_url"] = f"https:{values['web.public_url'].removeprefix('http:')}"
        hint(f"! web.public_url is {values['web.public_url']}, because the gateway serves the page by HTTPS")
    is_company = any(who.startswith("@") for who in values["tenant.allowed_users"])
    return {
        **values,
        **_encryption(given),
        "tenant.client_secret_file": client or None,
        "tenant.remove_leavers": values["tenant.remove_leavers"] or None,
        # A company on Google Workspace has a directory, which one person switches on for everybody.
        "tenant.sources": ["contacts", "directory"] if is_company else None,
        "new_store": False,
    }


def _port_to_show(given: Mapping[str, Any]) -> str:
    """Return the port for the proposed address of the web pages, as ":" and the number.

    :returns: the text; empty if the port is 443 or unknown, or if the gateway is behind a proxy.
    """
    is_behind_proxy = given["encryption"] not in (None, *_CERTIFICATES)
    return "" if is_behind_proxy or given["web_port"] in (None, 443) else f":{given['web_port']}"


def _ask_page(given: dict[str, Any], ask: _Ask, default: str) -> str:
    """Ask for the address of the page; if Google refuses the address, the person may keep or change the address."""
    question = "What is the address of the web page? For example https://phonebook.acme.example"
    is_asked = given["public_url"] is None
    while is_redirect_uri_refused(url := str(ask("public_url", question, _read_url, default))):
        hint(f"! web.public_url: {REFUSED_REDIRECT_URI}")
        if not is_asked or click.confirm("Should the page have this address nevertheless?", default=True, err=True):
            break
        given["public_url"] = None
    return url


def _ask_encryption(given: dict[str, Any], ask: _Ask) -> None:
    """Ask how connections are encrypted, and for the ports."""
    if given["encryption"] is None and given["public_url"].startswith("http:"):
        given["encryption"] = "none"  # an http URL has a loopback address, which needs no encryption
    ask("encryption", _ENCRYPTION_QUESTION, Choice(_ENCRYPTION), "create")
    if given["encryption"] == "files":
        ask("certificate", "Where is the certificate with its chain, a PEM file?", _read_file)
        ask("private_key", "Where is its private key, a PEM file?", _read_file)
    ask("web_port", "On which port should the page listen?", _PORT, _web_port(given))
    over_tls = f" LDAP over TLS gets this port plus {_LDAPS_DISTANCE}" if given["encryption"] in _CERTIFICATES else ""
    ask("ldap_port", f"On which port should LDAP listen?{over_tls}", _PORT, 389)


_ENCRYPTION_QUESTION = """\
How should the connections of phones and browsers be encrypted?
  files   with a certificate that you have, for example from Let's Encrypt
  create  with a certificate that is made here; phones and browsers have to be told to trust its authority
  proxy   a proxy in front of the gateway does it
  none    not at all, only for a test
Choose"""


def _web_port(given: Mapping[str, Any]) -> int:
    """Return the port in the page's address if the gateway itself serves this address, or else 8080."""
    parts = urlsplit(given["public_url"])
    if given["encryption"] in _CERTIFICATES:
        return parts.port or 443
    return (parts.port or 8080) if parts.scheme == "http" else 8080


def _plain_port(https: int) -> int:
    """Return the port for plain HTTP of a gateway that serves HTTPS.

    The port is the first usual port that no program uses, or the first usual port if programs use all of these ports.

    :param https: the port for HTTPS.
    """
    preferred = 80 if https == 443 else 8080
    ports: list[int] = [port for port in (preferred, *range(8080, 8090)) if port != https]
    return next(filter(_is_free, ports), ports[0])


def _is_free(port: int) -> bool:
    try:
        listening_socket(ListenAddress("", port, ipv6=False), ipv6_only=False).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def _encryption(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for the ports and the certificate."""
    web, ldap = f"tcp:{given['web_port']}", given["ldap_port"]
    if given["encryption"] not in _CERTIFICATES:
        return {"web.listen": [web], "ldap.listen": [f"tcp:{ldap}"]}
    made = own_files(given["state_dir"])
    is_made = given["encryption"] == "create"
    return {
        "tls.certificate": str(made.certificate) if is_made else given["certificate"],
        "tls.private_key": str(made.private_key) if is_made else given["private_key"],
        "ldap.listen": [f"tcp:{ldap}"],
        "ldap.listen_tls": [f"tcp:{ldap + _LDAPS_DISTANCE}"],
        "ldap.require_tls": True,
        # This port redirects browsers to HTTPS, and phones fetch the authority's certificate there.
        "web.listen": [f"tcp:{_plain_port(given['web_port'])}"],
        "web.listen_tls": [web],
    }


def _advice_on_encryption(config: Config, encryption: str) -> Iterator[str]:
    """Yield a line for each problem of the certificate, and for connections that are not encrypted."""
    for result in (*check_validity(config, now()), *check_page_port(config), *check_public_name(config)):
        if result.status is not CheckStatus.OK:
            yield f"! {result.line('')}"
    if config.tls and encryption == "files" and private_trust_anchor(config.tls):
        address = certificate_url(config, config.tenant[0].name)
        yield (
            "! tls.certificate: is from a private authority, or lacks the certificates between it and a public one: "
            f"complete the file, or let phones trust the authority, whose certificate is at {address}"
        )
    if config.ldap.require_tls:
        makes = sorted(
            vendor.title for vendor in all_vendors().values() if vendor.supported_security == (Security.PLAIN,)
        )
        yield (
            f"! Phones that know no TLS can't sign in ({', '.join(makes)}); if you have such phones, set "
            "ldap.require_tls = false."
        )
    if encryption == "proxy":
        yield "! The proxy has to encrypt phones' connections too, and not only the page's (docs/how-to/haproxy.rst)."
    if encryption == "none":
        yield "! Connections are not encrypted: phones' passwords and people's numbers cross the network in clear."


def _write(file: Path, text: str) -> None:
    """Write the file, readable for its owner and for the group of its folder, which can be the gateway's group."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(file) as new:
            new.write_text(text, encoding="utf-8")
            new.chmod(0o640)
            if os.geteuid() == 0:
                os.chown(new, -1, file.parent.stat().st_gid)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def _service_user(state_dir: Path) -> str:
    """Return the user of the service, if root sets up a gateway for another user; otherwise, return an empty text."""
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
        # The systemd unit reads only `CONFIG_FILE`, so the unit cannot start a gateway with another configuration file.
        start = "sudo systemctl start ldapgw" if file == CONFIG_FILE else f"{command} run"
    enter = [] if has_client else [f"  {command} admin-link    # opens the page that takes the OAuth client"]
    return ["Next:", f"  {command} check", f"  {start}", *enter]


def _read_host(text: str) -> str:
    """Read a host name or an IP address, in lower case."""
    name = text.strip().lower()
    with suppress(ValueError):
        return str(ipaddress.ip_address(name.strip("[]")))
    with suppress(UnicodeError):
        name = name.encode("idna").decode()
        if _HOST.fullmatch(name):
            return name
    raise click.BadParameter("expected a host name or an IP address, such as phonebook.acme.example")


@click.group()
def certificate() -> None:
    """Make a certificate and a private authority."""


@certificate.command(
    epilog=examples(
        "ldapgw certificate create",
        "ldapgw certificate create --name ldap.acme.example --name 192.0.2.10",
    )
)
@click.option(
    "--name",
    "names",
    multiple=True,
    type=_read_host,
    metavar="HOST",
    help="A further host name or IP address of the gateway, besides the host of public_url; can be given several "
    "times. Default: the names of the present certificate, or this machine's addresses and names.",
)
@pass_site
def create(site: Site, *, names: Sequence[str]) -> None:
    """Issue a certificate for the gateway; the first run also makes a private authority.

    The gateway renews the certificate by itself. Phones have to be told once to trust the authority.
    """
    config = site.config
    prepare_state_dir(site.state.path, create=site.state.may_be_created)
    files = own_files(config.state_dir)
    for line in issue(config, files, names):
        print_line(line)
    if config.tls is None or AuthorityFiles.of(config.tls) != files:
        hint(f"Next: in {site.file}, set")
        for line in ("[tls]", f'certificate = "{files.certificate}"', f'private_key = "{files.private_key}"'):
            hint(f"  {line}")


def issue(config: Config, files: AuthorityFiles, names: Sequence[str] = ()) -> Iterator[str]:
    """Issue a certificate, and yield lines that say what was made.

    :param names: host names and addresses besides the host of ``public_url``.  If `names` is empty, the new certificate
        keeps the names of the present certificate.  If there is no present certificate, this machine's addresses and
        names are used.
    :raises UserError: when a file cannot be read or written.
    """
    host = urlsplit(config.web.public_url).hostname or ""
    names = tuple(dict.fromkeys((host, *(names or _present_names(files) or _own_names()))))
    title = config.tenant[0].title or config.tenant[0].name
    is_new = create_certificate(files, names, title, now())
    if is_new:
        yield f"Made a private authority: {files.authority}, SHA-256 {fingerprint(files.authority)}"
    yield f"Issued a certificate for {', '.join(names)}: {files.certificate}"
    addresses = ", ".join(certificate_url(config, tenant.name) for tenant in config.tenant)
    yield f"Phones have to trust the authority, whose certificate is at {addresses}"


def _present_names(files: AuthorityFiles) -> Sequence[str]:
    try:
        return certificate_names(read_certificates(files.certificate.read_bytes())[0])
    except (OSError, ValueError):
        return ()


def _own_names() -> Iterator[str]:
    """Yield the addresses from which this machine reaches other machines, and the names of this machine."""
    for family, anywhere in _ANYWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            yield str(probe.getsockname()[0])
    yield from _LOOPBACK
    # If the host is "localhost", OpenLDAP's client checks whether the certificate is for the machine's own name.
    for name in (socket.gethostname(), socket.getfqdn()):
        if _HOST.fullmatch(name.lower()):
            yield name.lower()


def own_files(state_dir: str) -> AuthorityFiles:
    """Return the files of the authority in a state directory."""
    return AuthorityFiles.within(Path(state_dir) / FOLDER)

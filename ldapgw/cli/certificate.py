# SPDX-License-Identifier: MIT
"""``certificate``: makes a certificate for the gateway, signed by a private authority that the command makes too."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import click

from ldapgw.cli.output import hint, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, now, pass_site
from ldapgw.server.certificates import FOLDER, AuthorityFiles, create_certificate, fingerprint
from ldapgw.server.config import Config
from ldapgw.server.endpoints import certificate_url
from ldapgw.server.tls import certificate_names, read_certificates
from ldapgw.store.files import prepare_state_dir

_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
# A test on the gateway's own machine checks the certificate too.
_LOOPBACK = ("localhost", "127.0.0.1")
# Addresses of documentation, to which no packet is sent: connecting a datagram socket only chooses the own address.
_ANYWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


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
    """Issue a certificate for the gateway, and at first make a private authority.

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

    :param names: host names and addresses besides the host of ``public_url``; empty for the names of the present
        certificate, or else this machine's addresses and names.
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
    """Yield the addresses with which this machine reaches other machines, and its names for itself."""
    for family, anywhere in _ANYWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            yield str(probe.getsockname()[0])
    yield from _LOOPBACK
    # OpenLDAP's client takes "localhost" for the machine's own name, and checks the certificate for that name.
    for name in (socket.gethostname(), socket.getfqdn()):
        if _HOST.fullmatch(name.lower()):
            yield name.lower()


def own_files(state_dir: str) -> AuthorityFiles:
    """Return the files of the authority in a state directory."""
    return AuthorityFiles.within(Path(state_dir) / FOLDER)

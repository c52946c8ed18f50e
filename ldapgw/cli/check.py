# SPDX-License-Identifier: MIT
"""``check``: the configuration and everything that it points to, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import click

from ldapgw.cli import certificate, ports, state_dir
from ldapgw.cli.finding import CheckResult, CheckStatus
from ldapgw.cli.options import as_json, pass_site
from ldapgw.cli.output import print_json, print_line
from ldapgw.cli.site import Site, now
from ldapgw.errors import UserError
from ldapgw.server.config import Config, Tenant
from ldapgw.server.config.forms import is_loopback_url
from ldapgw.server.listener import ListenAddress
from ldapgw.server.state_dir import lock_holder_pid

_SIGNS = {CheckStatus.OK: "✓", CheckStatus.WARNING: "!", CheckStatus.FAILED: "✗"}


@click.command()
@as_json
@pass_site
def check(site: Site, *, as_json: bool) -> None:
    """Check the configuration and all that it points to, and change nothing.

    Prints the redirect URI and the JavaScript origin to register with Google.
    """
    findings = list(_findings(site))
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(site.config.web.public_url))
    if as_json:
        items = [{"item": one.item, "state": one.status.value, "message": one.message} for one in findings]
        print_json({"redirect_uri": site.config.redirect_uri, "origin": origin, "items": items})
    else:
        for one in findings:
            print_line(f"{_SIGNS[one.status]} {one.item}" + (f": {one.message}" if one.message else ""))
        print_line("")
        print_line("To register with Google (APIs & Services, Credentials, your OAuth client):")
        print_line(f"  Authorized redirect URI       {site.config.redirect_uri}")
        print_line(f"  Authorized JavaScript origin  {origin}")
    failed = sum(one.status is CheckStatus.FAILED for one in findings)
    if failed:
        raise UserError(f"check found {failed} problem{'' if failed == 1 else 's'}")


def _findings(site: Site) -> Iterator[CheckResult]:
    config = site.config
    gateway = lock_holder_pid(site.state_dir)
    yield CheckResult(CheckStatus.OK, f"configuration {site.file}")
    if gateway is not None:
        yield CheckResult(CheckStatus.OK, "gateway", f"is running (process {gateway})")
    yield from state_dir.check_state_dir(site)
    if config.tls:
        yield from certificate.check_certificate(config.tls, urlsplit(config.web.public_url).hostname or "", now())
    yield from ports.check_ports(_endpoints(config), gateway)
    yield from _encryption(config)
    for tenant in config.tenant:
        yield from _tenant(site, tenant)


def _endpoints(config: Config) -> Iterator[tuple[str, str]]:
    for setting, endpoints in (
        ("ldap.listen", config.ldap.listen),
        ("ldap.listen_tls", config.ldap.listen_tls),
        ("web.listen", config.web.listen),
    ):
        yield from ((setting, endpoint) for endpoint in endpoints)


def _encryption(config: Config) -> Iterator[CheckResult]:
    """Whether phones' passwords and people's names can be read on the way."""
    open_to_network = [
        endpoint
        for endpoint in config.ldap.listen
        if (at := ListenAddress.parse(endpoint)) and not _is_local(at.interface)
    ]
    if open_to_network and not config.tls:
        told = "phones' passwords and people's numbers cross the network unencrypted; set [tls]"
        yield CheckResult(CheckStatus.WARNING, "ldap.listen", told)
    elif open_to_network and not config.ldap.require_tls:
        told = "false, so phones that do not ask for TLS send their passwords unencrypted"
        yield CheckResult(CheckStatus.WARNING, "ldap.require_tls", told)
    if config.tls and config.tls.client_ca and config.ldap.listen and not config.ldap.require_tls:
        told = "phones that do not use TLS need no certificate; set ldap.require_tls, or no ldap.listen"
        yield CheckResult(CheckStatus.WARNING, "tls.client_ca", told)


def _is_local(interface: str) -> bool:
    return bool(interface) and is_loopback_url(f"//[{interface}]" if ":" in interface else f"//{interface}")


def _tenant(site: Site, tenant: Tenant) -> Iterator[CheckResult]:
    item = f"tenant {tenant.name}"
    warnings = []
    if not tenant.client_id and not state_dir.has_entered_client(site, tenant.name):
        warnings.append(
            "has no Google client yet: nobody can connect; enter it on the page that ldapgw admin-link opens, or set "
            "client_secret_file"
        )
    if not tenant.allowed_users and not tenant.admins:
        warnings.append("allowed_users and admins are empty: nobody is allowed to connect")
    if "*" in tenant.allowed_users:
        warnings.append('allowed_users holds "*": everybody with a Google account may connect')
    if any(network.prefixlen == 0 for network in tenant.anonymous_networks):
        warnings.append("anonymous_networks holds every address: whoever reaches the port reads the shared books")
    yield from (CheckResult(CheckStatus.WARNING, item, told) for told in warnings)
    if not warnings:
        yield CheckResult(CheckStatus.OK, item, f"{tenant.base_dn}, page {site.page(tenant.name)}")

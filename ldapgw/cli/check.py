# SPDX-License-Identifier: MIT
"""``check``: examines the configuration, the state directory, the certificates and the ports without changing them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import click

from ldapgw import is_compiled
from ldapgw.cli import certificate, state_dir
from ldapgw.cli.check_result import CheckResult, CheckStatus
from ldapgw.cli.google import google_clients, run_in_reactor
from ldapgw.cli.help import examples
from ldapgw.cli.output import print_json, print_line
from ldapgw.cli.ports import check_ports
from ldapgw.cli.secret_files import check_secret_files
from ldapgw.cli.site import Site, as_json, now, pass_site
from ldapgw.contact import Sharing, Source
from ldapgw.directory.book import DIRECTORY, OWN
from ldapgw.directory.dn import folded
from ldapgw.errors import UserError
from ldapgw.google.endpoints import Client, is_redirect_uri_refused
from ldapgw.google.people import CallEstimate
from ldapgw.server.config import Config, Tenant
from ldapgw.server.config.forms import is_loopback_url
from ldapgw.server.listener import ListenAddress
from ldapgw.server.oauth_clients import configured_clients
from ldapgw.server.state_dir import lock_holder_pid

REFUSED_REDIRECT_URI = (
    "Google refuses redirect URIs with private names or addresses; use a public name that resolves to the private "
    "address, http://localhost:8080 through an SSH tunnel, or ldapgw connect --paste (docs/how-to/google-console.rst)"
)

NOT_COMPILED = (
    "not compiled, which is enough for hundreds of phones; compiled, the gateway answers more searches per second "
    "(docs/how-to/install.rst, step 1)"
)

_SIGNS = {CheckStatus.OK: "✓", CheckStatus.WARNING: "!", CheckStatus.FAILED: "✗"}


@click.command(epilog=examples("ldapgw check", "ldapgw check --online"))
@click.option("--online", is_flag=True, help="Also reach Google, and try the OAuth clients.")
@click.option("--file-only", is_flag=True, help="Check the configuration file alone, as before a reload.")
@as_json
@pass_site
def check(site: Site, *, online: bool, file_only: bool, as_json: bool) -> None:
    """Check the configuration and everything it points to.

    Changes nothing. Prints the redirect URI and the JavaScript origin to register with Google.
    """
    if file_only:
        if online:
            raise click.UsageError("--file-only and --online exclude each other")
        site.config  # noqa: B018  raises the problems of the file
        if as_json:
            print_json({"items": [{"item": site.file, "state": CheckStatus.OK.value, "message": ""}]})
        else:
            print_line(_line(CheckResult(CheckStatus.OK, site.file, ""), site.file))
        return
    results = [*_results(site), *(_online(site) if online else ())]
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(site.config.web.public_url))
    if as_json:
        items = [{"item": result.item, "state": result.status.value, "message": result.message} for result in results]
        print_json({"redirect_uri": site.config.redirect_uri, "origin": origin, "items": items})
    else:
        for result in results:
            print_line(_line(result, site.file))
        print_line("")
        print_line("To register with Google (APIs & Services, Credentials, your OAuth client):")
        print_line(f"  Authorized redirect URI       {site.config.redirect_uri}")
        print_line(f"  Authorized JavaScript origin  {origin}")
    failed = sum(result.status is CheckStatus.FAILED for result in results)
    if failed:
        raise UserError(f"check found {failed} problem{'' if failed == 1 else 's'}", is_setting=True)


def _line(result: CheckResult, file: str) -> str:
    """A line of the report; one to read begins with the file where its item is a part of the configuration."""
    names_file = result.is_setting and result.status is not CheckStatus.OK
    item = f"{file}: {result.item}" if names_file else result.item
    return f"{_SIGNS[result.status]} {item}" + (f": {result.message}" if result.message else "")


def _results(site: Site) -> Iterator[CheckResult]:
    config = site.config
    gateway = lock_holder_pid(site.state_dir)
    if not is_compiled():
        yield CheckResult(CheckStatus.WARNING, "installation", NOT_COMPILED)
    yield from check_secret_files(site)
    if gateway is not None:
        yield CheckResult(CheckStatus.OK, "gateway", f"is running (process {gateway})")
    yield from state_dir.check_state_dir(site)
    if config.tls:
        yield from certificate.check_certificate(
            config.tls, site.state_dir, urlsplit(config.web.public_url).hostname or "", now()
        )
    for result in _settings(site, gateway):
        yield replace(result, is_setting=True)


def _settings(site: Site, gateway: int | None) -> Iterator[CheckResult]:
    config = site.config
    yield from _inspection(config)
    yield from _redirect_uri(config)
    yield from check_ports(config, gateway)
    yield from _encryption(config)
    yield from _metrics(config)
    yield from _calls(site)
    yield from _left_tenants(site)
    for tenant in config.tenant:
        yield from _tenant(site, tenant)


def _online(site: Site) -> list[CheckResult]:
    from ldapgw.cli.online import check_online

    try:
        google = google_clients(site.config)
    except UserError as error:
        return [CheckResult(CheckStatus.FAILED, "online", f"not tried: {error.problems[0]}")]
    known = {**state_dir.entered_clients(site), **configured_clients(site.config)}
    clients: dict[str, Client] = {
        tenant.name: known[tenant.name] for tenant in site.config.tenant if tenant.name in known
    }
    return run_in_reactor(lambda reactor: check_online(site.config, google, clients, reactor, now))


def _inspection(config: Config) -> Iterator[CheckResult]:
    """Check the authority of a proxy that inspects TLS, and say what it can do."""
    file = config.google.ca_file
    if file:
        yield certificate.check_authorities(file, now(), "of the authority of a proxy that inspects TLS")
        message = (
            f"whoever holds the key of this authority can read Google's tokens and contacts; people can connect only "
            f"if the proxy does not inspect {urlsplit(config.google.jwks_uri).hostname} (check --online tries it)"
        )
        yield CheckResult(CheckStatus.WARNING, "google.ca_file", message)


def _redirect_uri(config: Config) -> Iterator[CheckResult]:
    """Warn of a redirect URI that Google refuses; ``ldapgw connect`` works nevertheless."""
    if is_redirect_uri_refused(config.redirect_uri):
        yield CheckResult(CheckStatus.WARNING, "web.public_url", REFUSED_REDIRECT_URI)


def _metrics(config: Config) -> Iterator[CheckResult]:
    """Warn of a proxy whose own address may read ``/metrics``: a client that it does not name would look like it."""
    for proxies in config.web.trusted_proxies:
        for readers in config.web.metrics_networks:
            # As in the defaults: nothing but this machine.
            is_local = readers.is_loopback and proxies.is_loopback
            if proxies.version == readers.version and proxies.overlaps(readers) and not is_local:
                message = f"{readers} overlaps trusted_proxies {proxies}: the proxy can read the metrics for anybody"
                yield CheckResult(CheckStatus.WARNING, "web.metrics_networks", message)


def _left_tenants(site: Site) -> Iterator[CheckResult]:
    """Name tenants that have accounts and are not configured any more."""
    known = {tenant.name for tenant in site.config.tenant}
    for tenant, connected in state_dir.connected_accounts(site).items():
        if tenant not in known:
            count = len(connected)
            accounts = "1 account" if count == 1 else f"{count} accounts"
            message = (
                f"is not in the configuration, but has {accounts}, which stay stored and are neither synced nor served"
            )
            yield CheckResult(CheckStatus.WARNING, f"tenant {tenant}", message)


def _calls(site: Site) -> Iterator[CheckResult]:
    """Say how many calls the accounts of each Google project make; warn where these are more than are allowed."""
    config = site.config
    connected = {tenant: len(found) for tenant, found in state_dir.connected_accounts(site).items()}
    accounts: dict[str, int] = {}
    sources: dict[str, int] = {}
    for tenant in config.tenant:
        # A client that was entered on the page is taken for one of a project of its own.
        project = Client(tenant.client_id, "").project or f"of tenant {tenant.name}"
        accounts[project] = accounts.get(project, 0) + connected.get(tenant.name, 0)
        own_sources = len([source for source in tenant.sources if source is not Source.DIRECTORY])
        sources[project] = max(sources.get(project, 1), own_sources)
    for project, count in accounts.items():
        estimate = CallEstimate(count, sources[project], config.sync.interval, config.google.max_calls_per_minute)
        if not count or estimate.limit is None:
            continue
        message = (
            f"Google project {project}: {count} account{'' if count == 1 else 's'} × {estimate.sources} "
            f"call{'' if estimate.sources == 1 else 's'} every {config.sync.interval} make "
            f"{estimate.calls_per_minute:.1f} calls a minute, of {estimate.limit}"
        )
        if estimate.fitting_interval is None:
            yield CheckResult(CheckStatus.OK, "google.calls_per_minute", message)
        else:
            fitting = f'{message}; set sync.interval = "{estimate.fitting_interval}m" or longer'
            yield CheckResult(CheckStatus.WARNING, "google.calls_per_minute", fitting)


def _encryption(config: Config) -> Iterator[CheckResult]:
    """Warn when passwords of phones and names of people cross the network unencrypted."""
    open_to_network = [
        endpoint
        for endpoint in config.ldap.listen
        if (address := ListenAddress.parse(endpoint)) and not _is_local(address.interface)
    ]
    if open_to_network and not config.tls:
        message = "phones' passwords and people's numbers cross the network unencrypted; set [tls]"
        yield CheckResult(CheckStatus.WARNING, "ldap.listen", message)
    elif open_to_network and not config.ldap.require_tls:
        message = "false, so phones that do not ask for TLS send their passwords unencrypted"
        yield CheckResult(CheckStatus.WARNING, "ldap.require_tls", message)
    if config.tls and config.tls.client_ca and config.ldap.listen and not config.ldap.require_tls:
        message = "phones that do not use TLS need no certificate; set ldap.require_tls, or no ldap.listen"
        yield CheckResult(CheckStatus.WARNING, "tls.client_ca", message)


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
        warnings.append(
            "anonymous_networks contains every address: anyone who can reach the port can read the shared books "
            "and the Workspace directory"
        )
    warnings += _unknown_names(site, tenant)
    yield from (CheckResult(CheckStatus.WARNING, item, warning) for warning in warnings)
    if not warnings:
        yield CheckResult(CheckStatus.OK, item, f"{tenant.base_dn}, page {site.page(tenant.name)}")


def _unknown_names(site: Site, tenant: Tenant) -> Iterator[str]:
    """Name accounts, groups and labels that do not exist; none before an account is connected."""
    connected = state_dir.connected_accounts(site).get(tenant.name)
    if connected is not None:
        addresses = {folded(address) for address, _ in connected}
        named = [("book_order", tenant.book_order), *((f"group {group}", names) for group, names in tenant.group)]
        for key, names in named:
            for name in names:
                if folded(name) not in {OWN, DIRECTORY, *addresses}:
                    yield f"{key}: there is no connected account {name}"
        yield from _left_groups(tenant, connected)
    known_labels = state_dir.label_names(site).get(tenant.name)
    if known_labels is not None:
        for key, labels in (
            ("labels", tenant.labels),
            ("exclude_labels", tenant.exclude_labels),
            ("block_label", tuple(filter(None, [tenant.block_label]))),
        ):
            for label in labels:
                if label.casefold() not in known_labels:
                    yield (
                        f"{key}: no account has the label '{label}' in Google Contacts; correct the setting, or create "
                        "the label"
                    )


def _left_groups(tenant: Tenant, connected: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Name accounts that are shared with a group that is not configured any more.

    :param connected: address and sharing of each account.
    """
    groups = dict(tenant.group)
    for address, sharing in connected:
        group = Sharing(sharing).group
        if group and group not in groups:
            yield (
                f"the contacts of {address} are shared with the group {group}, which is not in [[tenant.group]]: only "
                "the account's own phones find them; add the group, or choose another sharing with ldapgw share"
            )

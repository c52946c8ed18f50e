# SPDX-License-Identifier: MIT
"""``check``: examines the configuration, the state directory, the certificates and the ports without changing them."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, product
from pathlib import Path
from urllib.parse import urlsplit

import click
from cryptography import x509
from sqlalchemy import make_url

from ldapgw import is_compiled
from ldapgw.cli.check_connections import check_answers, check_online
from ldapgw.cli.output import counted, print_json, print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, as_json, google_clients, now, pass_site, run_in_reactor
from ldapgw.contact import Sharing, Source
from ldapgw.directory.book import DIRECTORY, OWN
from ldapgw.directory.clients import is_in_local_network
from ldapgw.directory.dn import folded
from ldapgw.errors import UserError
from ldapgw.files.reading import MOST_LINES, FileReport
from ldapgw.google.endpoints import Client, is_redirect_uri_refused
from ldapgw.google.people import CallEstimate
from ldapgw.server import preflight
from ldapgw.server.certificates import AuthorityFiles
from ldapgw.server.check_result import Check, CheckResult, CheckStatus, Moment, Subject
from ldapgw.server.config import Config, Tenant, read_settings
from ldapgw.server.endpoints import ListenAddress
from ldapgw.server.state_dir import lock_holder_pid
from ldapgw.server.tls import WARN_DAYS, ValidityPeriod, certificate_names, read_certificates
from ldapgw.sync.book_builder import examine

REFUSED_REDIRECT_URI = (
    "Google refuses redirect URIs with private names or addresses; use a public name that resolves to the private "
    "address, http://localhost:8080 through an SSH tunnel, or ldapgw connect --paste (docs/how-to/google-console.rst)"
)

NOT_COMPILED = (
    "the modules are not compiled: this gateway serves hundreds of phones, and a compiled gateway serves more "
    "(docs/how-to/install-other.rst)"
)

# The maximum number of ignored columns that the check of a file names.
_MOST_COLUMNS = 12

_SIGNS = {CheckStatus.OK: "✓", CheckStatus.WARNING: "!", CheckStatus.FAILED: "✗"}


@click.command(epilog=examples("ldapgw check", "ldapgw check --online"))
@click.option("--online", is_flag=True, help="Also reach Google, and try the OAuth clients and service accounts.")
@click.option("--file-only", is_flag=True, help="Check only the configuration file, as before a reload.")
@as_json
@pass_site
def check(site: Site, *, online: bool, file_only: bool, as_json: bool) -> None:
    """Check the configuration and everything it points to.

    The command changes nothing. It prints the redirect URI and the JavaScript origin to register with Google.
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
    subject = Subject(Moment.CHECK, site.config, gateway=lock_holder_pid(site.state.path), now=now())
    results = [*preflight.run(subject, _checks(site.file))]
    if online:
        results += [*check_public_name(subject.config), *_online(subject)]
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(site.config.web.public_url))
    if as_json:
        items = [{"item": result.item, "state": result.status.value, "message": result.message} for result in results]
        print_json({"redirect_uri": site.config.redirect_uri, "origin": origin, "items": items})
    else:
        for line in chain.from_iterable(_line(result, site.file).splitlines() for result in results):
            print_line(line)
        print_line("")
        print_line("To register with Google (Google Auth Platform, Clients):")
        print_line(f"  Authorized redirect URI       {site.config.redirect_uri}")
        print_line(f"  Authorized JavaScript origin  {origin}")
    failed = sum(result.status is CheckStatus.FAILED for result in results)
    if failed:
        raise UserError(f"check found {counted(failed, 'problem')}", is_setting=True)


def _line(result: CheckResult, file: str) -> str:
    return f"{_SIGNS[result.status]} {result.line(file)}"


def _warning(setting: str, message: str) -> CheckResult:
    return CheckResult(CheckStatus.WARNING, setting, message, is_setting=True)


def _checks(file: str) -> tuple[Check, ...]:
    """Return the checks that only ``check`` runs; the command runs the checks of `ldapgw.server.preflight` first.

    :param file: the configuration file.
    """
    finders: tuple[Callable[[Subject], Iterable[CheckResult]], ...] = (
        check_answers,
        lambda subject: check_validity(subject.config, subject.now),
        lambda subject: check_page_port(subject.config),
        lambda subject: _secret_files(subject, Path(file)),
        _installation,
        _inspection,
        _redirect_uri,
        _encryption,
        _networks_with_proxies,
        _calls,
        _left_tenants,
        lambda subject: chain.from_iterable(_tenant(subject, tenant) for tenant in subject.config.tenant),
        lambda subject: chain.from_iterable(map(_check_files, subject.config.tenant)),
    )
    return tuple(Check(frozenset({Moment.CHECK}), find) for find in finders)


def _installation(_subject: Subject) -> Iterator[CheckResult]:
    if not is_compiled():
        yield CheckResult(CheckStatus.WARNING, "installation", NOT_COMPILED)


def _online(subject: Subject) -> Iterable[CheckResult]:
    from ldapgw.server.google import configured_delegations

    config = subject.config
    try:
        google = google_clients(config)
    except UserError as error:
        return [CheckResult(CheckStatus.FAILED, "online", f"not tried: {error.problems[0]}")]
    known = {**preflight.entered_clients(subject), **config.clients}
    clients: dict[str, Client] = {tenant.name: known[tenant.name] for tenant in config.tenant if tenant.name in known}
    delegations = {**preflight.entered_delegations(subject), **configured_delegations(config.tenant)}
    return run_in_reactor(lambda reactor: check_online(config, google, clients, delegations, reactor, now))


def check_public_name(config: Config) -> Iterator[CheckResult]:
    """Warn if this machine finds no address for the host name by which phones reach the gateway."""
    host = urlsplit(config.web.public_url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        message = (
            f"this machine finds no address of {host} ({error.strerror}); enter the name in the DNS server that the "
            "phones ask, with the gateway's address; for a test from only this machine, add the line "
            f"127.0.0.1 {host} to /etc/hosts"
        )
        yield _warning("web.public_url", message)


def _inspection(subject: Subject) -> Iterator[CheckResult]:
    """Warn of the data that a proxy can read if the proxy inspects TLS with the authority in ``google.ca_file``."""
    config = subject.config
    if config.google.ca_file:
        message = (
            f"whoever holds the key of this authority can read Google's tokens and contacts; people can connect only "
            f"if the proxy does not inspect {urlsplit(config.google.jwks_uri).hostname} (check --online tries it)"
        )
        yield _warning("google.ca_file", message)


def _redirect_uri(subject: Subject) -> Iterator[CheckResult]:
    """Warn of a redirect URI that Google refuses; ``ldapgw connect`` uses another redirect URI."""
    if is_redirect_uri_refused(subject.config.redirect_uri):
        yield _warning("web.public_url", REFUSED_REDIRECT_URI)


def _networks_with_proxies(subject: Subject) -> Iterator[CheckResult]:
    """Warn if a network that may read ``/metrics`` or fetch the settings of phones contains a proxy.

    If the proxy does not pass the client's address on, the gateway uses the proxy's own address.  Anybody could then
    get the data through the proxy.
    """
    config = subject.config
    lists = [("web.metrics_networks", config.web.metrics_networks, "anybody may read the metrics through the proxy")]
    for tenant in config.tenant:
        message = "in a provisioning window, anybody may fetch the settings of phones through the proxy"
        lists.append((f"tenant.{tenant.name}.provisioning_networks", tenant.provisioning_networks, message))
    for setting, networks, message in lists:
        for proxies, allowed in product((*config.web.trusted_proxies, *config.web.proxy_protocol), networks):
            # The default values of trusted_proxies and metrics_networks overlap too, which is no fault, because both
            # values allow only this machine.
            is_local = allowed.is_loopback and proxies.is_loopback
            if proxies.version == allowed.version and proxies.overlaps(allowed) and not is_local:
                yield _warning(setting, f"{allowed} overlaps the proxies {proxies}: {message}")


def _left_tenants(subject: Subject) -> Iterator[CheckResult]:
    """Warn of tenants that have accounts and are no longer in the configuration."""
    known = {tenant.name for tenant in subject.config.tenant}
    for tenant, connected in preflight.connected_accounts(subject).items():
        if tenant not in known:
            accounts = counted(len(connected), "account")
            message = (
                f"is not in the configuration, but has {accounts}, which stay stored and are neither synced nor served"
            )
            yield _warning(f"tenant {tenant}", message)


def _calls(subject: Subject) -> Iterator[CheckResult]:
    """Report how many calls a minute the accounts of each Google project make; warn if the limit allows fewer calls."""
    config = subject.config
    connected = {tenant: len(found) for tenant, found in preflight.connected_accounts(subject).items()}
    accounts: dict[str, int] = {}
    sources: dict[str, int] = {}
    for tenant in config.tenant:
        # A client that was entered on the page is assumed to be the only client of its project.
        project = Client(tenant.client_id, "").project or f"of tenant {tenant.name}"
        accounts[project] = accounts.get(project, 0) + connected.get(tenant.name, 0)
        own_sources = len([source for source in tenant.sources if source is not Source.DIRECTORY])
        sources[project] = max(sources.get(project, 1), own_sources)
    for project, count in accounts.items():
        estimate = CallEstimate(count, sources[project], config.sync.interval, config.google.max_calls_per_minute)
        if not count or estimate.limit is None:
            continue
        message = (
            f"Google project {project}: {counted(count, 'account')} × {counted(estimate.sources, 'call')} every "
            f"{config.sync.interval} make {estimate.calls_per_minute:.1f} of at most {estimate.limit} calls a minute"
        )
        if estimate.fitting_interval is None:
            yield CheckResult(CheckStatus.OK, "google.calls_per_minute", message, is_setting=True)
        else:
            fitting = f'{message}; set sync.interval = "{estimate.fitting_interval}m" or longer'
            yield _warning("google.calls_per_minute", fitting)


def _encryption(subject: Subject) -> Iterator[CheckResult]:
    """Warn when phones' passwords and people's names and numbers cross the network unencrypted."""
    config = subject.config
    open_to_network = [
        endpoint
        for endpoint in config.ldap.listen
        if (address := ListenAddress.parse(endpoint)) and not address.is_loopback
    ]
    if open_to_network and not config.tls:
        message = "phones' passwords and people's numbers cross the network unencrypted; set [tls]"
        yield _warning("ldap.listen", message)
    elif open_to_network and not config.ldap.require_tls:
        message = "false, so phones that do not ask for TLS send their passwords unencrypted"
        yield _warning("ldap.require_tls", message)
    yield from _logins_in_clear(subject)
    if config.tls and config.tls.client_ca and config.ldap.listen and not config.ldap.require_tls:
        message = "phones that do not use TLS need no certificate; set ldap.require_tls, or no ldap.listen"
        yield _warning("tls.client_ca", message)


def _logins_in_clear(subject: Subject) -> Iterator[CheckResult]:
    """Warn when phones have sent their passwords without TLS from public addresses.

    Behind a proxy that ends TLS, the gateway does not know whether a phone uses TLS.
    """
    if subject.config.ldap.proxy_protocol:
        return
    found = preflight.rows(
        subject,
        "SELECT name, last_address FROM phone WHERE NOT last_over_tls AND last_address IS NOT NULL ORDER BY name",
    )
    names = [name for name, address in found if not is_in_local_network(address)]
    if names:
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        first = (
            ""
            if subject.config.ldap.require_tls
            else "set ldap.require_tls = true, or block the LDAP port for the internet; "
        )
        message = (
            f"{counted(len(names), 'phone')} ({shown}) sent the password without TLS from a public address; {first}"
            "give these phones new passwords"
        )
        yield _warning("ldap.listen", message)


def _tenant(subject: Subject, tenant: Tenant) -> Iterator[CheckResult]:
    item = f"tenant {tenant.name}"
    warnings = []
    if not tenant.client_id and not preflight.has_entered_client(subject, tenant.name):
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
    if any(network.prefixlen == 0 for network in tenant.provisioning_networks):
        warnings.append(
            "provisioning_networks contains every address: in a provisioning window, anyone who learns the address and "
            "a phone's MAC address can fetch the phone's settings"
        )
    has_google_group = any(group.google_group for group in tenant.group)
    if has_google_group and not tenant.delegation and not preflight.has_entered_delegation(subject, tenant.name):
        warnings.append(
            "google_group needs a service account, which reads the members of the group: set [[tenant.delegation]], or "
            "enter the service account on the page Google"
        )
    warnings += _unknown_names(subject, tenant)
    yield from (_warning(item, warning) for warning in warnings)
    if not warnings:
        page = f"{subject.config.web.public_url}/{tenant.name}/"
        yield CheckResult(CheckStatus.OK, item, f"{tenant.base_dn}, page {page}", is_setting=True)


def _unknown_names(subject: Subject, tenant: Tenant) -> Iterator[str]:
    """Yield a warning for each account, group and label in the settings that does not exist.

    Yield nothing before an account is connected, because nothing is known about accounts and labels then.
    """
    connected = preflight.connected_accounts(subject).get(tenant.name)
    if connected is not None:
        addresses, files = {folded(address) for address, _ in connected}, {file.name for file in tenant.file}
        named = [
            ("book_order", tenant.book_order),
            *((f"group {group.name}", group.accounts) for group in tenant.group),
        ]
        for key, names in named:
            for name in names:
                if folded(name) not in {OWN, DIRECTORY, *files, *addresses}:
                    yield f"{key}: there is no connected account {name}"
        yield from _left_groups(tenant, connected)
    known_labels = preflight.label_names(subject).get(tenant.name)
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
    """Yield a warning for each account that is shared with a group that is no longer in the configuration.

    :param connected: the address of each account, and how the account is shared (a value of `Sharing`).
    """
    groups = {group.name for group in tenant.group}
    for address, sharing in connected:
        group = Sharing(sharing).group
        if group and group not in groups:
            yield (
                f"the contacts of {address} are shared with the group {group}, which is not in [[tenant.group]]: only "
                "the account's own phones find them; add the group, or choose another sharing with ldapgw share"
            )


def check_validity(config: Config, now: float) -> Iterator[CheckResult]:
    """Check the expiry of the certificates, and the host names of the gateway's certificate.

    :param now: seconds since the epoch.
    """
    tls = config.tls
    files = {
        "tls.certificate": tls.certificate if tls else None,
        "tls.client_ca": tls.client_ca if tls else None,
        "google.ca_file": config.google.ca_file,
    }
    for key, file in files.items():
        try:
            certificates = read_certificates(Path(file).read_bytes()) if file else ()
        except (OSError, ValueError):
            continue  # `ldapgw.server.preflight` reports a file that cannot be read
        if certificates:
            item = f"{key} = {file}"
            yield CheckResult(*_lifetime(certificates, now, item), is_setting=True)
            if key == "tls.certificate" and (problem := _host_problem(certificates[0], config.web.public_url)):
                yield _warning(item, problem)


def check_page_port(config: Config) -> Iterator[CheckResult]:
    """Warn when the page's address has a port on which the gateway does not serve HTTPS."""
    served = [address.port for address in map(ListenAddress.parse, config.web.listen_tls) if address and address.port]
    meant = urlsplit(config.web.public_url).port or 443
    if served and meant not in served:
        message = (
            f"means port {meant}, but web.listen_tls has port {served[0]}; write :{served[0]} after the host, unless "
            f"port {meant} is passed on to the gateway"
        )
        yield _warning("web.public_url", message)


def _lifetime(certificates: Sequence[x509.Certificate], now: float, item: str) -> tuple[CheckStatus, str, str]:
    """Check the dates of a certificate chain, which is valid until the first of its certificates expires."""
    validity = ValidityPeriod.of(certificates)
    days, end = validity.days_left(now), f"{validity.not_after:%Y-%m-%d}"
    if days < 0:
        return CheckStatus.FAILED, item, f"has expired on {end}; renew it"
    if now < validity.not_before.timestamp():
        return CheckStatus.FAILED, item, f"is valid from {validity.not_before:%Y-%m-%d} on; check the machine's clock"
    if days < WARN_DAYS[0]:
        return CheckStatus.WARNING, item, f"expires on {end}, in {days} days; renew it"
    return CheckStatus.OK, item, f"valid until {end}"


def _host_problem(certificate: x509.Certificate, public_url: str) -> str:
    """Return the reason why phones that verify host names will refuse a certificate; empty if there is no reason.

    A wildcard stands for one whole label (RFC 6125 6.4).
    """
    known = certificate_names(certificate)
    if not known:
        return "names no host (subjectAltName); phones that verify the host name will refuse it"
    host = urlsplit(public_url).hostname or ""
    if host in known or "*." + host.partition(".")[2] in known:
        return ""
    return f"is for {', '.join(known)}, not for {host}; phones that verify the host name will refuse it"


def _secret_files(subject: Subject, file: Path) -> Iterator[CheckResult]:
    """Check the configuration file and the environment, and the files with secrets that the settings name.

    `ldapgw.server.preflight` checks the key files of the state directory together with their content.

    :param file: the configuration file.
    """
    config, settings = subject.config, read_settings(os.environ)
    if file.exists():
        item = f"configuration {file}"
        secrets = _secrets_in_file(config, {setting.path for setting in settings})
        problem = _readable_for_others(file, subject.state_dir.path) if secrets else ""
        if problem:
            yield CheckResult(CheckStatus.WARNING, item, f"has a {' and a '.join(secrets)}, and {problem}")
        else:
            yield CheckResult(CheckStatus.OK, item)
    if settings:
        names = ", ".join(setting.name for setting in settings)
        yield CheckResult(CheckStatus.OK, "environment", f"sets {names}")
    named = (
        config.database_password_file,
        *(tenant.client_secret_file for tenant in config.tenant),
        *(delegation.key_file for tenant in config.tenant for delegation in tenant.delegation),
    )
    authority = AuthorityFiles.of(config.tls) if config.tls else None
    own = (authority.authority_key,) if authority and authority.authority_key.exists() else ()
    by_variables = (setting.file for setting in settings if setting.is_secret and setting.file)
    for secret in (*(Path(name) for name in named if name), *own, *by_variables):
        if problem := _readable_for_others(secret, subject.state_dir.path):
            yield CheckResult(CheckStatus.WARNING, f"secret {secret}", problem)
    if config.tls and (problem := _readable_for_others(Path(config.tls.private_key), subject.state_dir.path)):
        item = f"tls.private_key = {config.tls.private_key}"
        yield _warning(item, problem)


def _readable_for_others(file: Path, state_dir: Path) -> str:
    """Return a text that says who else can use a secret file, and what to do; empty if nobody else can.

    The file's owner, the groups of the gateway's user and the group of root may read the file.  The gateway's user is
    the owner of the state directory.
    """
    try:
        status = file.stat()
    except OSError:
        return ""
    if status.st_mode & 0o007:
        return f"everybody can read it; run: chmod o= {file}"
    if status.st_mode & 0o070 and status.st_gid not in _groups_of_owner(state_dir if state_dir.exists() else file):
        return f"the group {_group_name(status.st_gid)} can read it; run: chmod g= {file}"
    return ""


def _secrets_in_file(config: Config, elsewhere: Collection[tuple[str, ...]]) -> list[str]:
    """Return the kinds of secrets that are in the configuration file itself.

    :param elsewhere: the paths of the settings that come from the environment.
    """
    has_client_secret = any(
        ("tenant", tenant.name.replace("-", "_"), "client_secret") not in elsewhere
        for tenant in config.tenant
        if tenant.client_secret and not tenant.client_secret_file
    )
    has_password = ("database",) not in elsewhere and not config.database_password_file
    proxy = config.google.configured_proxy if ("google", "proxy") not in elsewhere else None
    found = {
        "client_secret": has_client_secret,
        "password of the database": has_password and bool(make_url(config.database or "sqlite://").password),
        "password of a proxy": proxy is not None and bool(proxy.authorization),
        "key": bool(config.encryption_key) and ("encryption_key",) not in elsewhere,
    }
    return [kind for kind, is_there in found.items() if is_there]


def _groups_of_owner(path: Path) -> Collection[int]:
    status = path.stat()
    try:
        user = pwd.getpwuid(status.st_uid)
    except KeyError:  # the user of a container may have no name
        return {0, status.st_gid}
    return {0, *os.getgrouplist(user.pw_name, user.pw_gid)}


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _check_files(tenant: Tenant) -> Iterator[CheckResult]:
    """Read the files of a tenant, and name each line that has a problem."""
    for file in tenant.file:
        report = examine(Path(file.path), tenant.region)
        item = f"tenant {tenant.name}: file {file.name} = {file.path}"
        if report.is_good:
            yield CheckResult(CheckStatus.OK, item, _contents(report), is_setting=True)
            continue
        for problem in report.problems[:MOST_LINES]:
            place = f"{item}: line {problem.line}" if problem.line else item
            yield CheckResult(CheckStatus.FAILED, place, str(problem.reason), is_setting=True)
        if report.problem_count > MOST_LINES:
            more = report.problem_count - MOST_LINES
            message = f"{more} more line{' has' if more == 1 else 's have'} a problem"
            yield CheckResult(CheckStatus.FAILED, item, message, is_setting=True)


def _contents(report: FileReport) -> str:
    contacts = counted(report.contacts, "contact")
    if not report.ignored:
        return contacts
    names = ", ".join(map(str, report.ignored[:_MOST_COLUMNS])) + (", …" if report.ignored[_MOST_COLUMNS:] else "")
    return f"{contacts}; ignored columns: {names}"

# SPDX-License-Identifier: MIT
"""Replicas of the directory: the command ``replica-config``, and the part of ``phones`` that is about replicas."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TextIO

import click
from sqlalchemy import Connection

from ldapgw.cli.output import (
    NEVER,
    hint,
    local_time,
    print_json,
    print_line,
    print_table,
    print_then_commit,
    write_target,
)
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, act, find_replica, first_line, now, only_tenant, pass_site, password_option
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import replica_dn
from ldapgw.directory.passwords import make_password
from ldapgw.errors import UserError
from ldapgw.phones.provisioning.settings import LdapEndpoint, Security, choose_endpoint
from ldapgw.server.config import Tenant
from ldapgw.server.endpoints import phone_server
from ldapgw.store import activity
from ldapgw.store import phones as stored
from ldapgw.store.account_status import timestamp
from ldapgw.store.activity import Act
from ldapgw.store.phones import NumberMode, PhoneLogin, ReplicaBooks

# The file with the system's authorities on Debian and Ubuntu.
_SYSTEM_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
# The kinds of connection with TLS that a replica can make, the best kind first.
_SECURE = (Security.LDAPS, Security.STARTTLS)

_BOOKS = {False: "shared books, and the directory of Google Workspace", True: "all books, private ones too"}


def add_replica(site: Site, name: str, tenant: str | None, *, private: bool, extra_values: bool, as_json: bool) -> None:
    """Add the login of a replica, and print the login; the password is shown only once."""
    chosen = site.tenant(tenant)
    password, hashed = make_password(os.urandom)
    content = ReplicaBooks.of(private=private, extra_values=extra_values)
    login = PhoneLogin(name, chosen.name, None, NumberMode.VALUES, hashed, now(), replica=content)
    entry = act(chosen.name, Act.REPLICA_ADDED, name, "private" if private else "shared")

    def change(connection: Connection) -> None:
        if not activity.recorded(connection, entry, stored.add, login):
            raise UserError(
                f"a phone or replica named {name} already exists; names are unique on a gateway, regardless of upper "
                "and lower case"
            )

    with site.create_store() as database:
        print_then_commit(database, change, lambda _: print_replica(site, login, password, as_json=as_json))


def print_replica(site: Site, login: PhoneLogin, password: str, *, as_json: bool) -> None:
    """Print the login of a replica with its password."""
    tenant = site.tenant(login.tenant)
    values = {**replica_json(tenant, login), "password": password, "base_dn": tenant.base_dn}
    if as_json:
        print_json(values)
        return
    for label, value in (
        ("replica", login.name),
        ("holds", _BOOKS[is_private(login)]),
        ("user name", values["bind_dn"]),
        ("password", f"{password}  (shown only once)"),
        ("base DN", tenant.base_dn),
    ):
        print_line(f"{label:<18} {value}")
    several = f" --tenant {tenant.name}" if len(site.config.tenant) > 1 else ""
    hint(f"Next: ldapgw replica-config {login.name}{several} prints the configuration of OpenLDAP.")
    if is_private(login):
        hint("! From now on, each person's page says that this replica may copy all contacts, including private ones.")


def is_private(login: PhoneLogin) -> bool:
    """Return whether a replica holds private books."""
    return login.replica is not None and login.replica.private


def replica_json(tenant: Tenant | None, login: PhoneLogin) -> dict[str, Any]:
    """Return the JSON object of a replica."""
    return {
        "name": login.name,
        "tenant": login.tenant,
        "replica": "private" if is_private(login) else "shared",
        "extra_values": login.replica is not None and login.replica.extra_values,
        "bind_dn": str(replica_dn(login.name, Dn.parse(tenant.base_dn))) if tenant else None,
        "created": timestamp(login.created_at),
        "last_seen": timestamp(login.last_seen),
        "last_address": login.last_address,
    }


def print_replicas(logins: Sequence[PhoneLogin]) -> None:
    """Print the table of replicas."""
    rows = (
        (
            login.name,
            login.tenant,
            "private" if is_private(login) else "shared",
            login.last_address or NEVER,
            local_time(login.last_seen, now()),
        )
        for login in logins
    )
    print_table(("Replica", "tenant", "books", "from", "last seen"), rows, keep=("Replica",))


@click.command(
    epilog=examples(
        "ldapgw replica-config branch1 --password-file branch1.password --output slapd.conf",
        "ldapgw replica-config branch1 --ldif --ca-file /etc/ldap/acme-ca.pem",
        "ldapgw replica-config branch1 --pass-through",
    )
)
@click.argument("name")
@only_tenant
@password_option
@click.option(
    "--output", "-o", "target", metavar="FILE", default="-", help="Write to FILE; - stands for standard output."
)
@click.option("--ldif", is_flag=True, help="Print entries for cn=config instead of slapd.conf.")
@click.option(
    "--pass-through", is_flag=True, help="Have the gateway check the phones' passwords; no hashes leave the gateway."
)
@click.option(
    "--ca-file",
    metavar="FILE",
    default=_SYSTEM_CA_FILE,
    show_default=True,
    help="The file on the replica's server with the authorities that OpenLDAP trusts.",
)
@pass_site
def replica_config(
    site: Site,
    name: str,
    tenant: str | None,
    *,
    password_file: TextIO | None,
    target: str,
    ldif: bool,
    pass_through: bool,
    ca_file: str,
) -> None:
    """Print an OpenLDAP configuration for the replica NAME.

    The gateway doesn't know the password. Without --password-file, the configuration has the word PASSWORD in place of
    the password.
    """
    # The package is imported here, because the commands for phones import this module and do not need the package.
    from ldapgw.ldap.replication.slapd import Replica, config_ldif, slapd_conf

    password = first_line(password_file)
    if password == "":
        raise UserError("--password-file: the first line is empty; it must be the replica's password")
    with site.open_store() as database, database.begin() as connection:
        login = find_replica(connection, name)
    if login is None or (tenant is not None and login.tenant != site.tenant(tenant).name):
        raise UserError(f"there is no replica named {name}; add one with: ldapgw phones add --replica {name}")
    served = site.tenant(login.tenant)
    endpoint = _endpoint(site)
    replica = Replica(
        title=served.title or served.name,
        base=served.base_dn,
        provider=endpoint.url,
        start_tls=endpoint.security is Security.STARTTLS,
        ca_file=ca_file,
        bind_dn=str(replica_dn(login.name, Dn.parse(served.base_dn))),
        password="PASSWORD" if password is None else password,
        private=is_private(login),
        pass_through=pass_through,
        size_limit=site.config.ldap.size_limit,
        open_to=served.anonymous_networks,
    )
    write_target(target, (config_ldif if ldif else slapd_conf)(replica).encode())


def _endpoint(site: Site) -> LdapEndpoint:
    """Return the endpoint at which a replica reaches the gateway.

    :raises UserError: without TLS, unless the replica is on this machine.
    """
    server = phone_server(site.config)
    endpoint = choose_endpoint(server, (*_SECURE, Security.PLAIN) if server.is_loopback else _SECURE)
    if endpoint is None:
        raise UserError("a replica on another machine needs TLS: set [tls] and ldap.listen_tls", is_setting=True)
    return endpoint

# SPDX-License-Identifier: MIT
"""The configuration of OpenLDAP as text; tests/journeys/test_replica.py has OpenLDAP read it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from ldapgw.ldap.replication.slapd import Replica, config_ldif, slapd_conf

BASE = "dc=acme,dc=example"
REPLICA = Replica(
    title="Acme",
    base=BASE,
    provider="ldaps://gw.acme.example",
    start_tls=False,
    ca_file="/etc/ssl/ca.pem",
    bind_dn=f"cn=branch,ou=replicas,{BASE}",
    password="hush",
    private=False,
    pass_through=False,
    size_limit=500,
)
TRUST = ("tls_reqcert=demand", 'tls_cacert="/etc/ssl/ca.pem"')


def directives(text: str) -> list[str]:
    """The lines that are no comments, each joined with those that continue it."""
    lines = text.replace("\n    ", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_slapd_conf() -> None:
    assert directives(slapd_conf(REPLICA)) == [
        "include /etc/ldap/schema/core.schema",
        "include /etc/ldap/schema/cosine.schema",
        "include /etc/ldap/schema/inetorgperson.schema",
        "modulepath /usr/lib/ldap",
        "moduleload back_mdb",
        "moduleload pw-sha2",
        "pidfile /run/slapd/slapd.pid",
        "argsfile /run/slapd/slapd.args",
        "database mdb",
        f'suffix "{BASE}"',
        f'rootdn "cn=replication,{BASE}"',
        "directory /var/lib/ldap",
        "dbnosync",
        "envflags writemap",
        "checkpoint 0 1",
        "maxsize 10737418240",
        "index objectClass,entryUUID,uid,ou,o,mail eq",
        "index cn,sn,givenName eq,subinitial",
        "index telephoneNumber,mobile,homePhone eq",
        "limits * size=500",
        'syncrepl rid=001 provider=ldaps://gw.acme.example type=refreshAndPersist retry="5 12 60 +" '
        f'keepalive=120:3:20 searchbase="{BASE}" scope=sub filter="(objectClass=*)" attrs="*,+" schemachecking=off '
        f'bindmethod=simple binddn="cn=branch,ou=replicas,{BASE}" credentials="hush" {" ".join(TRUST)}',
        f'access to dn.subtree="ou=phones,{BASE}" by anonymous auth by * none',
        f'access to dn.subtree="{BASE}" by dn.children="ou=phones,{BASE}" read by * none',
    ]


def test_config_ldif_says_the_same() -> None:
    """Entries for cn=config have the values of slapd.conf, with their numbers."""
    conf, ldif = directives(slapd_conf(REPLICA)), directives(config_ldif(REPLICA))
    numbered = {"limits": "olcLimits: ", "syncrepl": "olcSyncrepl: ", "access": "olcAccess: "}
    for name, attribute in numbered.items():
        written = [line.removeprefix(f"{name} ") for line in conf if line.startswith(f"{name} ")]
        assert [line for line in ldif if line.startswith(attribute)] == [
            f"{attribute}{{{at}}}{value}" for at, value in enumerate(written)
        ]
    assert [line for line in ldif if line.startswith("dn: ")] == [
        "dn: cn=module,cn=config",
        "dn: olcDatabase=mdb,cn=config",
    ]
    assert "olcModuleLoad: pw-sha2" in ldif
    assert not [line for line in ldif if "back_mdb" in line]


def test_start_tls_and_clear() -> None:
    """Without TLS, nothing is trusted."""
    for replica, expected in (
        (replace(REPLICA, provider="ldap://gw", start_tls=True), f'"hush" starttls=critical {" ".join(TRUST)}'),
        (replace(REPLICA, provider="ldap://localhost"), '"hush"'),
    ):
        [syncrepl] = [line for line in directives(slapd_conf(replica)) if line.startswith("syncrepl ")]
        assert syncrepl.partition(" credentials=")[2] == expected


def test_private_books_and_open_networks() -> None:
    """A book that is not shared is for those phones alone whose entries name it."""
    open_to = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    readers = "by peername.ip=192.0.2.0%255.255.255.0 read by peername.ipv6=2001:db8::%ffff:ffff:: read"
    phones = f'by dn.children="ou=phones,{BASE}" read'
    sees = 'by set.expand="([$2]/businessCategory & [shared]) | (user/seeAlso & [$2])" read'
    logins = f'access to dn.subtree="ou=phones,{BASE}" by anonymous auth by * none'
    for private, expected in (
        (False, [logins, f'access to dn.subtree="{BASE}" {phones} {readers} by * none']),
        (
            True,
            [
                logins,
                f'access to dn.regex="^(.+,)?(ou=[^,]+,ou=[^,]+,{BASE})$" by anonymous none {sees} by * none',
                f'access to dn.regex="^(.+,)?(ou=[^,]+,{BASE})$" by anonymous none {sees} by * none',
                f'access to dn.base="{BASE}" {phones} {readers} by * none',
            ],
        ),
    ):
        written = slapd_conf(replace(REPLICA, private=private, open_to=open_to))
        assert [line for line in directives(written) if line.startswith("access ")] == expected
        assert ("including the books of single persons" in written) is private


@pytest.mark.parametrize("start_tls", [False, True])
def test_pass_through(start_tls: bool) -> None:
    """The gateway checks passwords, and no hashes leave it."""
    replica = replace(REPLICA, pass_through=True, start_tls=start_tls)
    conf, ldif = slapd_conf(replica), config_ldif(replica)
    assert "userPassword" not in conf + ldif
    values = [
        ("tls", "TLS", " ".join((f"starttls={'yes' if start_tls else 'no'}", *TRUST))),
        ("dn_attribute", "DNAttribute", "owner"),
        ("domain_attribute", "DomainAttribute", "associatedDomain"),
        ("default_domain", "DefaultDomain", "ldapgw"),
        ("mapping", "Mapping", "ldapgw ldaps://gw.acme.example"),
    ]
    assert directives(conf)[-6:] == ["overlay remoteauth", *(f"remoteauth_{name} {value}" for name, _, value in values)]
    assert directives(ldif)[-9:] == [
        "dn: olcOverlay=remoteauth,olcDatabase={2}mdb,cn=config",
        "objectClass: olcRemoteAuthCfg",
        "objectClass: olcOverlayConfig",
        "olcOverlay: remoteauth",
        *(f"olcRemoteAuth{name}: {value}" for _, name, value in values),
    ]
    assert ("moduleload remoteauth" in conf, "olcModuleLoad: remoteauth" in ldif, "pw-sha2" in conf + ldif) == (
        *(True, True),
        False,
    )
    [attributes] = [word for line in directives(conf) for word in line.split() if word.startswith("attrs=")]
    assert attributes.startswith('attrs="')
    assert attributes.endswith(',businessCategory,owner,seeAlso,+"')

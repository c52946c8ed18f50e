# SPDX-License-Identifier: MIT
"""Writes the configuration of an OpenLDAP server that holds a replica: slapd.conf, or LDIF for cn=config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from ldapgw.directory.schema import ATTRIBUTE_TYPES

# The indexes that the searches of phones need; each index makes the first copy slower.
_INDEXES = (
    ("objectClass,entryUUID,uid,ou,o,mail", "eq"),
    ("cn,sn,givenName", "eq,subinitial"),
    ("telephoneNumber,mobile,homePhone", "eq"),
)
_SCHEMAS = ("core", "cosine", "inetorgperson")
# The attributes that only replicas get; owner holds the DN for which the gateway checks the password.
_LOGIN_ATTRIBUTES = ("businessCategory", "owner", "seeAlso")

_LOST = """What this server cannot do as the gateway does:
- Values are compared letter by letter, without keypad digits.  Other spellings and number formats match only if the
  gateway adds them.
- A caller-ID book is found only by its owner's phones, and a search finds a person once for each book.
- A phone may read all entries that it finds, within the size limit; there is no limit on searches for guessed numbers.
- A label is a branch of the tree only if its book shares only the contacts with this label.
- Every phone gets numbers in the tenant's format."""

_NO_SYNC = """A copy of 50,000 entries takes an hour if slapd waits for the disk after each entry, so slapd writes at
intervals.  writemap more than halves the work of a copy; the file data.mdb then seems to have 10 GiB, but takes less
space.  After a power cut, delete the files in the database's directory, and start slapd: slapd copies all entries."""

_NUMBERED = """OpenLDAP numbers its databases.  The number {2} is right if slapd held one other directory, which has
the number {1}.  Otherwise, set the number that "slapcat -b cn=config | grep ^olcDatabase" shows for the new database
after the entries above are added."""


@dataclass(frozen=True, slots=True)
class Replica:
    """The data that the configuration of a replica is made of.

    :ivar provider: the gateway's LDAP URL.
    :ivar start_tls: whether the replica uses StartTLS.
    :ivar ca_file: the file on the replica's machine with the certificates that the replica trusts.
    :ivar private: whether the replica holds all books, including books that are not shared with everybody.
    :ivar pass_through: whether the gateway checks the passwords of phones.
    :ivar open_to: networks whose clients need no login.
    """

    title: str
    base: str
    provider: str
    start_tls: bool
    ca_file: str
    bind_dn: str
    password: str = field(repr=False)
    private: bool
    pass_through: bool
    size_limit: int
    open_to: Sequence[IPv4Network | IPv6Network] = ()


def slapd_conf(replica: Replica) -> str:
    """Return the whole slapd.conf of a server that only holds the replica."""
    lines = [f"# {line}" for line in _head(replica)]
    lines += [f"include /etc/ldap/schema/{schema}.schema" for schema in _SCHEMAS]
    lines += ["modulepath /usr/lib/ldap", "moduleload back_mdb", f"moduleload {_module(replica)}"]
    lines += ["pidfile /run/slapd/slapd.pid", "argsfile /run/slapd/slapd.args", ""]
    lines += ["database mdb", f'suffix "{replica.base}"', f'rootdn "{_root(replica)}"', "directory /var/lib/ldap"]
    lines += [f"# {line}" for line in _NO_SYNC.splitlines()]
    lines += ["dbnosync", "envflags writemap", "checkpoint 0 1"]
    lines += ["maxsize 10737418240", *(f"index {names} {kinds}" for names, kinds in _INDEXES)]
    lines += [f"limits {limit}" for limit in _limits(replica)]
    lines += [f"syncrepl {_folded(_syncrepl(replica))}"]
    for rule in _access(replica):
        lines += [f"access {_folded(rule)}"]
    if replica.pass_through:
        lines += ["overlay remoteauth", *(f"remoteauth_{name} {value}" for name, value in _remote_auth(replica))]
    return "\n".join(lines) + "\n"


def config_ldif(replica: Replica) -> str:
    """Return the LDIF for ``ldapadd`` to a server that is configured in cn=config and holds other directories too."""
    lines = [f"# {line}" for line in _head(replica)]
    lines += ["dn: cn=module,cn=config", "objectClass: olcModuleList", "cn: module", "olcModulePath: /usr/lib/ldap"]
    # There is no line for back_mdb: a server with other directories has loaded back_mdb already, and refuses to load a
    # module twice.
    lines += [f"olcModuleLoad: {_module(replica)}"]
    lines += ["", "dn: olcDatabase=mdb,cn=config", "objectClass: olcDatabaseConfig", "objectClass: olcMdbConfig"]
    lines += ["olcDatabase: mdb", f"olcSuffix: {replica.base}", f"olcRootDN: {_root(replica)}"]
    lines += ["olcDbDirectory: /var/lib/ldap/ldapgw", "olcDbMaxSize: 10737418240"]
    lines += ["olcDbNoSync: TRUE", "olcDbEnvFlags: writemap", "olcDbCheckpoint: 0 1"]
    lines += [f"olcDbIndex: {names} {kinds}" for names, kinds in _INDEXES]
    lines += [f"olcLimits: {{{at}}}{limit}" for at, limit in enumerate(_limits(replica))]
    lines += [f"olcSyncrepl: {{0}}{' '.join(_syncrepl(replica))}"]
    lines += [f"olcAccess: {{{at}}}{' '.join(rule)}" for at, rule in enumerate(_access(replica))]
    if replica.pass_through:
        lines += ["", *(f"# {line}" for line in _NUMBERED.splitlines())]
        lines += ["dn: olcOverlay=remoteauth,olcDatabase={2}mdb,cn=config", "objectClass: olcRemoteAuthCfg"]
        lines += ["objectClass: olcOverlayConfig", "olcOverlay: remoteauth"]
        lines += [f"olcRemoteAuth{_OLC_NAMES[name]}: {value}" for name, value in _remote_auth(replica)]
    return "\n".join(lines) + "\n"


def _head(replica: Replica) -> Iterator[str]:
    books = "all books, including the books of single persons" if replica.private else "shared books and the directory"
    yield f"A replica of {replica.title}: {books}."
    yield "Written by ldapgw replica-config.  This file has a password: keep it from other users."
    yield from _LOST.splitlines()


def _root(replica: Replica) -> str:
    """Return the rootdn, in whose name slapd writes the copy; nobody can bind as this DN, which has no password."""
    return f"cn=replication,{replica.base}"


def _module(replica: Replica) -> str:
    """Return the name of the module that checks the phones' passwords."""
    return "remoteauth" if replica.pass_through else "pw-sha2"


def _limits(replica: Replica) -> Iterator[str]:
    yield f"* size={replica.size_limit}"


def _syncrepl(replica: Replica) -> Iterator[str]:
    yield "rid=001"
    yield f"provider={replica.provider}"
    yield "type=refreshAndPersist"
    yield 'retry="5 12 60 +"'
    yield "keepalive=120:3:20"
    yield f'searchbase="{replica.base}"'
    yield "scope=sub"
    yield 'filter="(objectClass=*)"'
    # Without userPassword, the hashes of the phones' passwords stay at the gateway.
    yield f'attrs="{",".join(_attributes())},+"' if replica.pass_through else 'attrs="*,+"'
    yield "schemachecking=off"
    yield "bindmethod=simple"
    yield f'binddn="{replica.bind_dn}"'
    yield f'credentials="{replica.password}"'
    if replica.start_tls:
        yield "starttls=critical"
    yield from _trust(replica)


def _trust(replica: Replica) -> Iterator[str]:
    """Yield the settings of certificates.

    slapd trusts only the certificates in a file, and ignores the certificates that the system trusts.
    """
    if replica.start_tls or replica.provider.startswith("ldaps:"):
        yield "tls_reqcert=demand"
        yield f'tls_cacert="{replica.ca_file}"'


def _attributes() -> Iterator[str]:
    yield from (kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)
    yield from _LOGIN_ATTRIBUTES


def _access(replica: Replica) -> Iterator[Sequence[str]]:
    """Yield the access rules.

    Each phone binds as an entry below ou=phones.  The entry's seeAlso lists the books that the phone may see besides
    the books shared with everybody.
    """
    phones = f'dn.children="ou=phones,{replica.base}"'
    yield (f'to dn.subtree="ou=phones,{replica.base}"', "by anonymous auth", "by * none")
    readers = [f"by {_peer(network)} read" for network in replica.open_to]
    if not replica.private:
        yield (f'to dn.subtree="{replica.base}"', f"by {phones} read", *readers, "by * none")
        return
    base = re.escape(replica.base).replace("\\=", "=").replace("\\,", ",")
    sees = '"([$2]/businessCategory & [shared]) | (user/seeAlso & [$2])"'
    for branch in ("ou=[^,]+,ou=[^,]+", "ou=[^,]+"):
        yield (
            f'to dn.regex="^(.+,)?({branch},{base})$"',
            "by anonymous none",
            f"by set.expand={sees} read",
            "by * none",
        )
    yield (f'to dn.base="{replica.base}"', f"by {phones} read", *readers, "by * none")


def _peer(network: IPv4Network | IPv6Network) -> str:
    kind = "ip" if isinstance(network, IPv4Network) else "ipv6"
    return f"peername.{kind}={network.network_address}%{network.netmask}"


_OLC_NAMES = {
    "tls": "TLS",
    "dn_attribute": "DNAttribute",
    "domain_attribute": "DomainAttribute",
    "default_domain": "DefaultDomain",
    "default_realm": "DefaultRealm",
    "mapping": "Mapping",
}


def _remote_auth(replica: Replica) -> Iterator[tuple[str, str]]:
    yield "tls", " ".join((f"starttls={'yes' if replica.start_tls else 'no'}", *_trust(replica)))
    yield "dn_attribute", "owner"
    # The overlay checks passwords only if `domain_attribute` names an attribute.  No entry has the attribute
    # associatedDomain that is named here, so the overlay uses `default_domain` for all entries.
    yield "domain_attribute", "associatedDomain"
    yield "default_domain", "ldapgw"
    yield "mapping", f"ldapgw {replica.provider}"


def _folded(words: Sequence[str] | Iterator[str]) -> str:
    """Write a directive on several lines: the first word on the first line, each other word on an indented line."""
    return "\n    ".join(words)

# SPDX-License-Identifier: MIT
"""The types of configuration values: each parses a decoded TOML value and describes the expected form.

A type is a class with a class method `read`, which raises ValueError for a value of another form, and a text `expected`
for the error message.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit

from ldapgw.contact import Sharing
from ldapgw.directory.clients import normalize_address
from ldapgw.directory.dn import Dn, InvalidDn
from ldapgw.directory.schema import attribute_type, can_be_alias
from ldapgw.google.endpoints import Proxy
from ldapgw.numbers.numbering_plan import known_region


def read_form(kind: Any, raw: object) -> Any:
    """Read a value of one of this module's types; msgspec calls this function to decode the value."""
    return kind.read(raw)


def _texts(value: object) -> list[str]:
    """Return the value if it is a list of texts.

    :raises ValueError: when the value is no list of texts.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    return value


def _measured(value: object, units: Mapping[str, int]) -> int:
    """Return the number in a text such as ``"10m"``, multiplied by the unit after the digits.

    :raises ValueError: when the text has another form, or the number is zero.
    """
    match = re.fullmatch(rf"([0-9]{{1,9}})({'|'.join(units)})", value) if isinstance(value, str) else None
    if not match or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * units[match[2]]


class Duration(float):
    """A duration in seconds, written ``"90s"``, ``"10m"``, ``"2h"`` or ``"7d"``."""

    expected: ClassVar[str] = 'a duration of a second or more, such as "90s", "10m", "2h" or "7d"'
    units: ClassVar[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def __str__(self) -> str:
        """Return the duration in the notation of the file."""
        if not self:
            return "0s"
        unit = next(unit for unit in reversed(list(self.units)) if self % self.units[unit] == 0)
        return f"{self / self.units[unit]:.0f}{unit}"

    @classmethod
    def read(cls, value: object) -> Self:
        return cls(_measured(value, cls.units))


class StaleStart(Duration):
    """A duration of at most a day, in seconds; ``"0s"`` means that the gateway never starts without its database."""

    expected: ClassVar[str] = 'a duration of at most a day, such as "24h" or "30m", or "0s": never'

    @classmethod
    def read(cls, value: object) -> Self:
        if value == "0s":
            return cls(0)
        if (read := super().read(value)) > cls.units["d"]:
            raise ValueError
        return read


class LeaverDelay(Duration):
    """A duration of a day or more, in seconds; 0, written ``""``, means that the gateway removes no account."""

    expected: ClassVar[str] = 'a duration of a day or more, such as "14d", or "": never'

    def __str__(self) -> str:
        """Return the duration in the notation of the file."""
        return super().__str__() if self else ""

    @classmethod
    def read(cls, value: object) -> Self:
        if value == "":
            return cls(0)
        if (read := super().read(value)) < cls.units["d"]:
            raise ValueError
        return read


class Size(int):
    """A size in octets, written ``"512B"``, ``"64KiB"`` or ``"1MiB"``."""

    expected: ClassVar[str] = 'a size such as "64KiB" or "1MiB"'
    units: ClassVar[Mapping[str, int]] = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}

    @classmethod
    def read(cls, value: object) -> Self:
        return cls(_measured(value, cls.units))


class Networks(tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]):
    """IP networks; a bare address is a network of one address."""

    __slots__ = ()
    expected: ClassVar[str] = 'a list of networks such as ["192.168.0.0/16", "::1"]'

    @classmethod
    def read(cls, value: object) -> Self:
        return cls(ipaddress.ip_network(item) for item in _texts(value))

    def contains(self, address: str) -> bool:
        """Return whether an address lies in one of the networks; an IPv4-mapped address counts as the IPv4 address."""
        if not self:
            return False
        try:
            parsed = _ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self)


# The results are cached, because the web pages check the same address several times for each request.
@lru_cache(maxsize=1024)
def _ip_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(normalize_address(address))


class ServerEndpoints(tuple[str, ...]):
    """Twisted server endpoint strings."""

    __slots__ = ()
    expected: ClassVar[str] = (
        'a list of Twisted server endpoints such as ["tcp:389"] or ["tcp:389:interface=127.0.0.1"]'
    )

    @classmethod
    def read(cls, value: object) -> Self:
        items = _texts(value)
        for item in items:
            port = re.match(r"(?:tcp6?|ssl):(?:port=)?(\d+)", item)
            if port and int(port[1]) > 65535:
                raise ValueError
            if not _USUAL_ENDPOINT.fullmatch(item):
                _parse_endpoint(item)
        return cls(items)


# The usual form of an endpoint.  Twisted accepts every endpoint of this form, so the gateway need not import Twisted's
# parser, which would double the time of a short command.
_USUAL_ENDPOINT = re.compile(r"tcp:[0-9]+(?::interface=(?:[0-9A-Za-z.-]|\\:)*)?")


def _parse_endpoint(endpoint: str) -> None:
    """Check that Twisted accepts an endpoint.

    :raises ValueError: when Twisted does not accept the endpoint.
    """
    from twisted.internet.endpoints import serverFromString

    reactor: Any = None  # parsing needs no reactor
    try:
        serverFromString(reactor, endpoint)
    except Exception as error:  # plugins for endpoints may raise any exception
        raise ValueError from error


class File(str):
    """A path; a relative path is relative to the folder of the configuration file."""

    expected: ClassVar[str] = "a path"

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]+", value):
            raise ValueError
        return cls(value)


class Text(str):
    """Text that matches `pattern`."""

    expected: ClassVar[str] = "text"
    pattern: ClassVar[re.Pattern[str]] = re.compile(r".+", re.DOTALL)

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, str) or not cls.pattern.fullmatch(value):
            raise ValueError
        return cls(value)


class Secret(Text):
    """Text that no message, log or repr may show; empty if there is no secret."""

    pattern: ClassVar[re.Pattern[str]] = re.compile(r".*", re.DOTALL)

    def __repr__(self) -> str:
        return "Secret()"


class ProxyUrl(Secret):
    """The URL of an HTTP proxy, with the user and password if the proxy needs these; empty without a proxy."""

    expected: ClassVar[str] = 'the address of an HTTP proxy such as "http://user:password@proxy:3128"'

    @classmethod
    def read(cls, value: object) -> Self:
        url = super().read(value)
        if url:
            Proxy.parse(url)
        return url


class DatabaseUrl(Secret):
    """SQLAlchemy's URL of a database, perhaps with a password; empty for SQLite in ``state_dir``."""

    expected: ClassVar[str] = '"sqlite:///PATH" or "postgresql+psycopg://USER@HOST/NAME"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"|(sqlite|postgresql(\+psycopg)?):[!-~]+")

    @property
    def is_on_server(self) -> bool:
        """Return whether the database is on a server, which may need a password."""
        return self.startswith("postgresql")


class LogLevels(tuple[str, ...]):
    """Levels of the log, each ``LEVEL`` or ``PART=LEVEL``; if a part has several levels, the last level counts."""

    __slots__ = ()
    levels: ClassVar[tuple[str, ...]] = ("debug", "info", "warning", "error", "critical")
    # The packages that log, and ``twisted`` for Twisted and other libraries.
    parts: ClassVar = ("google", "ldap", "peers", "phones", "server", "store", "sync", "twisted", "web")
    form: ClassVar[str] = f"LEVEL or PART=LEVEL; LEVEL is one of {', '.join(levels)}; PART is one of {', '.join(parts)}"
    expected: ClassVar[str] = f"one or a list of {form}"

    @classmethod
    def read(cls, value: object) -> Self:
        items = _texts([value] if isinstance(value, str) else value)
        for item in items:
            part, separator, level = item.rpartition("=")
            if level not in cls.levels or (separator and part not in cls.parts):
                raise ValueError
        return cls(items)

    def followed_by(self, others: LogLevels) -> LogLevels:
        """Return these levels followed by other levels, which take precedence."""
        return LogLevels([*self, *others])

    def of(self, part: str) -> str:
        """Return the lowest level at which messages of a part are logged.

        A level without a part applies to all parts of the gateway without a level of their own, but not to libraries.
        The default is ``info``, and ``warning`` for libraries.
        """
        found = "warning" if part == "twisted" else "info"
        general = [item for item in self if "=" not in item and part != "twisted"]
        special = [item.rpartition("=")[2] for item in self if item.startswith(f"{part}=")]
        return (special or general or [found])[-1]


class EncryptionKey(Secret):
    """Fernet keys, the first of which encrypts; empty if the gateway makes a key file."""

    expected: ClassVar[str] = (
        "a key of 32 octets in URL-safe Base64, or several with blanks between them; make one with: "
        "openssl rand -base64 32 | tr +/ -_"
    )
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"\s*([A-Za-z0-9_-]{43}=(\s+[A-Za-z0-9_-]{43}=)*\s*)?")

    @classmethod
    def read(cls, value: object) -> Self:
        return cls(super().read(value).strip())


# The first segments of the paths of the gateway's own pages.
OWN_PATHS = frozenset(("healthz", "metrics", "oauth", "readyz", "static"))


class Slug(Text):
    """A tenant's name, which is part of URLs and DNs."""

    expected: ClassVar[str] = 'a name of a-z, 0-9 and -, such as "acme"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        rf"(?!(?:{'|'.join(sorted(OWN_PATHS))})$)[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?"
    )


class BaseDn(Text):
    """The distinguished name of a tenant's entry."""

    expected: ClassVar[str] = 'a distinguished name such as "dc=acme,dc=example"'

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError
        try:
            if not Dn.parse(value).rdns:
                raise ValueError
        except InvalidDn:
            raise ValueError from None
        return cls(value)


class Region(Text):
    """The country of telephone numbers without a country code."""

    expected: ClassVar[str] = 'the two-letter code of a country, such as "DE"'

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, str) or not known_region(value):
            raise ValueError
        return cls(value)


class Digits(Text):
    """The digits dialled for an outside line; may be empty."""

    expected: ClassVar[str] = 'up to five digits, such as "0", or ""'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"[0-9]{0,5}")


class AreaCode(Text):
    """The area code of a site; may be empty."""

    expected: ClassVar[str] = 'up to six digits, such as "741", or ""'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"[0-9]{0,6}")


class Affix(Text):
    """The characters that a PBX puts before or after a number."""

    expected: ClassVar[str] = 'up to 32 characters without blanks, digits not alone, such as "L0#"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"(?=.*[^0-9])[!-~]{1,32}")


class Allowed(Text):
    """Accounts that may connect: one address, a domain, or everybody."""

    expected: ClassVar[str] = 'an address, "@domain" or "*"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"\*|[^@\s]*@[^@\s]+\.[^@\s]+")


class Mail(Text):
    """An e-mail address."""

    expected: ClassVar[str] = "an e-mail address"
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class OrgUnit(Text):
    """The path of an organizational unit in the Google Admin console."""

    expected: ClassVar[str] = 'the path of an organizational unit, such as "/Sales"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r"/([^\x00-\x1f]*[^/\x00-\x1f])?")


class LabelName(Text):
    """The name of a label in Google Contacts."""

    expected: ClassVar[str] = 'the name of a label, such as "Work"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(r".*\S.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Group:
    """A table ``[[tenant.group]]``: accounts that books can be shared with.

    :ivar google_group: the address of a Google Group whose members belong to the group too; empty without a Google
        Group.
    """

    name: str
    accounts: tuple[str, ...] = ()
    google_group: str = ""


class Groups(tuple[Group, ...]):
    """Groups of accounts."""

    __slots__ = ()
    expected: ClassVar[str] = (
        "tables [[tenant.group]], each with a name (a-z, 0-9 and -), and with accounts (a list of e-mail addresses), "
        "google_group (the address of a Google Group), or both"
    )

    @classmethod
    def read(cls, value: object) -> Self:
        groups = cls(map(_group, value)) if isinstance(value, list) else None
        if groups is None or len({group.name for group in groups}) < len(groups):
            raise ValueError
        return groups


class AttributeAliases(tuple[tuple[str, str], ...]):
    """The aliases of attributes: pairs of an alias and the attribute's name."""

    __slots__ = ()
    expected: ClassVar[str] = (
        'a table such as { "DirName" = "cn" }: names that no other attribute has, of letters, digits and -, and '
        "attributes of contacts"
    )

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value.values()):
            raise ValueError
        kinds = {alias: attribute_type(name) for alias, name in value.items()}
        if len({alias.lower() for alias in kinds}) < len(kinds):
            raise ValueError
        if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", alias, re.ASCII) for alias in kinds):
            raise ValueError
        found = [(alias, kind.name) for alias, kind in kinds.items() if kind is not None and not kind.operational]
        if len(found) < len(kinds) or not all(can_be_alias(alias, name) for alias, name in found):
            raise ValueError
        return cls(found)


def _group(value: object) -> Group:
    if not isinstance(value, Mapping) or not {"name"} < value.keys() <= {"name", "accounts", "google_group"}:
        raise ValueError
    # `Sharing` raises ValueError for an invalid name of a group.
    name = Sharing(f"group:{value['name']}").group
    google_group = Mail.read(value["google_group"]).lower() if value.get("google_group", "") != "" else ""
    return Group(name, tuple(map(Mail.read, _texts(value.get("accounts", [])))), google_group)


# The names that a book order has for the Workspace directory and for each phone's own book (`ldapgw.directory.book`).
OTHER_BOOKS = ("directory", "own")


class FileName(Text):
    """The name of a file in the configuration, which is the ou of the file's book."""

    expected: ClassVar[str] = (
        'a name of a-z, 0-9 and -, such as "extensions", but not "directory", "own", "phones" or "replicas"'
    )
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?!(?:directory|own|phones|replicas)$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    )


class FileSharing(Text):
    """The sharing of a file's book, which has no owner and so cannot be private."""

    expected: ClassVar[str] = (
        'one of "shared", "callers", "group:NAME"; a file has no owner, so nobody would see a private book'
    )

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, str) or value == Sharing.PRIVATE:
            raise ValueError
        return cls(Sharing(value).value)


class BookName(Text):
    """The name of a book in ``book_order``; the name "own" stands for the books of the phone's own accounts."""

    expected: ClassVar[str] = 'an account\'s e-mail address, the name of a [[tenant.file]], "directory" or "own"'
    pattern: ClassVar[re.Pattern[str]] = re.compile(rf"{Mail.pattern.pattern}|directory|own|{FileName.pattern.pattern}")


class Url(Text):
    """An https URL; http is accepted for loopback addresses only."""

    expected: ClassVar[str] = "an https:// address without query (http:// for localhost and loopback addresses only)"

    @classmethod
    def read(cls, value: object) -> Self:
        if not isinstance(value, str) or not _is_secure_url(value) or urlsplit(value).query:
            raise ValueError
        return cls(_with_ascii_host(value.rstrip("/")))


def _is_secure_url(url: str) -> bool:
    """Return whether a text is an https URL, or an http URL for a loopback address, without user and fragment.

    :raises ValueError: when the text is no URL.
    """
    if re.search(r"[\s\\\x00-\x20\x7f]", url):
        return False
    parts = urlsplit(url)
    is_plain = bool(parts.hostname) and not parts.fragment and "@" not in parts.netloc and parts.port != 0
    return is_plain and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback_url(url)))


def _with_ascii_host(url: str) -> str:
    """Return a URL whose host has the form that browsers send: IDNA, or the short form of an IPv6 address.

    :raises ValueError: when the host cannot be written in this form.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        short = str(ipaddress.ip_address(host))
    except ValueError:
        short = host.encode("idna").decode()
    if short == host:
        return url
    shown = f"[{short}]" if ":" in short else short
    return urlunsplit(parts._replace(netloc=shown if parts.port is None else f"{shown}:{parts.port}"))


class Help(Text):
    """The place where people find help: an e-mail address or a URL; empty if not configured."""

    expected: ClassVar[str] = "an e-mail address or an https:// address"

    @classmethod
    def read(cls, value: object) -> Self:
        if value == "":
            return cls()
        try:
            return cls(Mail.read(value))
        except ValueError:
            return cls(Url.read(value))


class ServiceUrl(Url):
    """The URL of a service that the gateway calls; treq cannot call an IPv6 address."""

    expected: ClassVar[str] = (
        "an https:// address without query and with a name or an IPv4 address as its host (http:// for localhost and "
        "loopback addresses only)"
    )

    @classmethod
    def read(cls, value: object) -> Self:
        url = super().read(value)
        if ":" in _host(url):
            raise ValueError
        return url


class DialUrl(Secret):
    """The URL by which a telephone system calls a number, with placeholders; empty without a telephone system.

    The URL may contain a secret of the telephone system, so no message shows the URL.
    """

    expected: ClassVar[str] = (
        "an https:// address with the placeholder {number}, perhaps {phone}, and no placeholder in the host, such as "
        '"https://pbx.example/call?from={phone}&to={number}" (http:// for localhost and loopback addresses only)'
    )

    @classmethod
    def read(cls, value: object) -> Self:
        url = super().read(value)
        if not url:
            return url
        names = re.findall(r"\{([^{}]*)\}", url)
        if "number" not in names or not {*names} <= {"phone", "number"} or len({*names}) < len(names):
            raise ValueError
        filled = url.replace("{phone}", "0").replace("{number}", "0")
        # The gateway's HTTP client cannot call an IPv6 address.
        if re.search("[{}]", filled + urlsplit(url).netloc) or not _is_secure_url(filled) or ":" in _host(filled):
            raise ValueError
        return cls(_with_ascii_host(url))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def is_loopback_url(url: str) -> bool:
    """Return whether the host of a URL is a loopback address or ``localhost``."""
    host = _host(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

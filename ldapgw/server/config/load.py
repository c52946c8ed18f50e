# SPDX-License-Identifier: MIT
"""Reads the configuration file and reports all its problems together.

Each message names the file, the key, the value and the expected form; the value of a secret is left out.

A reload executes the program anew with the configuration that was checked, even if the file has changed since the
check (`keep`).
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ldapgw import __version__
from ldapgw.contact import Sharing
from ldapgw.directory.dn import Dn, folded
from ldapgw.directory.name_folding import MAX_ORDERED_BOOKS
from ldapgw.errors import UserError, closest
from ldapgw.google.delegation import UnfitKeyFile, read_key_file
from ldapgw.google.endpoints import UnfitClientFile, read_client_file
from ldapgw.server.config.environment import PREFIX, closest_name, merge, read_settings
from ldapgw.server.config.forms import OTHER_BOOKS, OWN_PATHS, DatabaseUrl, Duration, File, Secret, read_form
from ldapgw.server.config.tables import (
    ROLES,
    BookFile,
    Config,
    Delegation,
    Google,
    Ldap,
    Sync,
    Table,
    Tenant,
    Tls,
    Web,
    table_in,
)

DEFAULT_FILE = "/etc/ldapgw/ldapgw.toml"

# The environment variable by which the executed program finds the file of the checked configuration.
_KEPT = "_LDAPGW_KEPT_CONFIG"
_TOO_DEEP = "has arrays or tables that are nested too deeply"
_MISSING = object()
_T = TypeVar("_T", bound=Table)


def load(file: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Read, decode and check a configuration file; settings of the environment replace settings of the file.

    If the environment has settings, the file with the default name may be missing.

    :raises UserError: with all problems of the file, or of the environment.
    """
    settings = read_settings(environment)
    document: Mapping[str, Any] = {}
    try:
        document = msgspec.toml.decode(Path(file).read_bytes())
    except FileNotFoundError:
        if not settings or file != DEFAULT_FILE:
            raise UserError(
                f"{file}: there is no such configuration file; create a file with ldapgw init, or name your file with "
                "--config or LDAPGW_CONFIG (a demo prints the line that sets LDAPGW_CONFIG)"
            ) from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise UserError(f"{file}: {_TOO_DEEP}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise UserError(f"{file}: is not TOML: {error}") from None
    try:
        document, names = merge(document, settings)
        return decode(document, file, names)
    # The TOML parser accepts a key with thousands of dots, but decoding the deeply nested tables of this key fails.
    except RecursionError:
        raise UserError(f"{file}: {_TOO_DEEP}") from None


def keep(config: Config) -> int:
    """Write a configuration to a file for the program that this process executes next.

    The file has no name, and is in memory if the system permits, because the configuration holds secrets.

    :returns: the descriptor of the file.
    """
    try:
        kept = os.memfd_create("ldapgw-config")
    except (AttributeError, OSError):  # only Linux has memfd_create, and may forbid the call
        with tempfile.TemporaryFile() as on_disk:
            kept = os.dup(on_disk.fileno())
    with os.fdopen(kept, "wb", closefd=False) as file:
        file.write(pickle.dumps((__version__, pickle.dumps(config))))
    return kept


def hand_over(kept: int, environment: MutableMapping[str, str]) -> None:
    """Pass the descriptor that `keep` returned, in the environment, to the program that this process executes next."""
    os.set_inheritable(kept, True)  # noqa: FBT003 - the standard library's
    environment[_KEPT] = str(kept)


def take(environment: MutableMapping[str, str]) -> Config | None:
    """Read the configuration that this process kept (`keep`) before the process executed the program again.

    :returns: None if the configuration file has to be read: at the first start, or if another version of the program
        kept the configuration.
    """
    descriptor = environment.pop(_KEPT, "")
    if not descriptor:
        return None
    with os.fdopen(int(descriptor), "rb") as file:
        file.seek(0)
        version, octets = pickle.loads(file.read())  # noqa: S301 - written by this process
    config: Config | None = pickle.loads(octets) if version == __version__ else None  # noqa: S301
    return config


def decode(document: Mapping[str, Any], file: str, names: Mapping[str, str] = MappingProxyType({})) -> Config:
    """Convert a decoded TOML document to a `Config`; make paths absolute, and read client files and the password file.

    :param file: the name of the file, for messages and for relative paths.
    :param names: the environment variables that gave values, by the path of the value in the document.
    :raises UserError: with all problems of the document.
    """
    decoder = _Decoder(Path(file).absolute().parent, names)
    config = decoder.table(Config, document, "")
    decoded = decoder.decoded
    problems = [*decoder.problems, *_contradictions(decoded), *_tenant_contradictions(decoded.get(Tenant, []))]
    problems += _path_contradictions(decoded)
    tenants = tuple(_with_client(tenant, problems) for tenant in decoded.get(Tenant, []))
    problems += [problem for tenant in tenants for problem in _key_file_problems(tenant)]
    database = _with_password(config, problems) if config else None
    problems += _role_contradictions(config) if config else ()
    if problems or config is None:
        raise UserError(problem if problem.startswith(PREFIX) else f"{file}: {problem}" for problem in problems)
    return msgspec.structs.replace(config, tenant=tenants, database=database)


class _Decoder:
    """Decodes a document into the structs of `ldapgw.server.config.tables`, and collects the problems.

    :ivar problems: the messages so far.
    :ivar decoded: the decoded tables by type.  The types of all tables in the document are keys, even if no table could
        be decoded.
    """

    def __init__(self, folder: Path, names: Mapping[str, str]) -> None:
        self._folder = folder
        self._names = names
        self.problems: list[str] = []
        self.decoded: dict[type[Table], list[Any]] = {}

    def table(self, kind: type[_T], document: object, where: str) -> _T | None:
        """Decode one table; return None when a required key is missing or wrong."""
        if not isinstance(document, Mapping):
            place = where.rstrip(".")
            variable = self._names.get(place)
            advice = f"; its keys have variables of their own, {variable}__KEY" if variable else ""
            self.problems.append(f"{variable or place}: expected a table{advice}")
            return None
        self.decoded.setdefault(kind, [])
        hints = get_type_hints(kind, include_extras=True)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            raw = document.get(field.name, _MISSING)
            if raw is _MISSING:
                if field.required:
                    self.problems.append(
                        f"{where}{field.name}: is missing; expected {expected_form(hints[field.name])}"
                    )
            elif (value := self._value(hints[field.name], raw, where + field.name)) is not _MISSING:
                values[field.name] = value
        for key in document.keys() - hints.keys():
            variable = self._names.get(where + key)
            meant = closest(key.lower(), hints)
            if variable and where.startswith("tenant"):
                meant = meant and meant.upper().join(variable.rsplit(key.upper(), 1))
            elif variable:
                meant = closest_name(variable)
            advice = f"did you mean {meant}?" if meant else f"its keys are: {', '.join(sorted(hints))}"
            self.problems.append(f"{variable or where + _printable(key)}: is not a key of this table; {advice}")
        required = {field.name for field in msgspec.structs.fields(kind) if field.required}
        if not required <= values.keys():
            return None
        table = kind(**values)
        self.decoded[kind].append(table)
        return table

    def _value(self, hint: Any, raw: object, where: str) -> Any:
        """Decode one value; return `_MISSING` after noting a problem of the value."""
        if hint == tuple[Tenant, ...]:
            return self._tenants(raw)
        if hint == tuple[Delegation, ...]:
            return self._delegations(raw, where)
        if hint == tuple[BookFile, ...]:
            return self._files(raw, where)
        if kind := table_in(hint):
            value = self.table(kind, raw, where + ".")
            return _MISSING if value is None else value
        try:
            value = msgspec.convert(raw, hint, dec_hook=read_form)
        except (msgspec.ValidationError, ValueError, TypeError):
            is_secret = isinstance(hint, type) and issubclass(hint, Secret)
            shown = "" if is_secret else f" = {_abbreviated_json(raw)}"
            advice = _advice_on_empty(hint) if raw == "" and where in self._names else _advice_on_choice(hint, raw)
            self.problems.append(f"{self._names.get(where, where)}{shown}: expected {expected_form(hint)}{advice}")
            return _MISSING
        return File(self._folder / value) if isinstance(value, File) else value

    def _tenants(self, raw: object) -> Any:
        if not isinstance(raw, list) or not raw:
            self.problems.append(f"{self._names.get('tenant', 'tenant')}: expected at least one [[tenant]] table")
            return _MISSING
        return self._tables(Tenant, raw, "tenant")

    def _delegations(self, raw: object, where: str) -> Any:
        if not isinstance(raw, list) or len(raw) > 1:
            self.problems.append(f"{self._names.get(where, where)}: expected at most one table [[tenant.delegation]]")
            return _MISSING
        return self._tables(Delegation, raw, where)

    def _files(self, raw: object, where: str) -> Any:
        if not isinstance(raw, list):
            self.problems.append(f"{self._names.get(where, where)}: expected tables [[tenant.file]]")
            return _MISSING
        return self._tables(BookFile, raw, where)

    def _tables(self, kind: type[Table], raw: Sequence[object], where: str) -> Any:
        tables = [self.table(kind, item, f"{where}[{number}].") for number, item in enumerate(raw, 1)]
        return _MISSING if None in tables else tuple(tables)


def expected_form(hint: Any) -> str:
    """Return the description of the form that a type expects."""
    if (form := getattr(hint, "expected", None)) is not None:
        return str(form)
    choices = getattr(hint, "__members__", None)
    if choices:
        of_groups = ['"group:NAME"'] if hint is Sharing else []
        return "one of " + ", ".join([*(json.dumps(member.value) for member in choices.values()), *of_groups])
    arguments = [part for part in get_args(hint) if part not in (type(None), ...)]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(json.dumps, arguments))
    if get_origin(hint) is tuple:
        return "a table array" if arguments == [Tenant] else "a list, each item " + expected_form(arguments[0])
    names = {bool: "true or false", str: "text", int: "a whole number"}
    if hint in names:
        return names[hint]
    if arguments and arguments[0] is int:
        return f"a whole number from {arguments[1].ge} to {arguments[1].le}"
    return expected_form(arguments[0]) if arguments else "a table"


def _advice_on_choice(hint: Any, raw: object) -> str:
    """Return a question that suggests the choice most similar to a misspelt value; empty if no choice is similar."""
    items = raw if isinstance(raw, list) else [raw]
    choices: list[str] = []
    for part in (hint, *get_args(hint)):
        choices += map(str, getattr(part, "__members__", {}).values())
        choices += get_args(part) if get_origin(part) is Literal else ()
    close = [closest(item.lower(), choices) for item in items if isinstance(item, str) and item not in choices]
    return next((f"; did you mean {json.dumps(choice)}?" for choice in close if choice), "")


def _advice_on_empty(hint: Any) -> str:
    """Return the advice on a variable that is set to an empty value."""
    try:
        msgspec.convert([], hint, dec_hook=read_form)
    except (msgspec.ValidationError, ValueError, TypeError):
        return "; or leave the variable out"
    return "; write [] for an empty list, or leave the variable out"


def _printable(key: str) -> str:
    """Return a key as one line: in quotes if the key is not a plain word."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _abbreviated_json(key)


def _abbreviated_json(raw: object) -> str:
    text = json.dumps(raw, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def _contradictions(decoded: Mapping[type[Table], Sequence[Any]]) -> Iterator[str]:
    """Yield the problems of values that are valid alone but not together."""
    ldap = next(iter(decoded.get(Ldap, [])), Ldap())
    web = next(iter(decoded.get(Web, [])), None)
    sync = next(iter(decoded.get(Sync, [])), Sync())
    google = next(iter(decoded.get(Google, [])), Google())
    yield from _tls_contradictions(ldap, web, has_certificate=Tls in decoded)
    if ldap.reuse_port and sys.platform != "linux":
        yield "ldap.reuse_port = true: only Linux spreads connections over several gateways; leave out the setting"
    for endpoint in (*ldap.listen, *ldap.listen_tls) if ldap.reuse_port else ():
        if not endpoint.startswith(("tcp:", "tcp4:", "tcp6:")):
            yield f'ldap.reuse_port = true: "{endpoint}" cannot be shared; expected TCP ports alone, such as "tcp:389"'
    shortest = Duration(1) if google.is_on_loopback else Duration(60)
    if sync.interval < shortest:
        yield f'sync.interval = "{sync.interval}": expected at least {shortest}'
    keys: dict[str, str] = {}
    for key, endpoints, proxies in (
        ("ldap.listen", ldap.listen, ldap.proxy_protocol),
        ("ldap.listen_tls", ldap.listen_tls, ldap.proxy_protocol),
        ("web.listen", web.listen if web else (), web.proxy_protocol if web else ()),
        ("web.listen_tls", web.listen_tls if web else (), web.proxy_protocol if web else ()),
    ):
        for endpoint in endpoints:
            if endpoint.startswith("haproxy:"):
                yield (
                    f'{key} = "{endpoint}": expected {endpoint.removeprefix("haproxy:")}, and the proxies in '
                    f"{key.partition('.')[0]}.proxy_protocol; haproxy: would accept a header from anybody"
                )
            if proxies and endpoint.startswith(("ssl:", "tls:")):
                setting = f"{key.partition('.')[0]}.proxy_protocol"
                yield f'{key} = "{endpoint}": cannot have {setting}, because the header of a proxy comes before TLS'
            if endpoint in keys and not endpoint.startswith("tcp:0"):
                yield f'{key} = "{endpoint}": {keys[endpoint]} already listens on this endpoint'
            keys[endpoint] = key


def _tls_contradictions(ldap: Ldap, web: Web | None, *, has_certificate: bool) -> Iterator[str]:
    """Yield the problems of settings for TLS."""
    for table, endpoints in (("ldap", ldap.listen_tls), ("web", web.listen_tls if web else ())):
        if endpoints and not has_certificate:
            value = _abbreviated_json(endpoints)
            yield f"{table}.listen_tls = {value}: needs the table [tls] with certificate and private_key"
    if web and web.listen_tls and not web.public_url.startswith("https:"):
        yield f'web.public_url = "{web.public_url}": expected https:// in front, because web.listen_tls serves HTTPS'
    if ldap.require_tls and not has_certificate:
        yield "ldap.require_tls = true: needs the table [tls]; without it, no phone can log in"


def _path_contradictions(decoded: Mapping[type[Table], Sequence[Any]]) -> Iterator[str]:
    """Yield the problem of a path in the page's URL that the gateway could not distinguish from its own paths."""
    for web in decoded.get(Web, []):
        url = _abbreviated_json(web.public_url)
        path = urlsplit(web.public_url).path
        if not re.fullmatch(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*", path):
            yield f"web.public_url = {url}: expected a path of letters, digits and . _ ~ -"
        first = path.split("/")[1] if path else ""
        if path and (first in OWN_PATHS or first in {tenant.name for tenant in decoded.get(Tenant, [])}):
            yield (
                f"web.public_url = {url}: expected a path that does not begin with a tenant's name, nor with one of "
                f"{', '.join(sorted(OWN_PATHS))}"
            )


def _tenant_contradictions(tenants: Sequence[Tenant]) -> Iterator[str]:
    earlier: dict[str, Tenant] = {}
    for tenant in tenants:
        where = f'tenant "{tenant.name}"'
        if tenant.name in earlier:
            yield f"{where}: name is used twice"
        base = Dn.parse(tenant.base_dn).key
        yield from _alias_contradictions(tenant, earlier.values(), where)
        for other in earlier.values():
            other_base = Dn.parse(other.base_dn).key
            shorter = min(len(base), len(other_base))
            if base[-shorter:] == other_base[-shorter:]:
                yield (
                    f'{where}: base_dn = "{tenant.base_dn}": expected a DN that is neither within nor above '
                    f'"{other.base_dn}" of tenant "{other.name}"'
                )
        earlier[tenant.name] = tenant
        if tenant.client_secret_file and (tenant.client_id or tenant.client_secret):
            yield f"{where}: expected client_secret_file, or client_id with client_secret, not both"
        if not tenant.sources or len(set(tenant.sources)) < len(tenant.sources):
            sources = _abbreviated_json(tenant.sources)
            yield f"{where}: sources = {sources}: expected at least one source, and each only once"
        yield from _label_contradictions(tenant, where)
        yield from _delegation_contradictions(tenant, where)
        yield from _file_contradictions(tenant, where)
        if tenant.sharing.group and tenant.sharing.group not in {group.name for group in tenant.group}:
            yield f'{where}: sharing = "{tenant.sharing}": there is no such [[tenant.group]]'
        if len(set(map(folded, tenant.book_order))) < len(tenant.book_order):
            yield f"{where}: book_order = {_abbreviated_json(tenant.book_order)}: expected each book once"
        if len(tenant.book_order) > MAX_ORDERED_BOOKS:
            yield f"{where}: book_order: expected {MAX_ORDERED_BOOKS} books at most"
        if tenant.dial != "browser" and not tenant.dial_url:
            yield f'{where}: dial = "{tenant.dial}": needs dial_url, the address that the gateway calls'
        if bool(tenant.client_id) != bool(tenant.client_secret):
            yield f"{where}: expected both client_id and client_secret"


def _delegation_contradictions(tenant: Tenant, where: str) -> Iterator[str]:
    for delegation in tenant.delegation:
        if not (delegation.users or delegation.groups or delegation.org_units):
            yield f"{where}: delegation: expected users, groups or org_units, which say whose contacts are read"


def _file_contradictions(tenant: Tenant, where: str) -> Iterator[str]:
    names = [file.name for file in tenant.file]
    groups = {group.name for group in tenant.group}
    for number, file in enumerate(tenant.file):
        group = Sharing(file.sharing).group
        if file.name in names[:number]:
            yield f'{where}: file "{file.name}": name is used twice; expected each file\'s own name'
        if group and group not in groups:
            yield f'{where}: file "{file.name}": sharing = "{file.sharing}": there is no such [[tenant.group]]'
    for name in tenant.book_order:
        if "@" not in name and name not in (*OTHER_BOOKS, *names):
            yield f'{where}: book_order = "{name}": there is no [[tenant.file]] of this name'


def _key_file_problems(tenant: Tenant) -> Iterator[str]:
    """Yield the problem of a service account's key file, which the gateway reads at the start."""
    for delegation in tenant.delegation:
        where = f'tenant "{tenant.name}": delegation: key_file = {delegation.key_file}'
        try:
            read_key_file(Path(delegation.key_file).read_bytes())
        except OSError as error:
            yield f"{where}: cannot be read: {error.strerror}"
        except UnfitKeyFile as error:
            yield f"{where}: {error.problems[0]}"


def _alias_contradictions(tenant: Tenant, others: Iterable[Tenant], where: str) -> Iterator[str]:
    for other in others:
        known = {alias.lower(): name for alias, name in other.attribute_aliases}
        for alias, name in tenant.attribute_aliases:
            if known.get(alias.lower(), name) != name:
                yield (
                    f"{where}: attribute_aliases: {alias} = {_abbreviated_json(name)}: expected the same value as in "
                    f'tenant "{other.name}", because an alias stands for the same attribute in all tenants'
                )


def _label_contradictions(tenant: Tenant, where: str) -> Iterator[str]:
    included, excluded = ({label.casefold() for label in labels} for labels in (tenant.labels, tenant.exclude_labels))
    both = [label for label in tenant.exclude_labels if label.casefold() in included]
    if both:
        yield f"{where}: exclude_labels = {_abbreviated_json(both)}: expected labels that are not in labels"
    for key in ("block_label", "shared_label"):
        label: str = getattr(tenant, key)
        if label.casefold() in excluded:
            yield f'{where}: {key} = "{label}": expected a label that is not in exclude_labels'


def _role_contradictions(config: Config) -> Iterator[str]:
    if not config.roles or len(set(config.roles)) < len(config.roles):
        yield f"roles = {_abbreviated_json(config.roles)}: expected at least one role, and each only once"
    elif len(config.roles) < len(ROLES) and not config.database.is_on_server:
        yield (
            f"roles = {_abbreviated_json(config.roles)}: only gateways on a PostgreSQL database can share the work; "
            "leave the setting out"
        )


def _with_password(config: Config, problems: list[str]) -> DatabaseUrl:
    """Return the database's URL with the password from its file."""
    try:
        url = make_url(config.database or "sqlite://")
    except (ArgumentError, ValueError):
        problems.append(f"database: expected {DatabaseUrl.expected}")
        return config.database
    key = f"database_password_file = {config.database_password_file}"
    if config.database_password_file is None:
        return config.database
    if not config.database.is_on_server or not url.username:
        problems.append(f'{key}: needs database = "postgresql+psycopg://USER@HOST/NAME"')
    elif url.password is not None:
        problems.append(f"{key}: the password is in database already; expected it in one of the two")
    else:
        try:
            password = Path(config.database_password_file).read_text("utf-8").rstrip("\r\n")
            return DatabaseUrl(url.set(password=password).render_as_string(hide_password=False))
        except OSError as error:
            problems.append(f"{key}: cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            problems.append(f"{key}: is not text in UTF-8")
    return config.database


def _with_client(tenant: Tenant, problems: list[str]) -> Tenant:
    """Return the tenant with the id and secret of its client file from the Google console."""
    if not tenant.client_secret_file:
        return tenant
    key = f'tenant "{tenant.name}": client_secret_file'
    try:
        client, _ = read_client_file(Path(tenant.client_secret_file).read_bytes())
    except OSError as error:
        problems.append(f"{key} = {tenant.client_secret_file}: cannot be read: {error.strerror}")
        return tenant
    except UnfitClientFile as error:
        problems.append(f"{key}: {error.problems[0]}")
        return tenant
    return msgspec.structs.replace(tenant, client_id=client.client_id, client_secret=Secret(client.client_secret))

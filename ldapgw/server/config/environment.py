# SPDX-License-Identifier: MIT
"""Settings from the environment: ``LDAPGW__LDAP__SIZE_LIMIT=500`` sets ``size_limit = 500`` in ``[ldap]``.

Two underscores separate a table and its key.  A tenant's variable contains the tenant's name, with underscores for
hyphens (``LDAPGW__TENANT__ACME__REGION``).  The name reaches from ``TENANT__`` to the last two underscores, so a
variable belongs to only one tenant.  Variables that set every required key can add a tenant that the file does not
have.

A variable whose name ends in ``__FROM_FILE`` names a file that contains the value.  The ending ``_FILE`` means the
same, unless a setting has the whole name.  A file in ``$CREDENTIALS_DIRECTORY`` (systemd's ``LoadCredential=``) also
contains a value.  The name of this file is the name of a variable, with or without ``__FROM_FILE``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from ldapgw.errors import UserError, closest
from ldapgw.server.config.forms import Secret, read_form
from ldapgw.server.config.tables import Tenant, all_tables

PREFIX = "LDAPGW__"
_FROM_FILE = "__FROM_FILE"
_FILE = "_FILE"
_FORMS = f"{PREFIX}KEY, {PREFIX}TABLE__KEY or {PREFIX}TENANT__NAME__KEY"
# Variables that are not settings of the file.
_OTHER_NAMES = frozenset({"LDAPGW_CONFIG", "LDAPGW_COMPILE"})
# The variables that Kubernetes sets for a service whose name begins with ldapgw, such as LDAPGW_LDAP_PORT with the
# service's address.
_OF_A_SERVICE = re.compile(
    r"LDAPGW(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*"
    r"|LDAPGW(_[A-Z0-9]+)*_PORT=(tcp|udp|sctp)://.*"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting from the environment.

    :ivar name: the variable, or the credential.
    :ivar path: the table, if any, and the key.  A tenant's setting has three parts: ``tenant``, the tenant's name with
        underscores, and the key.
    :ivar file: the file that holds the value, or None if the variable holds the value.
    """

    name: str
    path: tuple[str, ...]
    text: str = field(repr=False)
    file: Path | None = field(default=None, repr=False)

    @property
    def is_secret(self) -> bool:
        """Return whether the value is a secret, which no message may show."""
        hint = _hint(self.path)
        return isinstance(hint, type) and issubclass(hint, Secret)


def read_settings(environment: Mapping[str, str]) -> tuple[Setting, ...]:
    """Read the settings of an environment, and the files that its variables name.

    :raises UserError: with all names that are no setting's name, and all files that cannot be read.
    """
    problems: list[str] = []
    settings: dict[tuple[str, ...], Setting] = {}
    for name, path, read in sorted(_named_values(environment), key=lambda named: named[0]):
        if not name.startswith(PREFIX) or "" in path or len(path) > (3 if path[0] == "tenant" else 2):
            closest = closest_name(name)
            advice = f"did you mean {closest}?" if closest else f"expected {_FORMS}"
            problems.append(f"{name}: is no setting; {advice}")
        elif path[0] == "tenant" and path[-1] == "name":
            problems.append(f"{name}: the name of a tenant cannot be set: its variables contain the name")
        elif path in settings:
            problems.append(f"{name}: is the same setting as {settings[path].name}; set one of them")
        else:
            try:
                text = Path(read).read_text("utf-8").rstrip("\r\n") if isinstance(read, Path) else read
                text.encode()
                settings[path] = Setting(name, path, text, read if isinstance(read, Path) else None)
            # The message leaves out the name of the file, because somebody may have set the secret itself as the name.
            except OSError as error:
                problems.append(f"{name}: the file cannot be read: {error.strerror}")
            except UnicodeError:
                problems.append(f"{name}: the value is not text in UTF-8")
    if problems:
        raise UserError(problems)
    return tuple(settings.values())


def closest_name(name: str) -> str | None:
    """Return the name of the known variable that is most similar to an unknown name, or None if no name is similar."""
    words = _words(name)
    keys = "|".join(sorted(get_type_hints(Tenant).keys() - {"name"}, key=len, reverse=True)).upper()
    if tenant := re.fullmatch(rf"TENANT_(.+?)_({keys})(?:(_FROM)?_FILE)?", words):
        suffix = _FROM_FILE if tenant[3] else _FILE if words.endswith(f"{tenant[2]}{_FILE}") else ""
        return f"{PREFIX}TENANT__{tenant[1]}__{tenant[2]}{suffix}"
    known = {_words(other + suffix): other for other in _OTHER_NAMES for suffix in ("", _FROM_FILE, _FILE)}
    for path, table in all_tables().items():
        for key in get_type_hints(table):
            if (key,) not in all_tables() and "tenant" not in path:
                variable = PREFIX + "__".join((*path, key)).upper()
                known |= {_words(name): name for name in (variable + _FROM_FILE, variable + _FILE)}
                known[_words(variable)] = variable
    meant = closest(words, known)
    return None if meant is None else known[meant]


def _words(name: str) -> str:
    return re.sub("_+", "_", name).removeprefix("LDAPGW_").strip("_")


def _path(name: str) -> tuple[str, ...]:
    """Return the path of the setting that a variable names: the table, the tenant if there is one, and the key.

    A part of the path is empty if the variable cannot name a setting.

    :param name: the variable's name in lower case, without `PREFIX`.
    """
    table, _, rest = name.partition("__")
    if table == "tenant" and rest:
        tenant, _, key = rest.rpartition("__")
        return table, tenant, key
    return tuple(name.split("__"))


def _hint(path: Sequence[str]) -> Any:
    """Return the type of a setting's value, or None if there is no such setting."""
    *parents, key = path
    table = all_tables().get(tuple(parents[:1]))
    return get_type_hints(table, include_extras=True).get(key) if table else None


def _split_suffix(name: str) -> tuple[tuple[str, ...], bool]:
    """Return the path of the setting that a variable names, and whether a file holds the value."""
    plain = name.removeprefix(PREFIX).lower()
    if plain.endswith(_FROM_FILE.lower()):
        return _path(plain.removesuffix(_FROM_FILE.lower())), True
    whole, path = _path(plain), _path(plain.removesuffix(_FILE.lower()))
    return (whole, False) if _hint(whole) or not _hint(path) else (path, True)


def file_variable(name: str) -> str:
    """Return the name of the variable that names the file with a setting's value.

    :param name: the variable that contains the value.
    """
    return name + (_FILE if _split_suffix(name + _FILE)[1] else _FROM_FILE)


def _named_values(environment: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...], str | Path]]:
    """Yield each name that looks like a setting, with its path, and with its value or the file that holds the value."""
    for name, text in environment.items():
        if name.startswith("LDAPGW_") and name not in _OTHER_NAMES and not _OF_A_SERVICE.match(f"{name}={text}"):
            path, is_in_file = _split_suffix(name)
            yield name, path, Path(text) if is_in_file else text
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        for file in Path(folder).glob(f"{PREFIX}*"):
            name = file.name.removesuffix(_FROM_FILE)  # the name of a file may end in ``__FROM_FILE``
            yield file.name, _path(name.removeprefix(PREFIX).lower()), file


def merge(document: Mapping[str, Any], settings: Sequence[Setting]) -> tuple[dict[str, Any], dict[str, str]]:
    """Replace values of a decoded TOML document by settings.

    :returns: the document; and the variables that gave values, by the path of the value, such as ``ldap.size_limit``.
    :raises UserError: if a tenant that is not in the document lacks a required setting; the error names the tenant's
        variables.
    """
    merged: dict[str, Any] = dict(document)
    names: dict[str, str] = {}
    in_file = {f"tenant[{number}]." for number, _ in enumerate(_tables(document), 1)}
    for setting in settings:
        *parents, key = setting.path
        is_of_tenant = parents[:1] == ["tenant"]
        table, where = _tenant(merged, parents[1]) if is_of_tenant else _table(merged, parents)
        if table is not None:
            hint = _hint(setting.path)
            table[key] = setting.text if hint is None else _value(hint, setting.text)
            names[where + key if tuple(parents[:1]) in all_tables() else parents[0]] = setting.name
            if is_of_tenant and where not in in_file:
                # A tenant that is not in the file has its name from a variable, so a problem of the name is reported
                # for the variable.
                names.setdefault(where + "name", setting.name)
    if problems := list(_unknown_tenants(document, merged, settings)):
        raise UserError(problems)
    return merged, names


def _unknown_tenants(
    document: Mapping[str, Any], merged: Mapping[str, Any], settings: Sequence[Setting]
) -> Iterator[str]:
    """Yield the problems of new tenants that lack a required setting: their names are probably misspelt."""
    configured = [str(tenant.get("name")) for tenant in _tables(document)]
    required = {field.name for field in msgspec.structs.fields(Tenant) if field.required}
    lacking = {
        str(tenant["name"]): sorted(required - tenant.keys())
        for tenant in _tables(merged)
        if str(tenant.get("name")) not in configured and not required <= tenant.keys()
    }
    known = [str(tenant["name"]) for tenant in _tables(merged) if tenant.get("name", "") not in ("", *lacking)]
    for setting in settings:
        name = setting.path[1].replace("_", "-") if len(setting.path) == 3 else ""
        if name in lacking:
            close = closest(name, known)
            meant = f'did you mean "{close}"' if close else f"the tenants are: {', '.join(known) or 'none'}"
            variables = ", ".join(f"{PREFIX}TENANT__{setting.path[1]}__{key}".upper() for key in lacking[name])
            yield f'{setting.name}: there is no tenant "{name}"; {meant}; to add a tenant, set {variables} too'


def _tables(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tables of tenants; empty if the key ``tenant`` of the document has another kind of value."""
    tenants = document.get("tenant", [])
    return [tenant for tenant in tenants if isinstance(tenant, Mapping)] if isinstance(tenants, list) else []


def _table(document: dict[str, Any], parents: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Return a table to write to, and its path; None if the table's key has another kind of value in the file."""
    if not parents:
        return document, ""
    (name,) = parents
    table = document.get(name, {})
    if not isinstance(table, Mapping):
        return None, ""
    document[name] = dict(table)
    return document[name], f"{name}."


def _tenant(document: dict[str, Any], name: str) -> tuple[dict[str, Any] | None, str]:
    """Return a tenant's table to write to, and its path; None if ``tenant`` has another kind of value in the file."""
    tenants = document.get("tenant", [])
    if not isinstance(tenants, list) or not all(isinstance(tenant, Mapping) for tenant in tenants):
        return None, ""
    document["tenant"] = tenants = [dict(tenant) for tenant in tenants]
    for number, tenant in enumerate(tenants, 1):
        if str(tenant.get("name")).replace("-", "_") == name:
            return tenant, f"tenant[{number}]."
    tenants.append({"name": name.replace("_", "-")})
    return tenants[-1], f"tenant[{len(tenants)}]."


def _value(hint: Any, text: str) -> Any:
    """Convert a text to the type that a key expects: to text, to a value of TOML, or to a list.

    If no conversion fits, return the text, which the decoder then refuses.
    """
    for candidate in _candidates(text):
        try:
            msgspec.convert(candidate, hint, dec_hook=read_form)
        except (msgspec.ValidationError, ValueError, TypeError):
            continue
        return candidate
    return text


def _candidates(text: str) -> Iterator[Any]:
    yield text
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        yield msgspec.toml.decode(f"value = {text}".encode())["value"]
    yield [item.strip() for item in text.split(",")]

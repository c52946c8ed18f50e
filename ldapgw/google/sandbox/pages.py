# SPDX-License-Identifier: MIT
"""The sandbox's own pages: values in, HTML out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ldapgw.google.sandbox import controls
from ldapgw.google.sandbox.authorization import SCOPES, AuthorizationError, ConsentPage
from ldapgw.google.sandbox.shelf import Resource
from ldapgw.google.sandbox.world import World

_TEMPLATES = Environment(
    loader=PackageLoader("ldapgw.google.sandbox"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def front(world: World, base: str) -> str:
    """The page at ``/``: what this is, who is here, how a gateway uses it.

    :param base: the sandbox's own address, as the browser knows it.
    """
    clients = list(world.clients.values())
    return _render("front.html", state=controls.state(world), base=base, issuer=world.issuer, client=clients[:1])


def consent(page: ConsentPage, action: str) -> str:
    """The consent page.

    :param action: where its form goes: the request's own path and query.
    """
    choices = [(scope, SCOPES[scope]) for scope in page.request.choices]
    return _render("consent.html", page=page, choices=choices, action=action)


def error(problem: AuthorizationError) -> str:
    """Google's error page."""
    return _render("error.html", problem=problem)


def control(world: World, note: str = "") -> str:
    """The control page: faults, tokens, time.

    :param note: what was wrong with the last wish.
    """
    state = controls.state(world)
    clock = datetime.fromtimestamp(state["time"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return _render("control.html", state=state, clock=clock, note=note)


def persons(world: World, account: str, source: str) -> str:
    """An account's persons, with a form to add one."""
    rows = [(person["resourceName"], *_summary(person)) for person in controls.persons(world, account, source)]
    return _render("persons.html", account=account, source=source, rows=rows)


def person(world: World, account: str, resource_name: str) -> str:
    """One person as JSON, to be changed."""
    shown = world.person(account, resource_name)
    editable = {name: value for name, value in shown.items() if name not in ("resourceName", "etag", "metadata")}
    text = json.dumps(_without_metadata(editable), ensure_ascii=False, indent=2)
    return _render("person.html", account=account, name=resource_name, title=_summary(shown)[0], text=text)


def style() -> bytes:
    """The one style sheet."""
    return resources.files(__package__).joinpath("templates", "style.css").read_bytes()


def _render(template: str, **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(**values)


def _summary(person: Resource) -> tuple[str, str]:
    """What a list shows of a person: its name or company, its numbers."""
    names = [name.get("displayName") for name in person.get("names", ())]
    companies = [organization.get("name") for organization in person.get("organizations", ())]
    mails = [mail.get("value") for mail in person.get("emailAddresses", ())]
    shown = next((text for text in (*names, *companies, *mails) if text), "(no name)")
    return str(shown), ", ".join(str(number.get("value", "")) for number in person.get("phoneNumbers", ()))


def _without_metadata(fields: dict[str, Any]) -> dict[str, Any]:
    """What somebody typed, without what the server keeps beside it."""
    return {
        name: [{key: kept for key, kept in item.items() if key not in ("metadata", "formattedType")} for item in value]
        if isinstance(value, list)
        else value
        for name, value in fields.items()
    }

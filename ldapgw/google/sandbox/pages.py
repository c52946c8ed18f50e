# SPDX-License-Identifier: MIT
"""The rendering of the sandbox's pages: front page, consent page, control page and persons."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ldapgw.google.sandbox import controls
from ldapgw.google.sandbox.authorization import SCOPES, AuthorizationError, ConsentPage
from ldapgw.google.sandbox.lists import Resource
from ldapgw.google.sandbox.world import World

_TEMPLATES = Environment(
    loader=PackageLoader("ldapgw.google.sandbox"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def front(world: World, base: str) -> str:
    """Render the page at ``/``: the accounts of the sandbox, and the configuration of a gateway for the sandbox.

    :param base: base URL of the sandbox in the browser.
    """
    clients = list(world.clients.values())
    return _render("front.html", state=controls.state(world), base=base, issuer=world.issuer, clients=clients[:1])


def consent(page: ConsentPage, action: str) -> str:
    """Render the consent page.

    :param action: target of the form: path and query of the request.
    """
    choices = [(scope, SCOPES[scope]) for scope in page.choices]
    return _render("consent.html", page=page, choices=choices, action=action)


def error(problem: AuthorizationError) -> str:
    """Render Google's error page."""
    return _render("error.html", problem=problem)


def control(world: World, note: str = "") -> str:
    """Render the control page: faults, tokens and time.

    :param note: the error message for the last control, if any.
    """
    state = controls.state(world)
    clock = datetime.fromtimestamp(state["time"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return _render("control.html", state=state, clock=clock, note=note)


def persons(world: World, account: str, source: str) -> str:
    """Render the persons of an account's source, with a form to add a person."""
    rows = [(person["resourceName"], *_summary(person)) for person in controls.persons(world, account, source)]
    return _render("persons.html", account=account, source=source, rows=rows)


def person(world: World, account: str, resource_name: str) -> str:
    """Render a form in which a person can be edited as JSON."""
    resource = world.person(account, resource_name)
    editable = {name: value for name, value in resource.items() if name not in ("resourceName", "etag", "metadata")}
    text = json.dumps(_without_metadata(editable), ensure_ascii=False, indent=2)
    return _render("person.html", account=account, name=resource_name, title=_summary(resource)[0], text=text)


def style() -> bytes:
    """Return the style sheet of all pages."""
    return resources.files(__package__).joinpath("templates", "style.css").read_bytes()


def _render(template: str, **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(**values)


def _summary(person: Resource) -> tuple[str, str]:
    """Return the name, company or address of a person, and the person's numbers, for a list."""
    names = [name.get("displayName") for name in person.get("names", ())]
    companies = [organization.get("name") for organization in person.get("organizations", ())]
    mails = [mail.get("value") for mail in person.get("emailAddresses", ())]
    title = next((text for text in (*names, *companies, *mails) if text), "(no name)")
    return str(title), ", ".join(str(number.get("value", "")) for number in person.get("phoneNumbers", ()))


def _without_metadata(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields without the values that the server adds."""
    return {
        name: [
            {key: inner for key, inner in item.items() if key not in ("metadata", "formattedType")} for item in value
        ]
        if isinstance(value, list)
        else value
        for name, value in fields.items()
    }

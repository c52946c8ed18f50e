# SPDX-License-Identifier: MIT
"""The worlds of the demo, and the short format in which ``data/people.json`` has their persons.

The usual world has two accounts of the Workspace acme.example, one consumer account, and an OAuth client.  The other
world is a Workspace of 200 users whose administrator has authorized a service account.

In the short format, a number has the form ``type value``, or ``type value=canonical`` if the value does not show the
country.  An address has the form ``street|postal code|city|country``, and a name has the form ``given|family``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from ldapgw.google.sandbox.fields import PersonKind
from ldapgw.google.sandbox.grants import Now, RandomBytes
from ldapgw.google.sandbox.persons import PersonGenerator, SeededRandom, memberships, plain, postal_address, read_data
from ldapgw.google.sandbox.workspace import GROUPS_SCOPE, USERS_SCOPE
from ldapgw.google.sandbox.world import RegisteredClient, World

DOMAIN = "acme.example"
ALICE = "alice@acme.example"
BOB = "bob@acme.example"
CAROL = "carol.private@gmail.example"

CLIENT_ID = "123456789012-sandbox.apps.googleusercontent.com"
# Not secret: the sandbox has invented data only, and every gateway needs the value.
CLIENT_SECRET = "GOCSPX-sandbox-is-no-secret"  # noqa: S105 - published on purpose, see above
# The service account has no authorized scopes in the usual world: an administrator authorizes them on the control page.
SERVICE_ACCOUNT = "phonebook@acme-phones.iam.gserviceaccount.com"
REDIRECT_URIS = ("http://localhost:8080/oauth/callback", "http://127.0.0.1:8080/oauth/callback")

# The Workspace of 200 users: its administrator, its groups, and the units of its users.
ADMINISTRATOR = "admin@acme.example"
SALES, SALES_WEST, PHONES = "sales@acme.example", "sales-west@acme.example", "phones@acme.example"
USERS = 200
_UNITS = ("/Sales", "/Sales/West", "/Service", "/Service/Workshop", "/Administration")
_SWITCHBOARD = "+49 30 23125"
_SERVICE_SCOPES = (
    "https://www.googleapis.com/auth/contacts.readonly",
    "https://www.googleapis.com/auth/contacts.other.readonly",
    "https://www.googleapis.com/auth/directory.readonly",
    USERS_SCOPE,
    GROUPS_SCOPE,
)

LABELS = ("Customers", "Suppliers", "Family")
# Domains of consumer accounts, which belong to no Workspace and have no directory.
_CONSUMER_DOMAINS = ("gmail.com", "googlemail.com", "gmail.example")

# 2025-11-01: a fixed date, so that nothing looks changed after a restart of the sandbox.
_UPDATED = 1761955200.0

People = Mapping[str, Sequence[Mapping[str, Any]]]


def demo_world(
    *,
    now: Now,
    random: RandomBytes,
    issuer: str = "https://accounts.google.com",
    redirect_uris: Sequence[str] = REDIRECT_URIS,
    people: People | None = None,
) -> World:
    """Return a world: some 300 contacts of Alice, 40 of Bob and 12 of Carol, a directory and a few other contacts.

    :param people: contacts from a file by account (`fields.load_people`), which replace the account's contacts.
    """
    world = World(now=now, random=random, issuer=issuer)
    world.register(RegisteredClient(CLIENT_ID, CLIENT_SECRET, tuple(redirect_uris)))
    world.add_account(ALICE, "Alice", "Adler", hd=DOMAIN)
    world.add_account(BOB, "Bob", "Bergmann", hd=DOMAIN)
    world.add_account(CAROL, "Carol", "Sandmann")
    from_file = {address or ALICE: persons for address, persons in (people or {}).items()}
    world.set_user(ALICE, admin=True)
    world.workspaces.register(SERVICE_ACCOUNT)
    lists = read_data("people.json")
    for address, written, invented in ((ALICE, "alice", 272), (BOB, "bob", 35), (CAROL, "carol", 0)):
        if address not in from_file:
            _add_contacts(world, address, lists[written], invented)
    for address, persons in from_file.items():
        _add_from_file(world, address, persons)
    for entry in lists["other"]:
        world.add_person(ALICE, _person(entry), "other_contacts", updated=_UPDATED)
    for entry in lists["directory"]:
        kind = PersonKind.DOMAIN_CONTACT if entry.get("shared") else PersonKind.DOMAIN_PROFILE
        world.add_person(ALICE, _colleague(entry, DOMAIN), "directory", kind=kind, updated=_UPDATED)
    return world


def workspace_world(
    *,
    now: Now,
    random: RandomBytes,
    issuer: str = "https://accounts.google.com",
    redirect_uris: Sequence[str] = REDIRECT_URIS,
    users: int = USERS,
) -> World:
    """Return a world with a Workspace whose users have 5 to 30 contacts each, and with a service account.

    The administrator has some 300 contacts.  The last user has left and is suspended.  The group `SALES` contains the
    group `SALES_WEST`, and every fourth user belongs to `PHONES`.

    :param users: the number of users, 2 or more.
    """
    world = World(now=now, random=random, issuer=issuer)
    world.register(RegisteredClient(CLIENT_ID, CLIENT_SECRET, tuple(redirect_uris)))
    world.add_account(ADMINISTRATOR, "Alice", "Adler", hd=DOMAIN)
    world.set_user(ADMINISTRATOR, admin=True, org_unit="/Administration")
    _add_contacts(world, ADMINISTRATOR, read_data("people.json")["alice"], 272)
    generator, random_numbers = PersonGenerator(DOMAIN), SeededRandom(DOMAIN)
    for given, family in islice(_names(generator), users - 1):
        _hire(world, given, family, random_numbers.pick(_UNITS))
    for user in list(world.accounts)[1:]:
        for person in generator.invent(5 + random_numbers.below(26), ()):
            world.add_person(user, person, updated=_UPDATED)
    world.set_user(list(world.accounts)[-1], suspended=True)
    _add_groups(world)
    world.workspaces.register(SERVICE_ACCOUNT)
    world.workspaces.authorize(SERVICE_ACCOUNT, DOMAIN, _SERVICE_SCOPES)
    return world


def _names(generator: PersonGenerator) -> Iterator[tuple[str, str]]:
    """Yield given names and family names in Latin letters, without end."""
    while True:
        for person in generator.invent(100, ()):
            name = person.get("names", [{}])[0]
            given, family = name.get("givenName", ""), name.get("familyName", "")
            if plain(given) and plain(family):
                yield given, family


def _hire(world: World, given: str, family: str, unit: str) -> None:
    """Add a user with a profile in the directory."""
    number = len(world.accounts)
    local = f"{plain(given)}.{plain(family)}"
    address = f"{local}@{DOMAIN}" if f"{local}@{DOMAIN}" not in world.accounts else f"{local}{number}@{DOMAIN}"
    world.add_account(address, given, family, hd=DOMAIN)
    world.set_user(address, org_unit=unit)
    profile = {
        "names": [{"givenName": given, "familyName": family}],
        "emailAddresses": [{"value": address, "type": "work"}],
        "phoneNumbers": [{"value": f"{_SWITCHBOARD} {number + 200}", "type": "work"}],
    }
    world.add_person(address, profile, "directory", updated=_UPDATED)


def _add_groups(world: World) -> None:
    users = list(world.accounts.values())
    west = [user.address for user in users if user.org_unit == "/Sales/West"]
    world.workspaces.set_group(SALES_WEST, "Sales West", west)
    inland = [user.address for user in users if user.org_unit == "/Sales"]
    world.workspaces.set_group(SALES, "Sales", [*inland, SALES_WEST])
    world.workspaces.set_group(PHONES, "Phones", [user.address for user in users[::4]])


def _add_contacts(world: World, address: str, written: Sequence[_PersonSpec], invented: int) -> None:
    labels = {name: world.add_label(address, name) for name in LABELS}
    for entry in written:
        world.add_person(address, _contact(entry, labels), updated=_UPDATED)
    for number, person in enumerate(PersonGenerator(address).invent(invented, tuple(labels.values()))):
        world.add_person(address, person, updated=_UPDATED + 3600.0 * number)


def _add_from_file(world: World, address: str, persons: Sequence[Mapping[str, Any]]) -> None:
    """Add the contacts of a file, and the account if it does not exist."""
    if address not in world.accounts:
        local, _, domain = address.rpartition("@")
        world.add_account(
            address, local.partition(".")[0].title(), domain, hd="" if domain in _CONSUMER_DOMAINS else domain
        )
    for person in persons:
        world.add_person(address, person)


# --- the short format -------------------------------------------------------------------------------------------------

_STARRED = "contactGroups/starred"

_PersonSpec = Mapping[str, Any]


def _contact(spec: _PersonSpec, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a contact.

    :param labels: resource names of groups by their names.
    """
    person = _person(spec)
    groups = [labels[name] for name in spec.get("labels", ())] + [_STARRED] * bool(spec.get("starred"))
    # Google's own pages hide contacts that are not in "My contacts".
    person["memberships"] = [] if spec.get("hidden") else memberships(*groups)
    return person


def _colleague(spec: _PersonSpec, domain: str) -> dict[str, Any]:
    """Return a profile of the Workspace directory, or a shared contact of its administrator."""
    person = _person(spec)
    if spec.get("shared"):
        return person
    given = spec["name"].partition("|")[0]
    person["emailAddresses"] = [{"value": f"{plain(given)}@{domain}", "type": "work"}]
    person["organizations"] = [
        {"name": "Acme GmbH", "type": "work", "current": True}
        | {key: spec[key] for key in ("title", "department") if key in spec}
    ]
    numbers = person.setdefault("phoneNumbers", [])
    if extension := spec.get("extension"):
        numbers.append({"value": f"{_SWITCHBOARD} {extension}", "type": "work"})
        numbers.append({"value": extension, "type": "Durchwahl"})
    if mobile := spec.get("mobile"):
        numbers.append({"value": f"+49 171 39200{mobile}", "type": "mobile"})
    return person


def _person(spec: _PersonSpec) -> dict[str, Any]:
    """Return a person without labels, such as an "other contact", which Google collects from mails and calls."""
    person: dict[str, Any] = {}
    if "name" in spec:
        person["names"] = [_name(spec)]
    if "nickname" in spec:
        person["nicknames"] = [{"value": spec["nickname"]}]
    organization = {"name": spec.get("company"), "title": spec.get("title"), "department": spec.get("department")}
    if spec.get("company"):
        person["organizations"] = [{key: value for key, value in organization.items() if value}]
    if "phones" in spec:
        person["phoneNumbers"] = [_number(text) for text in spec["phones"]]
    if "mails" in spec:
        person["emailAddresses"] = [_mail(text) for text in spec["mails"]]
    if "address" in spec:
        person["addresses"] = [postal_address(*spec["address"].split("|"))]
    if "urls" in spec:
        person["urls"] = [{"value": url} for url in spec["urls"]]
    if "notes" in spec:
        person["biographies"] = [{"value": spec["notes"], "contentType": "TEXT_PLAIN"}]
    return person


def _name(spec: _PersonSpec) -> dict[str, str]:
    given, _, family = spec["name"].partition("|")
    if spec.get("swap"):
        given, family = family, given
    name = {key: value for key, value in (("givenName", given), ("familyName", family)) if value}
    if prefix := spec.get("prefix"):
        name |= {"honorificPrefix": prefix, "givenName": given.removeprefix(prefix).strip()}
    if spec.get("swap"):
        name["displayName"] = f"{family} {given}"
    if "phonetic" in spec:
        first, _, last = spec["phonetic"].partition("|")
        name |= {"phoneticGivenName": first, "phoneticFamilyName": last, "phoneticFullName": f"{last} {first}"}
    return name


def _number(text: str) -> dict[str, str]:
    """Parse ``type value=canonical``; the value starts with the first word that begins with a digit or ``+*#(``."""
    value, _, canonical = text.partition("=")
    words = value.split(" ")
    index = next(number for number, word in enumerate(words) if word[:1] in tuple("+0123456789*#("))
    kind, typed = " ".join(words[:index]).strip(), " ".join(words[index:])
    number = {"value": typed}
    if canonical:
        number["canonicalForm"] = canonical.replace(" ", "")
    return number | ({"type": kind} if kind else {})


def _mail(text: str) -> dict[str, str]:
    kind, _, value = text.rpartition(" ")
    return {"value": value} | ({"type": kind} if kind else {})

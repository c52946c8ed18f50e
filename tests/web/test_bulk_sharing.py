# SPDX-License-Identifier: MIT
"""An act on many rows makes no entry visible that the page of confirmation did not name."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest

from ldapgw.contact import Contact, Kind, Sharing
from ldapgw.directory.dn import Dn
from ldapgw.directory.filter import Equality, Scope, SearchRequest
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.passwords import hash_password
from ldapgw.directory.search import search
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import accounts, contacts, phones, sync_state
from ldapgw.store.accounts import NewGrant
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.web import admin_people, admin_phones
from tests.support.results import result_of
from tests.support.stage.book_clients import person
from tests.support.stage.publishing import make_publisher
from tests.support.stage.web import ACME, BASE, NOW, Browser, Seen, Stage, about, act, store_contacts

GROUP = "contactGroups/1"
OTHER = "contactGroups/2"
# Each person has a sharing, a shared label, and the labels of the contacts.
PEOPLE: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "anna": ("callers", "Customers", (GROUP, GROUP, "", "", "")),
    "bert": ("private", "", ("", "", "")),
    "carl": ("private", "Customers", (GROUP, "", OTHER)),
    "dora": ("shared", "", ("", "")),
    "emil": ("callers", "", (GROUP, "")),
    "fred": ("private", "Gone", ("", "")),
    "gina": ("group:sales", "Customers", (GROUP, "")),
}
ADDRESS = {name: f"{name}@acme.example" for name in PEOPLE}
TENANT = replace(ACME, groups={"sales": 2}, has_provisioning_networks=True)


@dataclass
class Office:
    """The office has people with contacts and a phone each, and a phone without an owner.

    The gateway serves all of them.
    """

    stage: Stage
    admin: Browser
    ids: dict[str, int]

    def __post_init__(self) -> None:
        groups = {"sales": frozenset((ADDRESS["bert"], ADDRESS["gina"]))}
        context = NamingContext(
            "acme", "Acme", Dn.parse(BASE), "DE", "", NumberFormat.E164, lenient=True, groups=groups
        )
        self.publisher = make_publisher(store=self.stage.store, catalog=self.stage.catalog, contexts={"acme": context})

    def visible(self) -> set[tuple[str, str]]:
        """Return pairs of a phone and the uid of a contact that the phone finds, by uid or by number."""
        result_of(self.publisher.refresh())
        snapshot = self.stage.catalog.snapshot
        seen = set()
        for login in snapshot.logins.values():
            for uid, number in NUMBERS.items():
                for found in (Equality("uid", uid.encode()), Equality("telephoneNumber", number.encode())):
                    request = SearchRequest(BASE, Scope.WHOLE_SUBTREE, found)
                    seen |= {(login.name, uid) for _ in search(snapshot.dit, login.viewer, request)}
        return seen

    def ask(self, what: str, keys: list[str], **fields: str) -> tuple[Seen, Seen]:
        """Return the page of confirmation, and the answer to its form."""
        asked = act(self.admin, what, keys)
        return asked, act(self.admin, what, keys, confirmed="1", about=about(asked), **fields)


UIDS = {name: [f"{name}{at}" for at in range(len(labels))] for name, (_, _, labels) in PEOPLE.items()}
NUMBERS = {uid: f"+4930{20000 + at}" for at, uid in enumerate(uid for uids in UIDS.values() for uid in uids)}
LABELLED = {
    uid for name, uids in UIDS.items() for uid, group in zip(uids, PEOPLE[name][2], strict=True) if group == GROUP
}


def made(uid: str, group: str) -> Contact:
    return person(uid, uid, (Kind.WORK, NUMBERS[uid]), labels=(group,) if group else ())


@pytest.fixture(params=["", "Customers"], ids=["no label of the tenant", "label of the tenant"])
def office(request: pytest.FixtureRequest) -> Office:
    stage = Stage(tenants=(replace(TENANT, shared_label=request.param),))
    ids: dict[str, int] = {}
    for name, (sharing, label, groups) in PEOPLE.items():
        grant = NewGrant(name, ADDRESS[name], frozenset(), "at", NOW + 3600, f"rt-{name}", None)
        how = Sharing(sharing)
        ids[name] = stage.do(accounts.connect, stage.secret_box, "acme", grant, how, NOW, shared_label=label)
        stage.do(contacts.set_labels, ids[name], {GROUP: "Customers", OTHER: "Private"})
        store_contacts(stage, ids[name], [made(uid, group) for uid, group in zip(UIDS[name], groups, strict=True)])
        begun = stage.do(sync_state.begin, ids[name])
        stage.do(sync_state.increment_generation, ids[name])
        stage.do(sync_state.end, begun, NOW, NOW + 600)
    for phone, owner in [*((f"{name}-1", ids[name]) for name in PEOPLE), ("hall", None)]:
        hashed = hash_password(phone, lambda count: bytes(count))
        stage.do(phones.add, PhoneLogin(phone, "acme", owner, NumberMode.VALUES, hashed, NOW))
    admin = stage.admin()
    return Office(stage, admin, ids)


def named_by(asked: Seen) -> Iterator[str]:
    """Yield the uids of the contacts that the page about sharing names."""
    for row in re.findall(r"<tr>.*?</tr>", asked.body, re.DOTALL):
        words = html.unescape(" ".join(re.sub(r"<[^>]*>", " ", row).split()))
        for name, address in ADDRESS.items():
            if not words.startswith(address):
                continue
            label = re.search(r"Only those with the label “(.*?)”", words)
            named = [uid for uid in UIDS[name] if not label or (label[1] == "Customers" and uid in LABELLED)]
            assert label or "All of them" in words
            assert f"({len(named)} contact" in words
            yield from named


ACTS = [
    *(("people", act) for act in ("sync", "remind", *admin_people.TEXTS.questions)),
    *(("phones", act) for act in admin_phones.TEXTS.questions),
]
CHOICES: Mapping[str, tuple[dict[str, str], ...]] = {
    "share": tuple({"sharing": sharing} for sharing in ("private", "callers", "group:sales", "shared")),
    "people remove": ({}, {"with_phones": "1"}, {"new_passwords": "1"}),
    "move": ({"owner": "nobody"}, {"owner": "carl"}, {"owner": "carl", "new_passwords": "1"}),
    "model": ({"model": "cisco"},),
    "window": ({"minutes": "60"},),
}
WALK = [(page, act, fields) for page, act in ACTS for fields in CHOICES.get(f"{page} {act}", CHOICES.get(act, ({},)))]


@pytest.mark.parametrize(("page", "act", "fields"), WALK, ids=[f"{p} {a} {' '.join(f.values())}" for p, a, f in WALK])
def test_nothing_becomes_visible_that_was_not_named(
    office: Office, page: str, act: str, fields: dict[str, str]
) -> None:
    before = office.visible()
    keys = [str(key) for key in office.ids.values()] if page == "people" else [f"{name}-1" for name in PEOPLE]
    if fields.get("owner") in office.ids:
        fields = {**fields, "owner": str(office.ids[fields["owner"]])}
    asked, answer = office.ask(f"{page} {act}", keys, **fields)
    assert answer.status in (200, 303)
    named = set(named_by(asked)) if act == "share" else set()
    found = office.visible() - before
    if act == "move":
        # The page names the phones, and its form the owner.
        named = {uid for name, key in office.ids.items() if str(key) == fields["owner"] for uid in UIDS[name]}
        assert {phone for phone, _ in found} <= set(keys)
    assert {uid for _, uid in found} <= named
    if (
        act in ("share", "move")
        and fields.get("sharing") not in ("private", "callers")
        and "nobody" not in fields.values()
    ):
        assert found  # the test needs a contact that becomes visible


def test_a_label_survives_each_sharing(office: Office) -> None:
    for sharing in ("private", "shared", "private", "callers", "group:sales", "shared"):
        office.ask("people share", [str(office.ids["anna"])], sharing=sharing)
        [anna] = [account for account in office.stage.accounts() if account.sub == "anna"]
        assert (anna.sharing, anna.shared_label) == (sharing, "Customers")


def test_what_changes_after_the_question_is_asked_anew(office: Office) -> None:
    """The form is refused if the sharing has changed after the question."""
    anna = [office.ids["anna"]]
    asked = act(office.admin, "people share", anna)
    office.stage.do(accounts.set_sharing, *anna, Sharing.PRIVATE, "")
    answer = act(office.admin, "people share", anna, confirmed="1", about=about(asked), sharing="shared")
    assert answer.location == "/acme/admin/people"
    [account] = [account for account in office.stage.accounts() if account.sub == "anna"]
    assert account.sharing is Sharing.PRIVATE
    assert "Something changed since you opened this page" in office.admin.get("/acme/admin/people").body

# SPDX-License-Identifier: MIT
"""A table lists acts on a phone, and the secrets and traces that each act keeps or ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.dn import Dn
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.passwords import verify_password
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import phones, provisioning, recordings
from ldapgw.store.phones import PhoneLogin
from ldapgw.sync.publisher import make_login
from tests.support.site.command_line import Gateway
from tests.support.stage.databases import open_file
from tests.support.stage.web import ALICE, BASE, BOB, NOW, ROOT, Browser, Stage, act, owner, search

CONTEXT = NamingContext("acme", "Acme GmbH", Dn.parse(BASE), "DE", "", NumberFormat.E164, lenient=True)
KEPT, ENDED, NEW = "kept", "ended", "new"
THINGS = ("password", "book address", "provisioning address", "recording", "last searches", "first found")

# The table has the fate of each of the `THINGS` by act.
TABLE: Mapping[str, tuple[str, ...]] = {
    # A provisioning address names the phone's former name; a book address names the phone, too, and follows.
    "rename": (KEPT, KEPT, ENDED, KEPT, KEPT, KEPT),
    "reset": (NEW, ENDED, ENDED, KEPT, KEPT, KEPT),
    "provision": (NEW, ENDED, NEW, KEPT, KEPT, KEPT),
    "move": (NEW, ENDED, ENDED, ENDED, ENDED, KEPT),
    "nobody": (NEW, ENDED, ENDED, ENDED, ENDED, KEPT),
    "move, keep password": (KEPT, ENDED, ENDED, ENDED, ENDED, KEPT),
    "move to the owner": (KEPT, KEPT, KEPT, KEPT, KEPT, KEPT),
    "model": (KEPT, KEPT, KEPT, KEPT, KEPT, KEPT),
    "number format": (KEPT, KEPT, KEPT, KEPT, KEPT, KEPT),
    "disconnect": (KEPT, KEPT, KEPT, ENDED, KEPT, KEPT),
    "remove owner, keep phone": (NEW, ENDED, ENDED, ENDED, ENDED, KEPT),
    "remove": (ENDED,) * 6,
}


@dataclass
class Office:
    """Alice's phone has everything that a phone can have, and the administrator also has an account."""

    stage: Stage
    gateway: Gateway
    alice: Browser
    admin: Browser
    secrets: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Office:
        gateway = Gateway(folder)
        gateway.run("phones", "add", "hall")
        stage = Stage(database=open_file(gateway.state_dir / "ldapgw.db"))
        alice, admin = owner(stage, model="yealink"), stage.browser()
        for browser, account in ((stage.browser(), BOB), (admin, ROOT)):
            browser.consent(account=account)
        office = cls(stage, gateway, alice, admin)
        alice.submit("/acme/phones/desk1/provision")
        page = alice.get("/acme/phones/desk1").body
        alice.submit("/acme/phones/desk1/book-address")
        office.secrets = {
            "password": re.findall(r'id="the-password">([^<]+)<', page)[0],
            "provisioning": re.findall(r"/provision/desk1\.(\w+)/<", page)[0],
            "book": re.findall(r"/book/desk1\.(\w+)/yealink", alice.get("/acme/phones/desk1").body)[0],
        }
        stage.do(recordings.begin, "desk1", NOW, NOW + 600, is_plain=False)
        office.serve()
        assert stage.catalog.authenticate("desk1", office.secrets["password"].encode(), "192.0.2.7")
        search(stage)
        stage.do(phones.store_last_searches, {"desk1": phones.LastSearch(NOW, "", NOW)})
        return office

    @property
    def phone(self) -> PhoneLogin | None:
        """Return the phone, which may have another name now."""
        found = [login for login in self.stage.do(phones.read_all) if login.name != "hall"]
        return found[0] if found else None

    def serve(self) -> None:
        """Publish the stored logins, as the gateway does when something has changed."""
        subs = {account.id: account.sub for account in self.stage.accounts()}
        logins = {
            login.name: make_login(login, CONTEXT, tuple(login.owners(subs)))
            for login in self.stage.do(phones.read_all)
        }
        before = self.stage.catalog.snapshot
        snapshot = Snapshot(before.dit, logins, loaded=True)
        for ended in self.stage.catalog.publish(snapshot, {*before.logins, *logins}):
            self.stage.watch.search_log.end(*ended)

    def fate(self) -> tuple[str, ...]:
        """Return the fate of each of the `THINGS`: kept, ended or new."""
        self.serve()
        stage, login, old = self.stage, self.phone, self.secrets
        if login is None:
            assert stage.do(recordings.read_all) == ()
            assert stage.watch.search_log.searches_of(f"cn=desk1,ou=phones,{BASE}") == ()
            return (ENDED,) * len(THINGS)
        address = stage.do(provisioning.read_address, login.name, NOW)
        is_kept = (
            stage.catalog.authenticate(login.name, old["password"].encode(), "192.0.2.7") is not None,
            stage.catalog.authenticate_secret(f"{login.name}.{old['book']}", "192.0.2.7") is not None,
            address is not None and verify_password(old["provisioning"].encode(), address.secret),
            stage.do(recordings.read, login.name) is not None,
            bool(stage.watch.logged_searches(login)),
            login.worked_at == NOW,
        )
        # The phone's own page shows what the session has made.
        page = "".join(browser.get(f"/acme/phones/{login.name}").body for browser in (self.alice, self.admin))
        is_new = ('id="the-password"' in page, False, 'id="the-provisioning"' in page, False, False, False)
        return tuple(KEPT if kept else NEW if new else ENDED for kept, new in zip(is_kept, is_new, strict=True))


def id_of(office: Office, address: str) -> str:
    return str(next(account.id for account in office.stage.accounts() if account.address == address))


def change(office: Office, **fields: str) -> None:
    """Send the form of the phone's page as it is shown, with some changed fields."""
    office.admin.submit(
        "/acme/phones/desk1/change",
        **{"name": "desk1", "model": "yealink", "owner": ALICE, "new_password": "1", **fields},
    )


def bulk(office: Office, what: str, **fields: str) -> None:
    row = id_of(office, ALICE) if what.startswith("people") else "desk1"
    done = act(office.admin, what, [row], confirmed="1", **fields)
    assert done.status == 303, done.body


def without_password(office: Office) -> None:
    office.admin.submit("/acme/phones/desk1/change", name="desk1", model="yealink", owner=BOB)


WAYS: Mapping[tuple[str, str], Callable[[Office], object]] = {
    ("rename", "page"): lambda office: change(office, name="desk2"),
    ("rename", "command"): lambda office: office.gateway.run("phones", "rename", "desk1", "desk2"),
    ("reset", "page"): lambda office: office.alice.submit("/acme/phones/desk1/reset"),
    ("reset", "bulk"): lambda office: bulk(office, "phones password"),
    ("provision", "page"): lambda office: office.alice.submit("/acme/phones/desk1/provision"),
    ("move", "page"): lambda office: change(office, owner=BOB),
    ("move", "bulk"): lambda office: bulk(office, "phones move", owner=id_of(office, BOB), new_passwords="1"),
    ("nobody", "page"): lambda office: change(office, owner=""),
    ("nobody", "bulk"): lambda office: bulk(office, "phones move", owner="nobody", new_passwords="1"),
    ("move, keep password", "page"): without_password,
    ("move, keep password", "bulk"): lambda office: bulk(office, "phones move", owner=id_of(office, BOB)),
    ("move, keep password", "command"): lambda office: office.gateway.run(
        "phones", "move", "desk1", "--account", BOB, "--keep-password"
    ),
    ("move to the owner", "page"): change,
    ("move to the owner", "bulk"): lambda office: bulk(office, "phones move", owner=id_of(office, ALICE)),
    ("move to the owner", "command"): lambda office: office.gateway.run("phones", "move", "desk1", "--account", ALICE),
    ("model", "page"): lambda office: change(office, model="cisco"),
    ("model", "bulk"): lambda office: bulk(office, "phones model", model="cisco"),
    ("number format", "page"): lambda office: office.alice.submit("/acme/phones/desk1/dialing", number_format="dial"),
    ("disconnect", "page"): lambda office: office.alice.submit(
        "/acme/disconnect", account=office.stage.world.account(ALICE).sub
    ),
    ("disconnect", "bulk"): lambda office: bulk(office, "people disconnect"),
    ("remove owner, keep phone", "bulk"): lambda office: bulk(office, "people remove", new_passwords="1"),
    ("remove", "page"): lambda office: office.alice.submit("/acme/phones/desk1/remove"),
    ("remove", "bulk"): lambda office: bulk(office, "phones remove"),
    ("remove", "command"): lambda office: office.gateway.run("phones", "remove", "desk1", "--yes"),
}
# The command prints the new password, which no page shows.
PRINTED: Mapping[str, tuple[str, ...]] = {
    "reset": ("phones", "reset", "desk1", "--yes"),
    "move": ("phones", "move", "desk1", "--account", BOB),
    "nobody": ("phones", "move", "desk1", "--nobody"),
}


def test_the_table_is_whole() -> None:
    """There is a row for each way in which a phone's page, its table and the command change a phone."""
    assert {act for act, _ in WAYS} == {*TABLE}
    assert all(len(row) == len(THINGS) for row in TABLE.values())


@pytest.mark.parametrize(("act", "way"), WAYS, ids=map(" by ".join, WAYS))
def test_what_an_act_ends(tmp_path: Path, act: str, way: str) -> None:
    """A new owner ends the former owner's secrets and traces; a new password keeps the phone's traces."""
    office = Office.open(tmp_path)
    WAYS[act, way](office)
    assert dict(zip(THINGS, office.fate(), strict=True)) == dict(zip(THINGS, TABLE[act], strict=True))


@pytest.mark.parametrize("act", PRINTED)
def test_what_a_command_ends(tmp_path: Path, act: str) -> None:
    office = Office.open(tmp_path)
    told = office.gateway.json(*PRINTED[act])
    expected = tuple(ENDED if fate == NEW else fate for fate in TABLE[act])
    assert office.fate() == expected
    assert office.stage.catalog.authenticate("desk1", told["password"].encode(), "192.0.2.7")

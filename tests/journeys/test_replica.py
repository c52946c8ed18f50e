# SPDX-License-Identifier: MIT
"""Debian's slapd as a replica, set up by what ``ldapgw replica-config`` prints: it holds what the gateway publishes.

Only slapd itself shows that it accepts the configuration and understands what the gateway sends.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from ldapgw.contact import Sharing
from tests.support import slapd
from tests.support.phonebook.awkward import awkward_contacts, sample_contacts
from tests.support.site.replicas import BASE, Office, Replica, contact, ended, provided
from tests.support.site.running import Site, wait_until

pytestmark = [
    pytest.mark.skipif(
        (slapd.PROGRAM is None or shutil.which("ldapsearch") is None) and "CI" not in os.environ,
        reason="needs slapd and ldapsearch: sudo apt-get install slapd slapd-contrib ldap-utils",
    ),
    # Each waits for processes; tests/ldap/replication has the same on a wire in memory.
    pytest.mark.long,
]

ALICE, BOB, CAROL = "alice@acme.example", "bob@acme.example", "carol@acme.example"


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Office:
    return Office(Site(tmp_path))


def is_same(site: Site, replica: Replica, login: dict[str, str]) -> bool:
    return replica.everything() == provided(site, login["bind_dn"], login["password"])


def wait_for_copy(site: Site, replica: Replica, login: dict[str, str]) -> None:
    wait_until(lambda: is_same(site, replica, login), "the replica holds what the gateway provides")


def uids(replica: Replica, phone: dict[str, str], filter_text: str = "(cn=*)", base: str = BASE) -> list[str]:
    status, said = replica.search(filter_text, "uid", login=phone["bind_dn"], password=phone["password"], base=base)
    return sorted(line for line in said.splitlines() if line.startswith("uid: ")) if status == 0 else [f"{status}"]


@pytest.mark.parametrize(
    "kind", ["refreshAndPersist", pytest.param("refreshOnly interval=00:00:00:01", marks=pytest.mark.soak)]
)
def test_replica_holds_what_is_published(office: Office, tmp_path: Path, kind: str) -> None:
    """Through changes, and the ends of either process: entry for entry, and phones bind there."""
    site = office.site
    # More than the limit on the size of an answer, which is none for a replica.
    office.add_account(ALICE, Sharing.SHARED, [contact(at) for at in range(1200)])
    office.add_account(BOB, Sharing.PRIVATE, [contact(9000)])
    login = site.add_login("branch1", "--replica")
    desk, hall = site.add_login("desk1", "--account", BOB), site.add_login("hall")
    replica = Replica(
        site, tmp_path / "replica", "branch1", login["password"],
        rule=lambda text: text.replace("type=refreshAndPersist", "\n    ".join(f"type={kind}".split())),
    )  # fmt: skip
    with ended(replica):
        with site.running() as gateway:
            replica.start()
            wait_for_copy(site, replica, login)
            assert uids(replica, desk, "(telephoneNumber=030 1000005)") == ["uid: c5"]
            assert uids(replica, hall, "(sn=muller0000*)") == [f"uid: c{at}" for at in range(10)]
            assert uids(replica, {**desk, "password": "wrong"}) == ["49"]
            status, said = replica.search(
                "(userPassword=*)", "*", "+", login=desk["bind_dn"], password=desk["password"]
            )
            assert (status, said.strip()) == (0, "")
            office.write(ALICE, [contact(5, "Karl Changed"), contact(5000)], ["c7"])
            wait_until(lambda: uids(replica, desk, "(cn=Karl Changed)") == ["uid: c5"], "the change is there")
            wait_for_copy(site, replica, login)
            assert replica.process is not None
            replica.process.end(signal.SIGKILL)
            office.write(ALICE, [contact(6, "Karl Later")], ["c8"])
            replica.start()
            wait_until(lambda: uids(replica, desk, "(cn=Karl Later)") == ["uid: c6"], "the later change is there")
            gateway.end(signal.SIGKILL)
        # The copy is served meanwhile.
        assert uids(replica, desk, "(cn=Karl Later)") == ["uid: c6"]
        with site.running() as gateway:
            wait_until(lambda: "replica cn=branch1" in gateway.said, "the replica is back")
            office.write(ALICE, [contact(9, "Karl Again")], ["c10"])
            wait_until(lambda: uids(replica, desk, "(cn=Karl Again)") == ["uid: c9"], "the last change is there")
            wait_for_copy(site, replica, login)
            assert "whole content" not in gateway.said.split("resumed")[0]
            # Disconnecting deletes here too.
            gone = site.process("disconnect", ALICE, "--yes")
            # Nobody answers for Google here.
            assert "deleted its tokens and contacts" in gone.stderr
            wait_until(lambda: uids(replica, hall) == [], "the copy of the contacts is gone")
            wait_for_copy(site, replica, login)


def test_contacts_that_are_hard_to_copy(office: Office, tmp_path: Path) -> None:
    """Equal values and those of another syntax, by which OpenLDAP would refuse an entry and with it all others."""
    made = [*awkward_contacts(), *sample_contacts()]
    office.add_account(ALICE, Sharing.SHARED, made)
    login, hall = office.site.add_login("branch1", "--replica"), office.site.add_login("hall")
    replica = Replica(office.site, tmp_path / "replica", "branch1", login["password"])
    with ended(replica), office.site.running():
        replica.start()
        wait_for_copy(office.site, replica, login)
        assert len(uids(replica, hall)) == len(made)


def test_private_books_are_their_phones_own(office: Office, tmp_path: Path) -> None:
    """Each phone finds its own book and the shared ones; without hashes, the gateway checks the passwords."""
    site = office.site
    office.add_account(ALICE, Sharing.PRIVATE, [contact(1), contact(2)])
    office.add_account(BOB, Sharing.PRIVATE, [contact(3)])
    office.add_account(CAROL, Sharing.SHARED, [contact(4)])
    logins = {name: site.add_login(name, "--replica", "--private") for name in ("hashes", "pass-through")}
    desk, hall = site.add_login("desk1", "--account", ALICE), site.add_login("hall")
    pair = site.add_login("pair", "--account", BOB, "--account", ALICE)
    with_hashes, without = (
        Replica(site, tmp_path / name, name, login["password"], ("--pass-through",) if name == "pass-through" else ())
        for name, login in logins.items()
    )
    with ended(with_hashes, without), site.running():
        for replica in (with_hashes, without):
            replica.start()
            wait_until(lambda replica=replica: len(replica.everything()) >= 10, "the replica has its copy")
            has_hashes = any(
                line.startswith("userPassword") for entry in replica.everything().values() for line in entry
            )
            assert has_hashes is (replica is with_hashes)
            assert uids(replica, desk) == ["uid: c1", "uid: c2", "uid: c4"]
            assert uids(replica, pair) == ["uid: c1", "uid: c2", "uid: c3", "uid: c4"]
            assert uids(replica, hall) == ["uid: c4"]
            assert uids(replica, hall, base=f"ou={ALICE},{BASE}") == ["32"]
            assert uids(replica, {**desk, "password": "wrong"}) == ["49"]
            status, said = replica.search("(objectClass=*)", login="", password="")
            assert (status, "c4" in said) == (32, False)

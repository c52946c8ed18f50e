# SPDX-License-Identifier: MIT
"""Stored contacts are read anew after the rules for numbers have changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
from sqlalchemy import select, update
from twisted.internet.defer import Deferred

from ldapgw.contact import Contact, Flaw, Kind, LeftOutNumber, LeftOutReason, Phone, Source
from ldapgw.errors import ProcessLost
from ldapgw.numbers import Number, stored_numbers
from ldapgw.peers.leadership import OnlyGateway
from ldapgw.store import contacts, sync_state
from ldapgw.store.contact_record import ContactRecord
from ldapgw.store.tables import account
from ldapgw.store.tables import contact as contact_table
from ldapgw.sync import contact_renewal
from ldapgw.sync.apply import BegunSync
from ldapgw.sync.contact_renewal import INTERVAL, ContactRenewal
from tests.support.photo import jpeg
from tests.support.results import result_of
from tests.support.stage.publishing import AT_ONCE
from tests.support.stage.sync import ALICE, BOB, NOW, Stage, connected_stage, person

FORMER = Number("491705551442", "+49491705551442", "0491705551442", "491705551442")


def renewal(stage: Stage, read_in_process: object = AT_ONCE) -> ContactRenewal:
    return ContactRenewal(
        clock=stage.clock,
        leader=OnlyGateway(stage.sync_store),
        tenants=stage.synced,
        read_in_process=read_in_process,  # type: ignore[arg-type]
        publish=stage.publisher.refresh,
    )


def outdated(stage: Stage, address: str = ALICE, *names: str) -> None:
    """Store contacts with a number as former rules have read it, and publish them."""
    account_id = stage.account(address).id
    stored = [Contact(f"c{at}", name=name, phones=(Phone(Kind.MOBILE, FORMER),)) for at, name in enumerate(names)]
    records = [
        ContactRecord.from_contact(one.uid, one.uid, one, photo_url=f"https://a.example/{one.uid}") for one in stored
    ]
    with stage.database.begin() as connection:
        contacts.apply_changes(connection, account_id, Source.CONTACTS, records, ())
        connection.execute(update(account).where(account.c.id == account_id).values(numbers_version=0))
    result_of(stage.publisher.refresh(account_id))


def served(stage: Stage, book: str = ALICE) -> dict[str, list[str]]:
    """The mobile numbers that phones find, by name."""
    stage.books()
    return {
        entry.attribute("cn")[0].decode(): [value.decode() for value in entry.attribute("mobile")]
        for entry in stage.entries(book)
    }


def versions(stage: Stage) -> list[int]:
    with stage.database.begin() as connection:
        return list(connection.execute(select(account.c.numbers_version).order_by(account.c.id)).scalars())


def test_contacts_are_read_anew_without_asking_google(stage: Stage) -> None:
    """Once; phones find the result; what was changed is a change for the next sync too."""
    stage.connect()
    outdated(stage, ALICE, *(f"Person {number}" for number in range(450)))
    stage.calls()

    result_of(renewal(stage).renew_all())

    assert set(map(tuple, served(stage).values())) == {("+491705551442",)}
    assert len(served(stage)) == 450
    assert versions(stage) == [stored_numbers.VERSION]
    assert stage.calls() == {}
    generation = stage.account().generation
    result_of(renewal(stage).renew_all())
    assert stage.account().generation == generation


def test_a_new_account_has_nothing_to_read_anew(stage: Stage) -> None:
    """Its contacts are read by today's rules when they are fetched."""
    stage.connect()
    stage.world.add_person(ALICE, person("Ada", "491705551442"))
    stage.sync(ALICE)
    assert stage.database.run(contact_renewal.outdated_accounts) == []


def test_photos_and_other_contacts_stay() -> None:
    """Only contacts that differ are written, with the addresses of their photos."""
    stage = connected_stage(photos=True)
    ada = stage.world.add_person(ALICE, person("Ada", "030 1234567"))
    stage.world.add_photo(ALICE, ada, jpeg())
    stage.sync(ALICE)
    result_of(stage.photo_fetcher.fetch_due())
    before = stage.records()
    outdated(stage, ALICE)
    result_of(renewal(stage).renew_all())
    assert stage.records() == before


def test_numbers_that_are_not_understood_are_named(stage: Stage) -> None:
    """They are flaws of contacts that otherwise stay as they are; other flaws stay too."""
    stage.connect()
    account_id = stage.account().id
    [number] = stored_numbers.read("+49 1", "DE")
    phones, left_out = (Phone(Kind.WORK, number),), (LeftOutNumber("ask me", LeftOutReason.NOT_DIALABLE),)
    with stage.database.begin() as connection:
        contact = Contact("c1", name="Ada", phones=phones, left_out=left_out)
        record = ContactRecord.from_contact("c1", "c1", contact, unreadable=1, flaws={Flaw.LENGTH})
        old = replace(contact, phones=(), left_out=())
        former = msgspec.structs.replace(record, flaws="length", digest=ContactRecord.from_contact("", "", old).digest)
        contacts.apply_changes(connection, account_id, Source.CONTACTS, [former], ())
        connection.execute(update(account).values(numbers_version=0))
    result_of(renewal(stage).renew_all())
    [found] = stage.database.run(contacts.read_flawed, account_id, 10)
    assert (found.name, set(found.flaws), found.numbers) == ("Ada", {Flaw.LENGTH, Flaw.NUMBERS}, ("+49 1", "ask me"))
    assert stage.account().skipped == {"flawed": 1, "unreadable_number": 1}


def test_contacts_that_cannot_be_decoded_end_no_reading(stage: Stage) -> None:
    """The contacts behind a whole step of such contacts are read too."""
    stage.connect()
    outdated(stage, ALICE, "Ada", "Ben", "Cem", "Dora", "Eve")
    account_id = stage.account().id
    with stage.database.begin() as connection:
        damaged = contact_table.c.uid.in_(["c0", "c1", "c2", "c3"])
        connection.execute(update(contact_table).where(damaged).values(content=b"damaged"))
        read = [
            [one.contact.name for one in contact_renewal.read_outdated(connection, account_id, after, 2)]
            for after in (contact_renewal.BEFORE_ALL, ("contacts", "c4"))
        ]
    assert read == [["Eve"], []]


def test_a_sync_in_between_counts(stage: Stage) -> None:
    """A contact that was written after it was read is not written over; accounts that sync are left for later."""
    stage.connect()
    outdated(stage, ALICE, "Ada", "Ben")
    account_id = stage.account().id
    with stage.database.begin() as connection:
        read = contact_renewal.read_outdated(connection, account_id, contact_renewal.BEFORE_ALL, 10)
        changed = Contact("c0", name="Ada New", phones=(Phone(Kind.MOBILE, FORMER),))
        record = ContactRecord.from_contact("c0", "c0", changed)
        contacts.apply_changes(connection, account_id, Source.CONTACTS, [record], ())
        anew = [(one, replace(one.contact, name=f"{one.contact.name} anew"), 0) for one in read]
        assert contact_renewal.renew(connection, account_id, anew)
        assert not contact_renewal.renew(connection, account_id, anew[:1])
        found = [one.contact.name for one in contact_renewal.read_outdated(connection, account_id, ("", ""), 10)]
        connection.execute(update(account).values(syncing=True))
        assert contact_renewal.outdated_accounts(connection) == []
    assert found == ["Ada New", "Ben anew"]


def test_a_sync_that_begins_meanwhile_does_not_fail(stage: Stage) -> None:
    """The sync needs the generation with which it began; the contacts that are left are read anew after the sync."""
    stage.connect()
    outdated(stage, ALICE, "Ada", "Ben")
    begun: list[BegunSync] = []

    def begin_meanwhile(function: Callable[..., object], *args: object) -> object:
        begun.append(result_of(stage.job.begin(stage.account().id)))
        return AT_ONCE(function, *args)

    result_of(renewal(stage, begin_meanwhile).renew_all())
    result_of(stage.job.sync(begun[0], full=False))
    assert versions(stage) == [0]
    stage.database.run(sync_state.end, begun[0].account, NOW, NOW)
    result_of(renewal(stage).renew_all())
    assert versions(stage) == [stored_numbers.VERSION]


def test_every_account_and_no_other_tenants(stage: Stage) -> None:
    """Accounts of a tenant that the configuration does not have any more are left alone."""
    for address in (ALICE, BOB):
        stage.connect(address)
        outdated(stage, address, "Ada")
    stage.execute(update(account).where(account.c.address == BOB).values(tenant="gone"))
    result_of(renewal(stage).renew_all())
    assert versions(stage) == [stored_numbers.VERSION, 0]


def test_a_lost_process_is_tried_again(stage: Stage) -> None:
    """At the next turn; the end of the gateway stops what runs."""
    stage.connect()
    outdated(stage, ALICE, "Ada")
    tries: list[Deferred[object]] = []

    def lose(*_args: object) -> Deferred[object]:
        tries.append(Deferred())
        return tries[-1]

    service = renewal(stage, lose)
    service.startService()
    tries[0].errback(ProcessLost("it has ended"))
    stage.clock.advance(INTERVAL)
    assert len(tries) == 2
    service.stopService()
    assert served(stage) == {"Ada": ["+49491705551442"]}
    renewal(stage).stopService()

# SPDX-License-Identifier: MIT
"""The administration's first page lists the gateways that share a database, and pages work across gateways.

Only PostgreSQL has several gateways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from ldapgw.store import gateways, tables
from ldapgw.store.database import Database, Mode
from ldapgw.store.gateways import ALIVE_SECONDS, GatewayInfo, KnownGateway, without_replaced
from ldapgw.web.one_time_passwords import PASSWORD_SECONDS
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.web import ACME, GLOBEX, Browser, Stage, act, add_phone, owner, words_on


@pytest.fixture(name="database")
def _database() -> Iterator[Database]:
    with open_new() as database:
        yield database


@pytest.fixture(name="shared")
def _shared(database: Database) -> Stage:
    """Return a stage on PostgreSQL."""
    return Stage(tenants=(ACME, GLOBEX), database=database)


def beat(database: Database, name: str, **more: object) -> None:
    info = GatewayInfo(name, f"{name}.example", "1.0", **more)  # type: ignore[arg-type]
    database.call(Mode.BESIDE, gateways.beat, info)


def age(database: Database, name: str, *, seen: float = 0.0, started: float = 0.0) -> None:
    """Make the times of a gateway so much earlier."""
    row = update(tables.gateway).where(tables.gateway.c.id == name)
    values = {"seen_at": tables.gateway.c.seen_at - seen, "started_at": tables.gateway.c.started_at - started}
    database.run(lambda connection: connection.execute(row.values(values)))


def table(browser: Browser) -> list[list[str]]:
    """Return the rows of the table; without a table there are no rows."""
    panel = browser.get("/acme/admin").body.partition('id="gateways"')[2].partition("</section>")[0]
    body = panel.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = []
    for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        rows.append([" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in cells])
    return rows


def test_with_sqlite_there_is_no_such_table() -> None:
    assert table(Stage().admin()) == []


@needs_postgresql
def test_the_only_gateway_is_not_listed(shared: Stage) -> None:
    browser = shared.admin()
    assert table(browser) == []
    beat(shared.database, "north")
    assert table(browser) == []


@needs_postgresql
def test_what_the_administrator_sees_of_gateways(shared: Stage) -> None:
    """A gateway without phones is not behind; the table marks the gateway that syncs."""
    browser = shared.admin()
    beat(shared.database, "north", is_leader=True, contacts=1234, position=10**15)
    beat(shared.database, "south", contacts=1200, position=0)
    beat(shared.database, "west", roles=("sync", "web"), position=0)
    values = {"kind": "account", "key": "99", "number": 5, "marked_at": gateways._NOW - 90.5}
    shared.database.run(lambda connection: connection.execute(tables.change.insert().values(**values)))
    rows = table(browser)
    assert [row[:2] for row in rows] == [[f"✓ {name}.example", "1.0"] for name in ("north", "south", "west")]
    assert [row[4] for row in rows] == ["1,234", "1,200", "0"]
    assert rows[0][5] == rows[2][5].replace("–", "up to date") == "up to date"
    assert re.fullmatch(r"9\d seconds", rows[1][5])
    assert [row[6] for row in rows] == ["✓", "–", "–"]
    assert all(re.search(r"\d\d:\d\d", cell) for row in rows for cell in row[2:4])
    assert "doesn’t answer" not in words_on(browser.get("/acme/admin"))


@needs_postgresql
def test_a_gateway_that_died(shared: Stage) -> None:
    """The page reports the dead gateway until another gateway has started on the same machine."""
    browser = shared.admin()
    beat(shared.database, "north", is_leader=True)
    beat(shared.database, "south", contacts=1200)
    age(shared.database, "south", seen=ALIVE_SECONDS + 5, started=60)
    page = browser.get("/acme/admin")
    assert "A gateway doesn’t answer. The others serve its phones" in words_on(page)
    assert "! 1 problem ·" in page.body
    north, south = table(browser)
    assert (north[0], north[6]) == ("✓ north.example", "✓")
    assert (south[0], south[4:]) == ("✗ south.example doesn’t answer", ["–", "–", "–"])
    info = GatewayInfo("again", "south.example", "1.0")
    shared.database.call(Mode.BESIDE, gateways.beat, info)
    assert [row[0] for row in table(browser)] == ["✓ north.example", "✓ south.example"]
    assert "doesn’t answer" not in words_on(browser.get("/acme/admin"))


def test_each_start_takes_the_place_of_one() -> None:
    """A new gateway replaces one gateway that died on its machine before."""

    def known(name: str, machine: str, started: float, seen: float) -> KnownGateway:
        return KnownGateway(GatewayInfo(name, machine, "1.0"), started, seen, 1000.0 - seen, 0.0)

    cases = [
        ([("a", "m", 0, 1000)], "a"),
        ([("a", "m", 0, 100), ("b", "m", 200, 1000)], "b"),
        ([("a", "m", 0, 100), ("b", "m", 50, 1000)], "ab"),
        ([("a", "m", 0, 100), ("b", "n", 200, 1000)], "ab"),
        ([("a", "m", 0, 100), ("b", "m", 200, 300)], "b"),
        ([("a", "m", 0, 100), ("b", "m", 200, 300), ("c", "m", 400, 1000)], "c"),
        ([("a", "m", 0, 100), ("b", "m", 0, 150), ("c", "m", 400, 1000)], "bc"),
        ([("a", "m", 0, 100), ("b", "m", 0, 150), ("c", "m", 400, 1000), ("d", "m", 120, 1000)], "cd"),
    ]
    for rows, left in cases:
        found = without_replaced([known(name, machine, float(one), float(two)) for name, machine, one, two in rows])
        assert "".join(one.info.id for one in found) == left


@needs_postgresql
def test_a_password_that_another_gateway_has_made(database: Database) -> None:
    """If a proxy leads to another gateway, the page says in a sentence that the password was shown elsewhere."""
    here, there = (Stage(tenants=(ACME,), database=database) for _ in range(2))
    first = owner(here)
    second = there.browser(first)
    sentence = "This password was shown on another gateway, or in another browser."
    assert 'id="the-password"' in first.get("/acme/phones/desk1").body
    assert sentence not in words_on(first.get("/acme/phones/desk1"))
    page = second.get("/acme/phones/desk1")
    assert (page.status, sentence in words_on(page), 'id="the-password"' in page.body) == (200, True, False)
    there.clock.advance(PASSWORD_SECONDS)
    assert sentence not in words_on(second.get("/acme/phones/desk1"))


@needs_postgresql
def test_addresses_that_another_gateway_has_made(database: Database) -> None:
    """The page of another gateway says where the secret address and the provisioning address were shown."""
    here, there = (Stage(tenants=(ACME,), database=database) for _ in range(2))
    first = owner(here, model="yealink")
    second = there.browser(first)
    first.submit("/acme/phones/desk1/provision")
    first.submit("/acme/phones/desk1/book-address")
    where = "was shown for ten minutes, in the browser that created it or on another gateway."
    sentences = [f"The secret address {where}", f"This phone has a provisioning address. The address {where}"]
    shown = [words_on(browser.get("/acme/phones/desk1")) for browser in (first, second)]
    assert [[sentence in page for sentence in sentences] for page in shown] == [[False, False], [True, True]]


@needs_postgresql
def test_a_zip_file_that_another_gateway_has_made(shared: Stage) -> None:
    """The page of another gateway says that the passwords were handed out elsewhere, and offers no download."""
    first = shared.admin()
    second = Stage(tenants=(ACME, GLOBEX), database=shared.database).browser(first)
    add_phone(shared, "desk1", model="yealink")
    made = act(first, "phones password", ["desk1"], confirmed="1").location
    sentence = "These passwords were handed out on another gateway, or in another browser."
    shown = [first.get(made), second.get(made)]
    facts = [(sentence in words_on(page), f"{made}/zip" in page.body) for page in shown]
    assert facts == [(False, True), (True, False)]

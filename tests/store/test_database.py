# SPDX-License-Identifier: MIT
"""The database file: made, upgraded, refused, gone and back.

Only PostgreSQL shows that its migrations run there; only a new process can lack the driver.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    event,
    insert,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from twisted.internet.task import Clock

from ldapgw.errors import DamagedStore, StoreError
from ldapgw.store import migrations, phones, tables
from ldapgw.store.database import Database, check_writable, read_revision, revisions
from ldapgw.store.engines import database_at
from ldapgw.store.files import prepare_state_dir
from ldapgw.store.sqlite import LOG_LIMIT, SqliteDatabase
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql, open_new
from tests.support.stage.databases import one_more_migration
from tests.support.stage.sync import DESK

TABLES_OF_1_0_0 = ROOT / "tests" / "data" / "tables-1.0.0.sql"


def opened(path: Path) -> Database:
    database = database_at(f"sqlite:///{path}")
    try:
        database.open()
    except StoreError:
        database.close()
        raise
    return database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ldapgw.db"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Database]:
    """An open database in a file."""
    with closing(opened(file)) as database:
        yield database


def test_files_of_migrations_begin_with_their_revisions() -> None:
    """The list of revisions is known without reading the migrations."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert revisions() == tuple(script.revision for script in scripts.walk_revisions())


def check_tables(connection: Connection) -> None:
    """The comments are for readers of the code, and no database has them."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    differences = compare_metadata(context, tables.metadata)
    assert [one for one in differences if not (isinstance(one, list) and one[0][0] == "modify_comment")] == []


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_a_new_database_has_the_tables_that_the_code_uses(database: Database) -> None:
    with database.begin() as connection:
        check_tables(connection)
    assert all(column.comment for table in tables.metadata.tables.values() for column in table.columns)


def test_a_new_database_needs_no_alembic(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway would keep Alembic's modules in memory until it stops."""
    monkeypatch.setitem(sys.modules, "alembic", None)
    with closing(opened(file)) as database, database.begin_read() as connection:
        assert read_revision(connection, "the database") == revisions()[0]


@needs_postgresql  # the test below upgrades with SQLite
@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_first_tables_are_upgraded_on_a_server() -> None:
    """A migration that PostgreSQL cannot run, or that lacks a part of the tables, is noticed here."""
    with open_new() as database:
        with database.begin() as connection:
            for statement in (
                "DROP TABLE further_account",
                "ALTER TABLE phone DROP COLUMN former_owner",
                "ALTER TABLE revocation DROP COLUMN client_id",
                "UPDATE alembic_version SET version_num = '0040'",
                "UPDATE schema_version SET revision = '0040', readable_from = '0038'",
            ):
                connection.exec_driver_sql(statement)
        with closing(database_at(database.url)) as upgraded:
            upgraded.open()
            with upgraded.begin() as connection:
                check_tables(connection)


def test_a_database_of_the_first_release_becomes_like_a_new_one(tmp_path: Path) -> None:
    """A change of the tables or triggers without its migration is noticed here."""
    release, new = tmp_path / "release.db", tmp_path / "new.db"
    with closing(sqlite3.connect(release)) as connection, connection:
        connection.executescript(TABLES_OF_1_0_0.read_text())
    for path in (release, new):
        opened(path).close()
    assert schema(release) == schema(new)


def schema(path: Path) -> dict[tuple[str, str], object]:
    """The columns, keys and indexes of each table, in any order; the statement of each index and trigger."""
    found: dict[tuple[str, str], object] = {}
    with closing(sqlite3.connect(path)) as connection:
        for kind, name, sql in connection.execute("SELECT type, lower(name), sql FROM sqlite_schema").fetchall():
            pragmas = ("table_info", "foreign_key_list", "index_list") if kind == "table" else ()
            parts = [{row[1:] for row in connection.execute(f"PRAGMA {pragma}({name})")} for pragma in pragmas]
            found[kind, name] = parts or " ".join((sql or "").lower().split())
    return found


def test_rows_are_inserted_as_they_are(database: Database) -> None:
    """One or many, of all types, with characters that mean something to an engine; an error of a key has no values."""
    texts = ["", "\\N", "\\.", "a\tb\nc\r\\", "'\"%s%(x)s{}", "Ünal 🦄"]
    rows = [
        (text, f"tenant{number}", bool(number % 2), number / 3, number or None, text.encode() + b"\0\xff\\")
        for number, text in enumerate(texts)
    ]
    columns = ("text", "tenant", "is_odd", "third", "number", "octets")
    types = (String, String, Boolean, Float, Integer, LargeBinary)
    table = Table("inserted", MetaData(), *map(Column, columns, types), PrimaryKeyConstraint("text"))
    with database.begin() as connection:
        table.create(connection)
        try:
            database.insert_rows(connection, table, columns, rows[:1])
            database.insert_rows(connection, table, columns, rows[1:])
            assert [tuple(row) for row in connection.execute(select(table).order_by("tenant"))] == rows
            for again in rows[1:2], rows[1:]:
                with pytest.raises(IntegrityError) as caught, connection.begin_nested():
                    database.insert_rows(connection, table, columns, again)
                assert "tenant1" not in str(caught.value)
        finally:
            table.drop(connection)


def test_the_file_is_ours_alone_and_durable(sqlite: Database, file: Path) -> None:
    """Mode 0600; WAL; FULL; foreign keys."""
    assert file.stat().st_mode & 0o777 == 0o600
    with sqlite.begin() as connection:
        found = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "journal_size_limit")
        ]
    assert found == ["wal", 2, 1, LOG_LIMIT]


def fill(database: Database, number: int, mebibytes: int) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS filling (number INTEGER PRIMARY KEY, octets BLOB)")
        connection.exec_driver_sql(f"REPLACE INTO filling VALUES ({number}, randomblob({mebibytes << 20}))")


def test_the_log_is_bounded(sqlite: Database, file: Path, caplog_twisted: list[str]) -> None:
    """A reader of another program lets the log grow, which is told once, and shrink after the reader's end."""
    log = file.with_name("ldapgw.db-wal")
    for number in range(3):
        fill(sqlite, number, 20)
        assert log.stat().st_size <= LOG_LIMIT
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM phone").fetchone()
        for number in range(10, 15):
            fill(sqlite, number, 4)
        assert log.stat().st_size > LOG_LIMIT
    assert [line.partition(": has ")[0] for line in caplog_twisted] == [str(log)]
    fill(sqlite, 1, 20)
    assert log.stat().st_size <= LOG_LIMIT


def stored(file: Path) -> list[str]:
    """The phones that a file has, without the files beside it."""
    copy = file.with_name("copy")
    shutil.copy(file, copy)
    with closing(sqlite3.connect(copy)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM phone ORDER BY name")]


@pytest.mark.parametrize("beside", [["-wal"], ["-wal", "-shm"]], ids=["log", "log and index"])
def test_a_log_that_has_gone_is_written_into_the_file(
    tmp_path: Path, beside: list[str], caplog_twisted: list[str]
) -> None:
    """At the next look, so that no crash can lose it; what is written later is in a new log, which others see."""
    file = tmp_path / "ldapgw.db"
    database = opened(file)
    detector = database.change_detector()
    database.run(lambda _: detector.has_changed())
    database.run(phones.add, DESK)
    with database.begin_read() as connection:
        assert len(phones.read_all(connection)) == 1
    assert stored(file) == []
    # Just then somebody writes, and another program has the database open, which makes a new log.
    with database.begin():
        for ending in beside:
            file.with_name(file.name + ending).unlink()
        with closing(sqlite3.connect(file)) as other:
            other.execute("PRAGMA data_version").fetchone()
            file.with_name("ldapgw.db-wal").touch()
    database.run(lambda _: detector.has_changed())
    assert stored(file) == ["desk1"]
    database.run(phones.add, replace(DESK, name="desk2"))
    with database.begin_read() as connection:
        assert len(phones.read_all(connection)) == 2
    with closing(sqlite3.connect(file)) as other, other:
        assert other.execute("SELECT count(*) FROM phone").fetchone() == (2,)
        other.execute("UPDATE phone SET model = 'snom'")
    assert database.run(lambda _: detector.has_changed())
    assert {phone.model for phone in database.run(phones.read_all)} == {"snom"}
    detector.close()
    database.close()
    assert stored(file) == ["desk1", "desk2"]
    assert caplog_twisted == [
        f"{file}-wal: has been deleted while the gateway runs; the content is in the database now, and nothing is "
        "lost; do not delete this file while the gateway runs"
    ]


def test_a_detector_may_be_closed_while_it_looks(sqlite: Database, caplog: pytest.LogCaptureFixture) -> None:
    """A gateway that stops closes its detector: nothing is logged, and the look closes the connection at its end."""
    used: list[Any] = []
    detector = sqlite.change_detector()

    def close(connection: Connection, *_: object) -> None:
        used.append(connection.connection.driver_connection)
        detector.close()

    event.listen(sqlite.engine, "after_cursor_execute", close)
    assert detector.has_changed()
    assert [record.getMessage() for record in caplog.records] == []
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used[0].execute("PRAGMA data_version")
    assert not detector.has_changed()


def test_the_first_reader_behind_a_log_that_has_gone_finds_all(sqlite: Database, file: Path) -> None:
    """Its connection has a new log; the content of the former one is in the file by then."""
    sqlite.run(phones.add, DESK)
    file.with_name("ldapgw.db-wal").unlink()
    with sqlite.begin_read() as connection:
        assert [phone.name for phone in phones.read_all(connection)] == ["desk1"]
    assert stored(file) == ["desk1"]


def test_a_log_that_has_gone_is_kept_until_nobody_reads(sqlite: Database, file: Path) -> None:
    """The reader goes on with what it has read."""
    sqlite.run(phones.add, DESK)
    with sqlite.begin_read() as connection:
        assert len(phones.read_all(connection)) == 1
        sqlite.run(phones.add, replace(DESK, name="desk2"))
        file.with_name("ldapgw.db-wal").unlink()
        sqlite.run(phones.read_all)
        assert len(phones.read_all(connection)) == 1
    assert len(sqlite.run(phones.read_all)) == 2
    assert stored(file) == ["desk1", "desk2"]


OnAClock = tuple[SqliteDatabase, Path, Clock]


@pytest.fixture
def on_a_clock(file: Path) -> Iterator[OnAClock]:
    clock = Clock()
    with closing(SqliteDatabase(make_url(f"sqlite:///{file}"), seconds=clock.seconds)) as database:
        database.open()
        yield database, file, clock


@pytest.mark.parametrize(
    ("between", "until"),
    [(600.0, 3600.0 + 600.0), (3599.0, 86400.0)],
    ids=["idle for an hour", "at the latest each day"],
)
def test_the_log_is_written_into_the_file_from_time_to_time(on_a_clock: OnAClock, between: float, until: float) -> None:
    """A small database would be in the log for ever: then the file alone, as somebody may copy it, is an old one."""
    database, file, clock = on_a_clock
    writes = [0.0, between] if between == 600.0 else [at * between for at in range(int(86400 / between) + 1)]
    for number, at in enumerate(writes):
        clock.advance(at - clock.seconds())
        database.run(phones.add, replace(DESK, name=f"desk{number}"))
    clock.advance(until - 1.0 - clock.seconds())
    database.run(phones.read_all)
    assert stored(file) == []
    clock.advance(1.0)
    database.run(phones.read_all)
    assert len(stored(file)) == len(writes)
    assert file.with_name("ldapgw.db-wal").stat().st_size == 0


def test_a_log_that_somebody_reads_for_long_is_tried_each_minute(on_a_clock: OnAClock) -> None:
    """Each attempt keeps the thread of the store waiting for a moment."""
    database, file, clock = on_a_clock
    tries: list[str] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: tries.append(statement) if "checkpoint" in statement else None,
    )
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM phone").fetchone()
        database.run(phones.add, DESK)
        clock.advance(3600.0)
        for _ in range(60):
            database.run(phones.read_all)
            clock.advance(1.0)
        assert len(tries) == 1
        database.run(phones.read_all)
        assert len(tries) == 2
    clock.advance(60.0)
    database.run(phones.read_all)
    assert stored(file) == ["desk1"]


def test_a_log_that_another_program_has_made_large_shrinks(sqlite: Database, file: Path) -> None:
    """Once SQLite starts it anew."""
    log = file.with_name("ldapgw.db-wal")
    with sqlite.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 1")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE filling (octets BLOB)")
        other.execute(f"INSERT INTO filling VALUES (randomblob({20 << 20}))")
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert log.stat().st_size > LOG_LIMIT
        with sqlite.begin() as connection:
            connection.exec_driver_sql("PRAGMA user_version = 2")
        assert log.stat().st_size <= LOG_LIMIT


def test_an_exception_takes_back_the_whole_transaction(database: Database) -> None:
    """Nothing of it is left."""

    def add_and_fail() -> None:
        with database.begin() as connection:
            phones.add(connection, DESK)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert database.run(phones.read_all) == ()


def test_an_old_sqlite_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first consent, and nothing is made."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    path = tmp_path / "ldapgw.db"
    with pytest.raises(StoreError) as told:
        database_at(f"sqlite:///{path}").open()
    assert told.value.problems == (
        f"{path}: SQLite 3.35 or newer is needed, this Python has 3.34.1; install a newer one",
    )
    assert not path.exists()


@pytest.mark.parametrize(
    ("revision", "why"),
    [
        (
            "9999",
            "was made by a newer version of ldapgw; install that version, or restore a backup from before its upgrade",
        ),
        (
            "0009",
            "was made before the first release; move the database and its key away, and connect everybody again",
        ),
    ],
    ids=["newer", "from before the first release"],
)
def test_a_database_of_another_version_is_refused_and_not_touched(tmp_path: Path, revision: str, why: str) -> None:
    """In one line; a downgrade loses nothing."""
    path = tmp_path / "ldapgw.db"
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.execute("UPDATE schema_version SET readable_from = ?", (revision,))
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        opened(path)
    assert caught.value.problems == (f"{path}: {why}; nothing was changed",)
    assert path.read_bytes() == before


@pytest.fixture
def newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A release whose tables have changed: one more migration than there is; the revision of the one before it."""
    newest = revisions()[0]
    monkeypatch.setattr("ldapgw.store.database._MIGRATIONS", one_more_migration(tmp_path / "migrations"))
    return newest


def test_a_database_is_upgraded_and_keeps_what_it_holds(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A copy of it as it was is kept, named after the version it came from."""
    path = tmp_path / "ldapgw.db"
    database = opened(path)
    database.run(phones.add, DESK)
    database.close()
    newest = request.getfixturevalue("newest")
    database = opened(path)
    with database.begin() as connection:
        assert phones.read_all(connection) == (DESK,)
        assert connection.execute(text("SELECT name, colour FROM phone")).all() == [(DESK.name, "black")]
    database.close()
    with closing(sqlite3.connect(tmp_path / f"ldapgw.db.before-upgrade-from-{newest}")) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]
        assert copy.execute("SELECT name FROM phone").fetchall() == [(DESK.name,)]
        assert "colour" not in {column for _, column, *_ in copy.execute("PRAGMA table_info(phone)")}


def test_a_copy_before_an_upgrade_does_not_wait_for_ever(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another program keeps a lock, the start fails with one line; the next start upgrades the database."""
    path = tmp_path / "ldapgw.db"
    opened(path).close()
    newest = request.getfixturevalue("newest")
    monkeypatch.setattr("ldapgw.store.sqlite.BUSY_SECONDS", 0.02)
    copy_path = tmp_path / f"ldapgw.db.before-upgrade-from-{newest}"
    with closing(sqlite3.connect(copy_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as caught:
            opened(path)
        other.execute("ROLLBACK")
    advice = "another program, such as an upgrade of ldapgw, keeps one of the files locked"
    assert caught.value.problems == (f"{path}: cannot be copied to {copy_path}: database is locked; {advice}",)
    opened(path).close()
    with closing(sqlite3.connect(copy_path)) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    """It names the file and the trouble."""
    path = tmp_path / "ldapgw.db"
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError) as caught:
        opened(path)
    assert caught.value.problems == (
        f"{path}: cannot be used: file is not a database; put a backup back: ldapgw restore FILE",
    )


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """One line, from the system's own words."""
    with pytest.raises(StoreError, match="cannot be used: No such file or directory"):
        opened(tmp_path / "none" / "ldapgw.db")


def test_a_database_that_goes_and_comes_back(sqlite: Database, file: Path, tmp_path: Path) -> None:
    """While it is gone nothing is written into the void; once it is back, all works again."""
    sqlite.run(phones.add, DESK)
    with sqlite.begin() as connection:
        connection.execute(text("SELECT 1"))
    away = tmp_path / "away"
    away.mkdir()
    for part in tmp_path.glob("ldapgw.db*"):
        part.rename(away / part.name)
    with pytest.raises(StoreError, match="No such file"), sqlite.begin():
        pass
    assert not file.exists()
    for part in away.iterdir():
        part.rename(tmp_path / part.name)
    assert sqlite.run(phones.read_all) == (DESK,)


def test_a_database_that_is_replaced_is_used(tmp_path: Path) -> None:
    """As after a restored backup."""
    path = tmp_path / "ldapgw.db"
    other = opened(tmp_path / "other.db")
    other.run(phones.add, DESK)
    other.close()
    database = opened(path)
    for file in tmp_path.glob("ldapgw.db*"):
        file.unlink()
    (tmp_path / "other.db").rename(path)
    assert database.run(phones.read_all) == (DESK,)
    database.close()


def test_a_locked_database_is_one_line(sqlite: Database, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the wait, which is shortened here."""
    monkeypatch.setattr("ldapgw.store.sqlite.BUSY_SECONDS", 0.01)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="cannot be used: database is locked"), sqlite.begin():
            pass
        other.execute("ROLLBACK")


def test_a_lock_that_goes_away_is_waited_for(sqlite: Database, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once no try of a whole wait has worked, the next transactions try once, until one works."""
    monkeypatch.setattr("ldapgw.store.sqlite.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("ldapgw.store.sqlite.TRY_SECONDS", 0.01)
    other = sqlite3.connect(file, isolation_level=None)
    tries: list[str] = []
    ended_at = 0

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        tries.append(statement)
        if len(tries) == ended_at:
            other.execute("ROLLBACK")

    def attempt() -> int:
        tries.clear()
        with suppress(StoreError), sqlite.begin():
            pass
        return tries.count("BEGIN IMMEDIATE")

    event.listen(sqlite.engine, "before_cursor_execute", count)
    other.execute("BEGIN IMMEDIATE")
    assert [attempt(), attempt()] == [5, 1]
    other.execute("ROLLBACK")
    assert attempt() == 1
    other.execute("BEGIN IMMEDIATE")
    ended_at = 3
    assert attempt() == 3
    other.close()


def test_a_try_to_write_writes(sqlite: Database, file: Path) -> None:
    """And changes nothing; damage is found where it is looked for."""
    watch = sqlite.change_detector()
    watch.has_changed()
    with sqlite.begin() as connection:
        before = connection.exec_driver_sql("SELECT * FROM sqlite_schema").all()
        check_writable(connection, thoroughly=True)
    with sqlite.begin() as connection:
        assert connection.exec_driver_sql("SELECT * FROM sqlite_schema").all() == before
    assert watch.has_changed()
    watch.close()
    sqlite.close()
    page = file.read_bytes()[4096:8192]
    file.write_bytes(file.read_bytes().replace(page, b"\xff" * 4096))
    told = f"^{file}: is damaged; put a backup back: ldapgw restore FILE$"
    with pytest.raises(DamagedStore, match=told), sqlite.begin() as connection:
        check_writable(connection, thoroughly=True)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "oracle://x", "sqlite+none:///x", "postgresql+none://x/y"])
def test_other_databases_are_refused_plainly(url: str) -> None:
    """One line names the two kinds of databases that the gateway knows."""
    with pytest.raises(StoreError) as caught:
        database_at(url)
    told = 'database: expected "sqlite:///PATH" or "postgresql+psycopg://USER@HOST/NAME"'
    assert caught.value.problems == (told,)


def test_an_error_holds_nothing_of_what_was_to_be_stored(database: Database) -> None:
    """Parameters are hidden: they may be secrets."""
    row = {"name": "secret", "tenant": "secret", "numbers": "values", "password": "secret", "created_at": 1.0}
    with pytest.raises(StoreError) as caught, database.begin() as connection:
        connection.execute(insert(tables.phone), [row, row])
    told = {
        "sqlite": "UNIQUE constraint failed: phone.name",
        "postgresql": 'duplicate key value violates unique constraint "phone_pkey"',
    }[database.engine.dialect.name]
    assert caught.value.problems == (f"{database.name}: cannot be used: {told}",)


def test_the_state_dir_is_made_for_us_alone(tmp_path: Path) -> None:
    """And one that everybody may look into is refused."""
    prepare_state_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "a" / "b").chmod(0o755)
    with pytest.raises(StoreError, match="chmod 700"):
        prepare_state_dir(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is not a folder"):
        prepare_state_dir(tmp_path / "file")


def test_the_watch_sees_what_others_commit(tmp_path: Path) -> None:
    """Once each, whoever it was; a file that is gone has not changed, one that came back has."""
    path = tmp_path / "ldapgw.db"
    ours, theirs = opened(path), opened(path)
    watch = ours.change_detector()
    assert [watch.has_changed(), watch.has_changed()] == [True, False]

    def add(connection: Connection) -> None:
        phones.add(connection, DESK)

    theirs.run(add)
    assert [watch.has_changed(), watch.has_changed()] == [True, False]
    path.rename(tmp_path / "away.db")
    assert not watch.has_changed()
    (tmp_path / "new.db").write_bytes((tmp_path / "away.db").read_bytes())
    (tmp_path / "new.db").rename(path)
    assert [watch.has_changed(), watch.has_changed()] == [True, False]
    watch.close()
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM phone WHERE account_id = 7", "phone_account"),
        ("SELECT * FROM phone WHERE lower(name) = 'desk1'", "phone_folded_name"),
        ("SELECT * FROM account WHERE owner = 'sub-1'", "account_owner"),
        ("SELECT * FROM account WHERE lower(address) = 'a@b.example'", "account_folded_address"),
        ("DELETE FROM account WHERE id = 7", ""),
    ],
)
def test_what_is_looked_up_by_itself_has_an_index(tmp_path: Path, query: str, index: str) -> None:
    """Also the phones of an account that is deleted; thousands of rows are not gone through one by one."""
    with closing(opened(tmp_path / "ldapgw.db")) as database, database.begin() as connection:
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert not any(step.startswith("SCAN") for step in plan), plan
    assert any(f"INDEX {index} " in step for step in plan) or not index, plan


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("psycopg", "PostgreSQL needs psycopg; run: pip install 'ldapgw[postgresql]'"),
        ("psycopg_c", "psycopg finds no libpq; install it (on Debian: libpq5)"),
    ],
    ids=["the driver", "its library"],
)
def test_what_postgresql_needs(missing: str, told: str) -> None:
    """One line names the missing part."""
    program = f"""
import sys
sys.modules[{missing!r}] = None
from ldapgw.errors import StoreError
from ldapgw.store.engines import database_at
try:
    database_at("postgresql+psycopg://gw@localhost/gw")
except StoreError as error:
    print(*error.problems, sep="\\n")
"""
    # Of the three ways to reach libpq, this is the only one.
    only = os.environ | {"PSYCOPG_IMPL": "c"}
    done = subprocess.run((sys.executable, "-c", program), env=only, check=True, capture_output=True, text=True)
    assert done.stdout == f"database: {told}\n"

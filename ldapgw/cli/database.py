# SPDX-License-Identifier: MIT
"""``database copy``: moves the gateway to another database, from SQLite to PostgreSQL or back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ldapgw.cli.output import print_line
from ldapgw.cli.root import examples
from ldapgw.cli.site import Site, pass_site
from ldapgw.errors import UserError
from ldapgw.server.state_dir import StateDirLock
from ldapgw.store.engines import database_at
from ldapgw.store.files import is_missing
from ldapgw.store.transfer import holds_anything, is_unfinished, mark_complete, mark_unfinished, resume_copy


@click.group(epilog=examples("ldapgw database copy --to postgresql+psycopg://ldapgw@db.example.net/ldapgw"))
def database() -> None:
    """Move the gateway to another database."""


@database.command(
    epilog=examples(
        "ldapgw database copy --to postgresql+psycopg://ldapgw@db.example.net/ldapgw --password-file db.password",
        "ldapgw database copy --to sqlite:////var/lib/ldapgw/ldapgw.db",
    )
)
@click.option("--to", "url", metavar="URL", required=True, help="The database to copy to; it must be empty.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with the password of that database's user. Without it, PGPASSWORD or .pgpass can have the password.",
)
@pass_site
def copy(site: Site, url: str, password_file: Path | None) -> None:
    """Copy everything from the configured database to another one.

    Stop the gateway first. The configured database is not changed. If the command is interrupted, run it again: it
    continues where it was. The gateway refuses a database that is only partly copied.
    """
    target_url = _url(url, password_file)
    file = site.database_file
    if file is not None and is_missing(file):
        raise UserError(f"{file}: there is no database yet")
    lock = StateDirLock(site.state_dir)  # no gateway starts meanwhile
    try:
        with site.open_store() as source, closing(database_at(target_url)) as target:
            if source.url == target.url:
                raise UserError(f"--to: {target.name} is the configured database")
            if file is None and not source.runs_beside:
                raise UserError(f"{site.server_name}: there is no database yet")
            target.unfinished_copy_of = source.name
            target.open()
            with target.begin() as connection:
                if not is_unfinished(connection):
                    if holds_anything(connection):
                        raise UserError(f"--to: {target.name} is in use; name an empty database")
                    mark_unfinished(connection)
            with source.begin_read() as snapshot:
                rows = resume_copy(snapshot, target, lambda table, count: print_line(f"✓ {table}: {count}"))
                with target.begin() as connection:
                    mark_complete(snapshot, connection)
    finally:
        lock.release()
    print_line(f"Copied {rows} rows to {target.name}, and compared each of them.")
    print_line("Now write this URL as database into the configuration, and start the gateway.")


def _url(url: str, password_file: Path | None) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise click.BadParameter("expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME") from None
    if password_file is None:
        return parsed
    try:
        return parsed.set(password=password_file.read_text("utf-8").rstrip("\r\n"))
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{password_file}: cannot be read") from None

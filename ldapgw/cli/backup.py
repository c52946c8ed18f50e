# SPDX-License-Identifier: MIT
"""``backup``, ``restore`` and ``rotate-key``: maintain the database and its key, whether the gateway runs or not."""

from __future__ import annotations

from pathlib import Path

import click

from ldapgw.cli.output import print_line
from ldapgw.cli.site import Site, act, is_missing, pass_site
from ldapgw.errors import UserError
from ldapgw.server.state_dir import lock_holder_pid
from ldapgw.store import activity
from ldapgw.store.activity import Act
from ldapgw.store.backup import back_up
from ldapgw.store.backup import restore as put_back
from ldapgw.store.database import prepare_state_dir
from ldapgw.store.key_rotation import rotate
from ldapgw.store.secrets import SecretBox, new_key


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_site
def backup(site: Site, file: Path) -> None:
    """Copy the database into FILE, consistent while the gateway runs.

    A file of that name is replaced.  The key is not in it.  FILE is yours: what is in it stays there when its owner
    disconnects, so delete it when it is not needed any more.
    """
    database = _database_file(site)
    if is_missing(database):
        raise UserError(f"{database}: there is no database yet")
    back_up(database, file)
    size = file.stat().st_size / (1 << 20)
    print_line(f"The database is in {file} ({size:.1f} MiB). Its key is not; keep a copy of {site.key_file} elsewhere.")
    print_line("It keeps the contacts of people who disconnect later; delete it when it is not needed any more.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_site
def restore(site: Site, file: Path) -> None:
    """Put a backup back: accounts, contacts and phones are as they are in FILE.

    A running gateway goes on with them.  What there was is kept beside the database.
    """
    database = _database_file(site)
    prepare_state_dir(site.state_dir)
    # The cached books do not match the restored contacts; a running gateway caches its books anew.
    site.book_cache.prune()
    put_back(file, database, SecretBox.open(site.key_file, create=False))
    with site.open_store() as opened, opened.begin() as connection:
        activity.record(connection, *(act(tenant.name, Act.BACKUP_RESTORED) for tenant in site.config.tenant))
    running = lock_holder_pid(site.state_dir) is not None
    ending = "; the gateway serves it within 2 seconds." if running else "; start the gateway."
    print_line(f"{file} is restored{ending}")


@click.command()
@pass_site
def rotate_key(site: Site) -> None:
    """Encrypt every secret under a new key; a running gateway goes on with it.

    Backups from before need the key from before.
    """
    with site.open_store() as database:
        count = rotate(database, site.key_file, new_key())
        with database.begin() as connection:
            activity.record(connection, *(act(tenant.name, Act.KEY_ROTATED) for tenant in site.config.tenant))
    print_line(f"{count} secrets are encrypted under a new key in {site.key_file}; keep a copy of it elsewhere.")


def _database_file(site: Site) -> Path:
    """:raises UserError: when the database is not SQLite."""
    if site.database_file is None:
        raise UserError("database: is not SQLite's; use the tools that came with it", is_setting=True)
    return site.database_file

# SPDX-License-Identifier: MIT
"""The labels of an account, with the token for what changes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from ldapgw.store.contacts import read_labels, set_labels
from ldapgw.store.tables import account


@dataclass(frozen=True, slots=True, repr=False)
class LabelState:
    """All labels of an account.

    :ivar names: by resource name.
    :ivar sync_token: for what changes of them; None: all have to be asked for.
    :ivar fingerprint: of the requests that the token is good for.
    """

    names: Mapping[str, str]
    sync_token: str | None = None
    fingerprint: str = ""


def read(connection: Connection, account_id: int) -> LabelState:
    """The account's labels."""
    query = select(account.c.labels_token, account.c.labels_fingerprint).where(account.c.id == account_id)
    held = connection.execute(query).one()
    return LabelState(read_labels(connection, account_id), held.labels_token, held.labels_fingerprint)


def write(connection: Connection, account_id: int, state: LabelState) -> bool:
    """Replace the account's labels; whether that changes any."""
    token = {"labels_token": state.sync_token, "labels_fingerprint": state.fingerprint}
    connection.execute(update(account).where(account.c.id == account_id).values(token))
    if read_labels(connection, account_id) == state.names:
        return False
    set_labels(connection, account_id, state.names)
    return True

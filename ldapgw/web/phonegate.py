# SPDX-License-Identifier: MIT
"""What the pages about phones need of the rest of the gateway, passed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ldapgw.hints import Seen
from ldapgw.provisioning.settings import Server
from ldapgw.store.phones import PhoneLogin


@dataclass(frozen=True, slots=True)
class PhoneGate:
    """The rest of the gateway, as these pages see it.

    :ivar server: where phones find us.
    :ivar base_dn: a tenant's search base, by its name.
    :ivar bind_dn: the DN of a login; also the topic of its searches (`ldapgw.web.live`).
    :ivar searches: its last searches, the newest first.
    :ivar stranger: when somebody at an address was refused last for want of a login; None: not that we know.
    :ivar certificate: in PEM, what phones have to be given because they do not know who signed ours; empty: nothing.
    """

    server: Server
    base_dn: Callable[[str], str]
    bind_dn: Callable[[PhoneLogin], str]
    searches: Callable[[PhoneLogin], tuple[Seen, ...]]
    stranger: Callable[[str], float | None]
    certificate: Callable[[], Awaitable[str]]

# SPDX-License-Identifier: MIT
"""What the administration needs of the rest of the gateway, passed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AdminGate:
    """The rest of the gateway, as these pages see it.

    :ivar configured: the names of the tenants whose OAuth client is in the configuration file.
    :ivar certificate_ends: when the certificate that phones are shown ends, however far that is; None: there is none.
    :ivar metrics: what ``/metrics`` tells, and of which type that is.
    :ivar may_read_metrics: whether somebody at an address may read it.
    """

    configured: Container[str]
    certificate_ends: Callable[[], float | None]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    may_read_metrics: Callable[[str], bool]

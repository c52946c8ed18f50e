# SPDX-License-Identifier: MIT
"""Whether phones know who signed our certificate; if not, what they have to be given.

A phone trusts about what this machine's system does.  What does not lead there is private: self-signed, or by an
authority of the company's own.

Mutable: `Trust`, which remembers its answer until the files change.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from OpenSSL import crypto

from ldapgw.certificate import Lifetime, read_certificates, to_pem
from ldapgw.tls import ServerContext, Stamp


class Trust:
    """Answers for the certificate in use.

    :param run_off_thread: calls a function with its arguments where it may wait: reading what the system trusts does.
    """

    def __init__(self, contexts: ServerContext | None, run_off_thread: Callable[..., Awaitable[Any]]) -> None:
        self._contexts = contexts
        self._run_off_thread = run_off_thread
        self._known: tuple[Stamp, str] | None = None

    async def certificate(self) -> str:
        """In PEM, what phones have to be given; empty where nothing."""
        if self._contexts is None:
            return ""
        stamp = self._contexts.pair.stamp
        if self._known is None or self._known[0] != stamp:
            found = await self._run_off_thread(private_certificate, self._contexts.tls.certificate)
            self._known = stamp, found
        return self._known[1]


def private_certificate(file: str) -> str:
    """The end of a file's chain in PEM, if it leads to nobody whom the system trusts; empty else.

    A file that cannot be read has nothing to give; `ldapgw.renewal` speaks of it.
    """
    try:
        chain = read_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return ""
    store = _system()
    # Whether one of them has expired is another question.
    store.set_time(Lifetime.of(chain).begins)
    first, *others = (crypto.X509.from_cryptography(certificate) for certificate in chain)
    try:
        crypto.X509StoreContext(store, first, others).verify_certificate()
    except crypto.X509StoreContextError:
        return to_pem(chain[-1])
    return ""


def _system() -> crypto.X509Store:
    """Whom this machine trusts."""
    store = crypto.X509Store()
    paths = ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        store.load_locations(paths.cafile, paths.capath)
    return store

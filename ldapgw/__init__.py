# SPDX-License-Identifier: MIT
"""ldapgw serves Google contacts to desk phones over LDAP.

This drawing shows the path of a contact from left to right, and the package of each step::

    Google ──► person ──► contact ──► record ──► book ──► entry ──► LDAP message
               google/    google/     sync/      directory/         ldap/
               people     person      store/

    browser ──► web/consent ──► google/oauth ──► store/accounts          (the consent)

``sync`` writes: it fetches persons, plans the changes, stores them and publishes new books.  ``ldap`` reads: it answers
searches from the published books.  ``sync`` and ``ldap`` meet only in ``directory/catalog``: after the database has
committed, one assignment replaces the directories that searches read.  ``server/gateway`` constructs the objects of all
these packages; ``phones``, ``web`` and ``cli`` use the same packages.  ``docs/reference/glossary.rst`` explains the
nouns.
"""

from importlib.util import find_spec

__version__ = "1.0.0"


def is_compiled() -> bool:
    """Return whether the modules that answer searches are compiled by mypyc (``setup.py``)."""
    spec = find_spec("ldapgw.ber")
    return spec is not None and not str(spec.origin).endswith(".py")

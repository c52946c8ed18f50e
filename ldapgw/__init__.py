# SPDX-License-Identifier: MIT
"""ldapgw serves Google contacts to desk phones over LDAP.

The path of a contact, from left to right, and the package of each step::

    Google ──► person ──► contact ──► record ──► book ──► entry ──► LDAP message
               google/    google/     sync/      directory/         ldap/
               people     person      store/

    browser ──► web/consent ──► google/oauth ──► store/accounts          (the consent)

``sync`` writes: it fetches persons, plans the changes, stores them and publishes new books.  ``ldap`` reads: it answers
searches from the published books.  The two meet in ``directory/catalog`` only: after the database has committed, one
assignment replaces the served directories.  ``server/gateway`` constructs all of it; ``phones``, ``web`` and ``cli``
use the same packages.  ``docs/reference/glossary.rst`` explains the nouns.
"""

from importlib.util import find_spec

__version__ = "0.1.0"


def is_compiled() -> bool:
    """Return whether the modules that every search runs through are compiled by mypyc (``setup.py``)."""
    spec = find_spec("ldapgw.ber")
    return spec is not None and not str(spec.origin).endswith(".py")

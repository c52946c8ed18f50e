# SPDX-License-Identifier: MIT
"""ldapgw: Google contacts on desk phones, by LDAP.

The path of a contact, left to right, and where each step lives::

    Google ──► person ──► contact ──► book ──► directory ──► entries ──► wire
    google/    google/    contact     directory/book   directory/search   ldap/
    people     person     (+ number)                                      session, protocol
         └── sync/ plans the change, store/ keeps it, catalog publishes it ──┘

    browser ──► web/ ──► google/oauth ──► store/accounts          (the consent)

The left half writes, the right half reads, and they meet in one place: ``catalog``, whose directories are replaced
by one assignment after the database has committed.  ``service`` puts the parts together; ``docs/glossary.rst``
explains the nouns.
"""

__version__ = "0.1.0"

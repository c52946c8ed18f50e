# SPDX-License-Identifier: MIT
"""How long an OpenLDAP replica takes for its first copy of the contacts, and for a change."""

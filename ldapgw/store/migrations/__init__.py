# SPDX-License-Identifier: MIT
"""Alembic's migrations from the tables of each released version to the tables of the next version."""

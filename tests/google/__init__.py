# SPDX-License-Identifier: MIT
"""Tests of ``ldapgw.google``."""

# SPDX-License-Identifier: MIT
"""Reads files of contacts that other programs export: CSV, vCard, and the phone book of a FRITZ!Box."""

from __future__ import annotations

# SPDX-License-Identifier: MIT
"""Desk phones: their models, their settings, their recent searches and the explanation of a search.

Start with `search_log`, which keeps the last searches of each phone, and `hints`, which finds mistakes in a phone's
settings.  `explain` says why a search finds or misses an entry; `provisioning` writes the settings of each vendor.
"""

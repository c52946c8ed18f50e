# SPDX-License-Identifier: MIT
"""Synchronization with Google: fetch, plan, apply, build books, publish; the entry point is `SyncScheduler`."""

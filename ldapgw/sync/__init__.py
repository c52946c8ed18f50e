# SPDX-License-Identifier: MIT
"""The writing half: fetch, plan, apply, publish.  Its public door is `ldapgw.sync.scheduler.SyncScheduler`."""

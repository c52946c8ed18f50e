# SPDX-License-Identifier: MIT
"""Synchronization with Google: fetch, plan, apply, build books, publish; the entry point is `SyncScheduler`.

A *source* is the contacts, the "other contacts" or the Workspace directory at Google.  A *listing* is Google's answer
for a source: all persons (a full listing), or the changes since a sync token.  A contact is *served* if phones can find
the contact.  A *book* holds the served contacts of one account, or of a tenant's Workspace directory.
"""

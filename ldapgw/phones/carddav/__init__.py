# SPDX-License-Identifier: MIT
"""CardDAV (RFC 6352), read-only: address books that phones and programs keep in step with the directory."""

# SPDX-License-Identifier: MIT
"""Pictures of the Grafana dashboard and of Prometheus' alerts, from a gateway with phones, syncs and trouble at Google.

Prometheus scrapes the gateway and answers the dashboard's own queries; the pictures are drawn from the answers, because
Grafana itself isn't installed.
"""

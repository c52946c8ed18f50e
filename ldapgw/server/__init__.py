# SPDX-License-Identifier: MIT
"""The running gateway: the composition root, configuration, TLS, listeners, worker processes, metrics and logs.

Start reading with `gateway`, which starts and stops all services, and `parts`, which constructs the services.
`foreground`, `twistd` and `demo` are the entry points.
"""

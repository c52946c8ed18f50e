# SPDX-License-Identifier: MIT
"""The running gateway: the composition root, configuration, TLS, listeners, worker processes, metrics and logs.

Start with `gateway`, which starts and stops everything, and `parts`, which constructs each service and passes it what
it needs.  `foreground`, `twistd` and `demo` are the entry points.
"""

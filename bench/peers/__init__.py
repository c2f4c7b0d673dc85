"""What Recado is measured beside: each peer on loopback, in a directory of its own, as durable as it can be.

A module a peer.  None is needed to build or test Recado; docs/benchmarks.md says what to install.
"""

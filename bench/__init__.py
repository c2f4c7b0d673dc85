"""What it costs: ``python -m bench``.  Ratios of rounds that alternate, and processor time per message.

Rates say more about the machine and its neighbours than about the program; see docs/benchmarks.md.
"""

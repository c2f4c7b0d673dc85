"""Floor 0: the protocol as pure values and machines.

Nothing here awaits, logs, reads a clock, draws random numbers, or opens a socket or a file:
what is not determined comes in as an argument.
"""

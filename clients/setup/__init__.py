"""Setting up a node: what `recado init`, `recado config` and `recado systemd` do."""

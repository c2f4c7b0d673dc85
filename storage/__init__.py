"""Floor 2: one SQLite file per node, synchronous.  The views are the contract; the tables are private."""

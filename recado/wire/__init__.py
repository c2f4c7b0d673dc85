"""Floor 1: bytes between programs, over ZeroMQ (`sockets`, `router`, `dealer`, `pubsub`) or in memory (`memory`)."""

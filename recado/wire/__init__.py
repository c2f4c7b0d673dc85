"""Floor 1: bytes between programs, over ZeroMQ (`zeromq`) or in memory (`memory`).

`ports` says what both promise.  `frames` and `sockets` hold what is peculiar to ZeroMQ; `router`,
`dealer` and `pubsub` are the ends made of it.
"""

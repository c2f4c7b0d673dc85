"""The server: serves clients, keeps the replication log, elects a coordinator, disciplines its clock.

`app` holds the nursery on one screen; every task of it has a file of its name.  What the tasks
share is `node.Node`.
"""

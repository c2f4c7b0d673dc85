"""What the nodes of a local cluster see of the environment of `recado up`."""

from collections.abc import Mapping

# What `up` itself decides for its nodes; from its own environment they must not take it.
_OURS = (
    "RECADO_NODE__",
    "RECADO_CLUSTER__",
    "RECADO_SERVER__LISTEN",
    "RECADO_SERVER__RANK",
    "RECADO_REFERENCE__LISTEN",
    "RECADO_BROKER__XSUB",
    "RECADO_BROKER__XPUB",
    "RECADO_BROKER__REQUEST",
    "RECADO_BROKER__SERVERS",
    "RECADO_SECURITY__",
    "RECADO_ROSTER",
    "RECADO_KEY",
    "RECADO_LOG__FILE",
    "RECADO_CONFIG",
    "RECADO_USER",
    "RECADO_READY_FD",
    "NOTIFY_SOCKET",
)


def nodes_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what `up` decides; other settings in it reach all nodes."""
    return {name: value for name, value in environment.items() if not name.startswith(_OURS)}

"""RabbitMQ: persistent messages into a durable queue, publisher confirms; a fanout exchange."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Contender, Peer, Running, free_port, process

# The wrapper in PATH changes the user and asks for a service manager; this is what it calls.
PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"


@contextmanager
def _start(directory: Path) -> Iterator[Running]:
    """With a port mapper of its own, since the one that Erlang starts outlives it."""
    port, mapper = free_port(), free_port()
    loopback = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(mapper), "HOME": str(directory)}
    environment = {
        **loopback,
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    with (
        process(["epmd"], directory, port=mapper, environment=loopback),
        process([PROGRAM], directory, port=port, environment=environment) as running,
    ):
        yield Running([f"127.0.0.1:{port}"], [running.pid])


class _RabbitMQ(Peer, frozen=True):
    def version(self) -> str:
        """Of the directory that it is installed in: asking the program starts a node."""
        found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
        return found[-1].name.partition("-")[2] if found else "?"


RABBITMQ = _RabbitMQ(
    name="RabbitMQ",
    promise="confirm of a persistent message in a durable classic queue, after its fsync; one copy",
    package="apt-get install rabbitmq-server",
    program=PROGRAM,
    version_words=[],
    start=_start,
)
QUEUE = Contender("RabbitMQ, confirms", RABBITMQ, "amqp")
FANOUT = Contender(
    "RabbitMQ, fanout exchange",
    RABBITMQ,
    "amqp-fanout",
    promise="confirm of a transient message to an exclusive queue for each subscriber; nothing is kept",
)

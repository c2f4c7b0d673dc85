"""The supervisor: starts the nodes in order, keeps them running, stops them in the reverse order.

    lock, ports, files                                  any refusal here: nothing was started
    start reference, broker, servers, bots; each ready before the next kind
    tell everything in one summary
    duties: one keeper per node, control socket, listening to the broker, signals
    stop: cancel the duties, then bots, servers, broker, reference; at most 5 s, then SIGKILL

A node that dies is started again after a second, unless it was stopped on purpose or says that
trying again is of no use (wrong usage, wrong configuration, a bot that is done).
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc

from clients.cluster import children, control
from clients.cluster.cannot import CannotStart
from clients.cluster.drain import drain
from clients.cluster.environment import nodes_environment
from clients.cluster.events import Event, OutputGone, Sink, event, summary
from clients.cluster.ground import check_ports, owned, prepare, set_aside
from clients.cluster.keeper import Keeper
from clients.cluster.plan import Plan, Role
from clients.cluster.watch import watch
from recado.wire.ports import Network

RESTART_SECONDS = 1.0
LOG_LOOK_SECONDS = 30.0
READY_SECONDS = 30.0
STOP_ONE_SECONDS = 5.0
SETTLED_SECONDS = 6.0  # an election is over by then
EARLY_EVENTS_MAX = 100
_FINAL_CODES = frozenset({0, 2, 78})


class Supervisor:
    """Runs a plan.  Also what the control socket acts on."""

    def __init__(
        self,
        plan: Plan,
        *,
        sink: Sink,
        network: AbstractAsyncContextManager[Network],
        environment: Mapping[str, str],
        checked: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self._checked = checked
        self._network = network
        self.coordinator: str | None = None
        self._sink = sink
        self._early: deque[Event] | None = deque(maxlen=EARLY_EVENTS_MAX)
        self._environment = nodes_environment(environment)
        self._keepers = {node.name: Keeper(node) for node in plan.nodes}
        self._stopping = anyio.Event()
        self._starting = anyio.CancelScope()
        self._patience = anyio.CancelScope()

    # What the control socket and the watching duty see ---------------------------------------

    @property
    def data(self) -> Path:
        return self.plan.wish.data

    def settled(self) -> Mapping[str, str]:
        """Names and addresses of servers that have run long enough to know who is coordinator."""
        latest = time.time() - SETTLED_SECONDS
        return {
            name: address
            for name, address in zip(self._server_names(), self.plan.servers, strict=True)
            if (child := self._keepers[name].child) is not None and child.started_at <= latest
        }

    def _server_names(self) -> list[str]:
        return [node.name for node in self.plan.nodes if node.role is Role.SERVER]

    @property
    def secured(self) -> bool:
        return self.plan.wish.secure

    @property
    def xpub(self) -> str:
        return self.plan.xpub

    def about(self) -> Event:
        """The cluster in one line."""
        return {"pid": os.getpid(), "data": str(self.data), "coordinator": self.coordinator}

    def tell(self, happened: Event) -> None:
        """An event of the watching duty; what comes before the summary waits for it."""
        if self._early is None:
            self._sink(happened)
        else:
            self._early.append(happened)

    def rows(self) -> list[Event]:
        return [keeper.row() for keeper in self._keepers.values()]

    def names(self) -> list[str]:
        return list(self._keepers)

    async def stop_node(self, name: str) -> None:
        """Stop one node and leave it down; returns when its process has ended."""
        keeper = self._keepers[name]
        keeper.unwant()
        if (child := keeper.child) is None:
            return
        child.signal(signal.SIGTERM)
        with anyio.move_on_after(STOP_ONE_SECONDS):
            await keeper.gone.wait()
        child.signal(signal.SIGKILL)
        await keeper.gone.wait()

    def start_node(self, name: str) -> None:
        """Start one node, or let a running one be kept again."""
        self._keepers[name].want()

    def stop(self) -> None:
        """Begin to stop everything; a second call ends the patience."""
        if self._stopping.is_set():
            self._patience.cancel()
        self._stopping.set()
        self._starting.cancel()

    # Life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until stopped.  Raises `CannotStart`; whatever happens, no process is left behind."""
        with owned(self.plan):
            check_ports(self.plan)
            prepare(self.plan)
            self._checked()
            with _one_error():
                async with anyio.create_task_group() as whole_life:
                    await whole_life.start(self._obey_signals)
                    try:
                        async with self._network as network:
                            await self._live(network)
                    finally:
                        with anyio.CancelScope(shield=True):
                            await drain(self._keepers.values(), patience=self._patience)
                    self._sink(event("stopped"))
                    whole_life.cancel_scope.cancel()

    async def _live(self, network: Network) -> None:
        async with anyio.create_task_group() as duties:
            # Bound before the nodes start: the first announcements must not be missed.
            await duties.start(control.serve, self)
            with self._starting:
                await self._start_all(duties, network)
                pids = {name: keeper.child.pid for name, keeper in self._keepers.items() if keeper.child}
                self._sink(summary(self.plan, pids, os.getpid()))
                early, self._early = self._early or (), None
                for happened in early:
                    self._sink(happened)
                for keeper in self._keepers.values():
                    duties.start_soon(self._keep, keeper)
                duties.start_soon(self._bound_logs)
            await self._stopping.wait()
            self._sink(event("stopping"))
            duties.cancel_scope.cancel()

    async def _obey_signals(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                self.stop()

    async def _start_all(self, duties: anyio.abc.TaskGroup, network: Network) -> None:
        for role in Role:
            group = [keeper for keeper in self._keepers.values() if keeper.node.role is role]
            if role is Role.SERVER:
                await duties.start(watch, self, network)
            for keeper in group:
                keeper.want()
                self._start(keeper)
            for keeper in group:
                await self._first_ready(keeper)

    async def _first_ready(self, keeper: Keeper) -> None:
        assert keeper.child is not None
        with anyio.move_on_after(READY_SECONDS):
            if await keeper.child.ready() is not None:
                keeper.ready = True
                return
            code = await keeper.child.wait()
            raise CannotStart(
                f"{keeper.node.name} ended with exit code {code} before it was ready; its last words"
                f" ({keeper.node.log_path}):\n{children.last_words(keeper.node)}",
                code if code > 0 else 70,
            )
        raise CannotStart(f"{keeper.node.name} was not ready within {READY_SECONDS:g} s", 75)

    def _start(self, keeper: Keeper) -> None:
        try:
            keeper.begin(children.start(keeper.node, self._environment))
        except OSError as error:
            raise CannotStart(f"can't start {keeper.node.name}: {error}") from None

    async def _keep(self, keeper: Keeper) -> None:
        """One node's duty: wait for its end, tell it, start it again."""
        name = keeper.node.name
        while True:
            if keeper.child is None:
                await keeper.until_wanted()
                await self._revive(keeper, "started")
            child = keeper.child
            assert child is not None
            code = await child.wait()
            keeper.end(code)
            if not keeper.wanted:
                self._sink(event("stopped", node=name, pid=child.pid, **_ended(code)))
                continue
            again = self.plan.wish.restart and code not in _FINAL_CODES
            self._sink(
                event(
                    "died",
                    node=name,
                    pid=child.pid,
                    **_ended(code),
                    restart_seconds=RESTART_SECONDS if again else None,
                )
            )
            if keeper.node.name == self.coordinator:
                self.coordinator = None
            if not again:
                keeper.unwant()
                continue
            await anyio.sleep(RESTART_SECONDS)
            if keeper.wanted:
                keeper.restarts += 1
                await self._revive(keeper, "restarted")

    async def _bound_logs(self) -> None:
        while True:
            await anyio.sleep(LOG_LOOK_SECONDS)
            for node in self.plan.nodes:
                with suppress(OSError):  # a full disk is no reason to stop the cluster; look again later
                    set_aside(node)

    async def _revive(self, keeper: Keeper, kind: str) -> None:
        self._start(keeper)
        child = keeper.child
        assert child is not None
        self._sink(event(kind, node=keeper.node.name, pid=child.pid))
        with anyio.move_on_after(READY_SECONDS):
            said = await child.ready()
            if said is not None:
                keeper.ready = True
                self._sink(event("ready", node=keeper.node.name, pid=child.pid, listen=keeper.node.endpoints))


def _ended(code: int) -> Event:
    """How a process ended: its exit code, or the signal that killed it."""
    if code >= 0:
        return {"exit_code": code, "signal": None}
    return {"exit_code": None, "signal": signal.Signals(-code).name}


@contextmanager
def _one_error() -> Iterator[None]:
    """Of a group of errors the one that people can do something about."""
    try:
        yield
    except ExceptionGroup as group:
        _, unexpected = group.split((OutputGone, CannotStart))
        refused = group.subgroup(CannotStart)
        if unexpected is not None:
            raise
        if refused is not None:
            raise _first(refused) from None


def _first(group: ExceptionGroup[CannotStart]) -> CannotStart:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, ExceptionGroup) else inner


async def supervise(
    plan: Plan,
    *,
    sink: Sink,
    network: AbstractAsyncContextManager[Network],
    environment: Mapping[str, str],
    checked: Callable[[], None],
) -> None:
    """Run a plan until SIGINT or SIGTERM; `checked` is called when it can begin.  Raises `CannotStart`."""
    await Supervisor(plan, sink=sink, network=network, environment=environment, checked=checked).run()

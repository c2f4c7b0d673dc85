"""What a server gives to peers that lost something: single entries (`fetch`), or all at once (`snapshot`)."""

from daemons.server.calls import Call
from daemons.server.node import Node
from daemons.server.peer_services import member_of, runs_fields
from recado.protocol.limits import PAGE_BYTES_MAX, PAGE_ENTRIES_MAX
from recado.protocol.messages import Fetch
from storage.replica import Damaged


class Donor:
    """Handlers of the two services."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def fetch(self, call: Call, asked: Fetch) -> None:
        """Entries to put in the place of damaged ones (A34); as many as fit into a page."""
        node = self._node
        member_of(node, asked)
        node.clock.receive(call.asked.clock)
        last = min(asked.last, node.entries.durable.get(asked.origin, 0))
        most = min(last - asked.first + 1, PAGE_ENTRIES_MAX)
        run = None
        if asked.first >= 1 and most >= 1:
            try:
                run = node.store.run_after(
                    asked.origin, asked.first - 1, entries_max=most, bytes_max=PAGE_BYTES_MAX
                )
            except Damaged as damaged:
                node.damaged(damaged.origin, damaged.seq)
        call.reply({"status": "OK", "runs": runs_fields([] if run is None else [run])})

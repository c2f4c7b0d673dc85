"""What a plan's hosts mean for the promise of `quorum`, in words for whoever makes it."""

from clients.setup.plan import Plan
from clients.setup.words import speaker
from recado.contradictions import is_loopback
from recado.protocol.domains import is_uneven, losable, members_by_host, sparable


def warnings(plan: Plan) -> list[str]:
    """What is to be known of members that share hosts; [] if there is nothing, or it is a laboratory."""
    addresses = [node.address for node in plan.nodes]
    hosts = members_by_host(addresses)
    if len(addresses) == len(hosts) or all(map(is_loopback, addresses)):
        return []
    say, counts = speaker(), hosts.values()
    told = " ".join(f"{host}={count}" for host, count in sorted(hosts.items()))
    quorum = len(addresses) // 2 + 1
    if losable(counts) == 0:
        return [say("init.quorum_on_one_host", hosts=told, quorum=quorum)]
    if is_uneven(counts):
        return [say("init.uneven", hosts=told, quorum=quorum, away=sparable(counts))]
    return []

"""The commands that mend: for a cluster of hosts under systemd, or for one that `recado up` runs."""

from collections.abc import Mapping, Sequence
from shlex import quote

from clients.watching.values import Answer, Survey
from recado.contradictions import is_loopback


class Mending:
    """Commands for the cluster of a survey.  Names are quoted: they come from servers."""

    def __init__(self, survey: Survey) -> None:
        servers = survey.servers
        self.laboratory = len(servers) > 1 and all(is_loopback(one.address) for one in servers)

    def start(self, name: str, address: str) -> tuple[str, ...]:
        """A server that does not answer."""
        if self.laboratory:
            return (f"recado start {quote(name)}", f"recado logs {quote(name)}")
        unit = quote(f"recado-server@{name}")
        return self._there(
            address, f"systemctl status {unit}", f"systemctl restart {unit}", f"journalctl -u {unit} -n 50"
        )

    def restart(self, name: str, address: str) -> tuple[str, ...]:
        if self.laboratory:
            return (f"recado stop {quote(name)}", f"recado start {quote(name)}")
        return self._there(address, f"systemctl restart {quote(f'recado-server@{name}')}")

    def logs(self, name: str, address: str) -> tuple[str, ...]:
        if self.laboratory:
            return (f"recado logs {quote(name)}",)
        return self._there(address, f"journalctl -u {quote(f'recado-server@{name}')} -n 100")

    def reach(self, address: str, others: Sequence[str], there: Mapping[str, str]) -> tuple[str, ...]:
        """A link that is cut between some and one."""
        host, port = _host(address), address.rpartition(":")[2]
        return tuple(
            command
            for other in others[:3]
            for command in self._there(there[other], f"nc -zvw 3 {quote(host)} {quote(port)}")
        )

    def between(self, several: Sequence[Answer]) -> tuple[str, ...]:
        """Links between servers that have lost sight of each other."""
        if len(several) < 2:
            return ("recado status",)
        first, second = several[0], several[1]
        names = {one.name: one.address for one in several}
        return (
            *self.reach(second.address, [first.name], names),
            *self.reach(first.address, [second.name], names),
        )

    def configure(self, name: str, address: str, what: str) -> tuple[str, ...]:
        """A setting that is wrong on one node."""
        return (
            *self._there(address, f"recado-server --check --config /etc/recado/recado.toml  # {what}"),
            *self.restart(name, address),
        )

    def clock(self, address: str) -> tuple[str, ...]:
        return self._there(address, "timedatectl", "systemctl restart systemd-timesyncd")

    def disk(self, address: str) -> tuple[str, ...]:
        return (*self._there(address, "df -h /var/lib/recado", "du -xhd1 /var/lib | sort -h | tail"),)

    def upgrade(self, name: str, address: str) -> tuple[str, ...]:
        return (*self._there(address, "recado-server --version"), *self.restart(name, address))

    def broker(self, address: str) -> tuple[str, ...]:
        if self.laboratory:
            return ("recado start broker", "recado logs broker")
        return self._there(address, "systemctl restart recado-broker", "journalctl -u recado-broker -n 50")

    def reference(self, address: str) -> tuple[str, ...]:
        if self.laboratory:
            return ("recado start reference", "recado logs reference")
        return self._there(address, "systemctl restart recado-reference")

    def _there(self, address: str, *commands: str) -> tuple[str, ...]:
        """On the host of that address; "" is this one."""
        if is_loopback(address):
            return commands
        return tuple(f"ssh {quote(_host(address))} {quote(command)}" for command in commands)


def _host(address: str) -> str:
    return address.removeprefix("tcp://").rpartition(":")[0].strip("[]")

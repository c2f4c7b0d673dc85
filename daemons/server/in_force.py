"""What is in force at this moment: the settings that SIGHUP changes, the roster, the rates.

`recado.secured.Current` is that of a process, with files behind it; `Given` that of a test or a simulated
server, which is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from recado.config import Config
from recado.roster import Roster
from recado.secured import NodeSecurity, Rates, rates_of


class InForce(Protocol):
    """Looked at anew by each request: what is read again counts at once."""

    @property
    def config(self) -> Config: ...

    @property
    def security(self) -> NodeSecurity | None:
        """None in open mode."""

    @property
    def rates(self) -> Rates: ...

    @property
    def on_change(self) -> list[Callable[[], None]]:
        """Told after each change."""


@dataclass(kw_only=True)
class Given:
    """What a caller says is in force; `change` is its SIGHUP."""

    config: Config
    security: NodeSecurity | None = None
    on_change: list[Callable[[], None]] = field(default_factory=list)

    @property
    def rates(self) -> Rates:
        return rates_of(self.config)

    def change(self, config: Config | None = None, *, security: NodeSecurity | None = None) -> None:
        """Put something else in force."""
        self.config, self.security = config or self.config, security or self.security
        for tell in self.on_change:
            tell()


def roster_of(in_force: InForce) -> Roster | None:
    """The roster; None in open mode."""
    return None if in_force.security is None else in_force.security.roster

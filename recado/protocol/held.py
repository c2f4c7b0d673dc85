"""What a subscription holds back until history fills the gap before it."""

from collections.abc import Iterable

from recado.protocol.limits import SUBSCRIPTION_BUFFER_MAX
from recado.protocol.publications import Message, Place
from recado.protocol.vector import Vector


class Held:
    """Publications with a gap before them, at most `SUBSCRIPTION_BUFFER_MAX` of all origins together."""

    def __init__(self) -> None:
        self._by_origin: dict[str, dict[int, Message]] = {}
        self.messages = 0

    def __bool__(self) -> bool:
        return self.messages > 0

    @property
    def origins(self) -> list[str]:
        return list(self._by_origin)

    @property
    def tops(self) -> Vector:
        """The largest seq held of each origin."""
        return {origin: max(held) for origin, held in self._by_origin.items()}

    def drop(self, origin: str, *, after: int) -> None:
        """Hold nothing of this origin beyond a seq."""
        held = self._by_origin.pop(origin, {})
        kept = {seq: message for seq, message in held.items() if seq <= after}
        self.messages -= len(held) - len(kept)
        if kept:
            self._by_origin[origin] = kept

    def keep(self, place: Place, message: Message) -> bool:
        """False: there is no room."""
        of_origin = self._by_origin.get(place.origin, {})
        if place.seq in of_origin:
            return True
        if self.messages >= SUBSCRIPTION_BUFFER_MAX:
            return False
        self._by_origin.setdefault(place.origin, of_origin)[place.seq] = message
        self.messages += 1
        return True

    def take(self, origins: Iterable[str]) -> list[Message]:
        """All of these origins; they are held no longer."""
        taken = [message for origin in origins for message in self._by_origin.pop(origin, {}).values()]
        self.messages -= len(taken)
        return taken

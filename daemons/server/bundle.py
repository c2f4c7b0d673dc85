"""A request that carries many publishes: served as that many, answered once.

Whatever holds for a publish (who may, how often, ids, levels, what is missing here) holds for each of
them by itself.  The first ones, as far as they are plain, go together (`daemons.server.plain_publishes`);
from the first one that is not, each goes the way of a request of its own, as a `Part`.  What they share is
the frame in, the frame out, and the fields that all answers have in common.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from daemons.server.calls import Call, Replies, error_data
from recado.protocol import names
from recado.protocol.errors import Refused
from recado.protocol.messages import Asked, Publish, PublishMany
from recado.wire.ports import Principal

Data = dict[str, Any]
Key = tuple[int, str, int]
REFUSED_ID: Final = b""
_REASON: Final = error_data("", "").keys()


class Bundle(Call):
    """The publishes of one request, in its order, and their answers.

    `ids`: of each as it is stored, None if one is to be made, `REFUSED_ID` if what was given is none.
    """

    __slots__ = ("_answers", "_left", "ids", "said")

    def __init__(
        self, asked: Asked, envelope: tuple[bytes, ...], replies: Replies, principal: Principal
    ) -> None:
        super().__init__(asked, envelope, replies, principal)
        self.said = cast(PublishMany, asked.data)
        self.ids = [_id(given) for _, _, given in self.said.items]
        self._left = len(self.said.items)
        self._answers: list[Data] = [{}] * self._left

    def parts(self, first: int) -> "list[Part]":
        """Those from this place on as requests of their own."""
        return [Part(self, place) for place in range(first, len(self.said.items))]

    def answered(self, place: int, data: Data) -> None:
        """The answer of one of them; after the last one the request has its reply."""
        data.pop("id", None)  # the place tells whose answer it is
        self._answers[place] = data
        self._left -= 1
        if self._left == 0:
            reply = shared(self._answers)
            reply["answers"] = [
                {field: value for field, value in answer.items() if field not in reply}
                for answer in self._answers
            ]
            self.send(reply)

    def answered_alike(self, keys: Sequence[Key], data: Data) -> None:
        """The answers of the first ones, which differ by their keys only."""
        since, code = self.since, data.get("code")
        if data.get("status") != "erro":
            self.replies.accepted += len(keys)
        self.replies.meters.answered("publish", code, since=since, count=len(keys))
        if len(keys) == len(self._answers):
            data["answers"] = [{"key": key} for key in keys]
            self.send(data)
        else:
            for place, key in enumerate(keys):
                self.answered(place, {**data, "key": key})


class Part(Call):
    """One publish of a bundle: a call whose answer becomes a part of the bundle's."""

    __slots__ = ("bundle", "place")

    def __init__(self, bundle: Bundle, place: int) -> None:
        said = bundle.said
        channel, text, ident = said.items[place]
        # One that does not need the clock's tag any more: it was heard before.
        publish = Publish(user=said.user, channel=channel, message=text, id=ident, level=said.level)
        asked = Asked("publish", publish, bundle.asked.clock)
        super().__init__(asked, (), bundle.replies, bundle.principal)
        self.bundle = bundle
        self.place = place
        self.id = bundle.ids[place] or None
        self.paid = bundle.paid
        self.checked = bundle.checked

    @property
    def request(self) -> object:
        return self.bundle

    def send(self, data: Data) -> None:
        self.bundle.answered(self.place, data)


class Together:
    """The first ones of a bundle that wait for their level as one."""

    __slots__ = ("bundle", "keys")

    def __init__(self, bundle: Bundle, keys: Sequence[Key]) -> None:
        self.bundle = bundle
        self.keys = keys

    def reply(self, data: Data) -> None:
        """The answer of each, but for its key."""
        self.bundle.answered_alike(self.keys, data)


def shared(answers: Sequence[Data]) -> Data:
    """The fields that all answers have, and have alike; of a failure the reason too, or none of it."""
    common = dict(answers[0])
    for answer in answers:
        for field, value in [*common.items()]:
            if field not in answer or answer[field] != value:
                del common[field]
    if common.get("status") == "erro" and not common.keys() >= _REASON:
        return {field: value for field, value in common.items() if field != "status"}
    return common


def _id(given: Any) -> bytes | None:
    try:
        return names.identifier(given)
    except Refused:
        return REFUSED_ID

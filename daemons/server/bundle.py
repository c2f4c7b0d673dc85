"""A request that carries many publishes: served as that many, answered once.

Whatever holds for a publish (who may, how often, ids, levels, what is missing here) holds for each of
them by itself, since each goes the way of a request of its own.  What they share is the frame in, the
frame out, and the fields that all answers have in common.
"""

from typing import Any, cast

from daemons.server.calls import Call, Replies
from recado.protocol.messages import Asked, Publish, PublishMany
from recado.wire.ports import Principal

Data = dict[str, Any]


class Part(Call):
    """One publish of a `Bundle`: a call whose answer becomes a part of the bundle's."""

    __slots__ = ("bundle", "place")

    def __init__(self, asked: Asked, *, replies: Replies, principal: Principal, bundle: "Bundle") -> None:
        super().__init__(asked, (), replies, principal)
        self.bundle = bundle
        self.place = len(bundle.parts)

    @property
    def request(self) -> object:
        return self.bundle

    def send(self, data: Data) -> None:
        self.bundle.answered(self.place, data)


class Bundle:
    """The publishes of one request, in its order, and their answers."""

    __slots__ = ("_answers", "_asked", "_envelope", "_left", "_replies", "parts")

    def __init__(
        self, asked: Asked, envelope: tuple[bytes, ...], replies: Replies, principal: Principal
    ) -> None:
        self._asked = asked
        self._envelope = envelope
        self._replies = replies
        said = cast(PublishMany, asked.data)
        user, level, clock, tag = said.user, said.level, asked.clock, said.ctag
        self.parts: list[Part] = []
        for channel, text, ident in said.items:
            publish = Publish(user=user, channel=channel, message=text, id=ident, level=level, ctag=tag)
            one = Asked("publish", publish, clock)
            self.parts.append(Part(one, replies=replies, principal=principal, bundle=self))
            tag = None  # once its clock is believed it is past
        self._left = len(self.parts)
        self._answers: list[Data] = [{}] * self._left

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
            service, clock = self._asked.service, self._asked.clock
            self._replies.add(self._envelope, service, reply, asked_clock=clock)


def shared(answers: list[Data]) -> Data:
    """The fields that all answers have, and have alike."""
    common = dict(answers[0])
    for answer in answers:
        for field, value in [*common.items()]:
            if field not in answer or answer[field] != value:
                del common[field]
    return common

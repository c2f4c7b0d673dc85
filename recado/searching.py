"""Searching the messages, as the library asks and reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recado import values
from recado.community import Community
from recado.failures import BadReply, checked
from recado.protocol import names
from recado.protocol.limits import SEARCH_MESSAGES_DEFAULT
from recado.protocol.searching import searchable
from recado.values import Key, Listed, Message, Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Listed):
    """Messages that a search has found, in their order, as one server had them.  Iterable.

    `more`: there are earlier ones, which ``search(…, before=found.earlier)`` gives.  `partial`: it took too
    long and was ended, so that some may be missing between those that are here.  `lag`: so many of the latest
    log entries were not in the server's index yet.  `behind`: as in `Page`.
    """

    messages: tuple[Message, ...]
    more: bool
    partial: bool
    lag: int
    server: str
    behind: bool = False


class Searches(Community):
    """The method of `Chat` that searches."""

    async def search(
        self,
        text: str,
        *,
        channel: str | None = None,
        direct: bool = False,
        peer: str | None = None,
        author: str | None = None,
        limit: int = SEARCH_MESSAGES_DEFAULT,
        before: Key | None = None,
        deadline_seconds: float | None = None,
    ) -> Found:
        """The last `limit` messages with all words of `text`, in whatever order, accents and capitals aside.

        ``"bom dia"`` in quotes are words that follow each other, ``recad*`` any word that begins so.  Of all
        channels that this user may read, or of `channel`; with `direct` of this user's direct messages, or
        only those exchanged with `peer`.  `author`: only what that user said.

        Raises `TextRefused` if there is no word in `text` or too many, `UserMissing`, `NotMember`.

            found = await chat.search('café "bom dia"', author="bob")
            earlier = await chat.search('café "bom dia"', author="bob", before=found.earlier)
        """
        fields: dict[str, Any] = {"text": checked(searchable, text), "limit": limit}
        if channel is not None:
            fields["channel"] = checked(names.channel_name, channel)
        if direct or peer is not None:
            fields |= {"direct": True, "user": self.user}
        elif self._user is not None:
            fields["user"] = self._user
        if peer is not None:
            fields["peer"] = checked(names.user_name, peer)
        if author is not None:
            fields["author"] = checked(names.user_name, author)
        if before is not None:
            fields["before"] = list(before)
        answer = await self._connection.read("search", fields, deadline_seconds=deadline_seconds)
        try:
            found = _found(answer.data, server=answer.address, behind=bool(answer.lacking))
        except Unreadable as error:
            tried = ((answer.address, f"unreadable reply: {error}"),)
            raise BadReply("search", seconds=0.0, tried=tried) from None
        self._connection.session.saw_messages(found.messages)
        return found


def _found(data: Mapping[str, Any], *, server: str, behind: bool) -> Found:
    """What the data of a reply says.  Raises `Unreadable`."""
    page = values.page(data, server=server, behind=behind)
    return Found(
        messages=page.messages,
        more=page.more,
        partial=data.get("partial") is True,
        lag=values.whole(data.get("lag")) or 0,
        server=page.server,
        behind=behind,
    )

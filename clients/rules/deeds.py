"""From the words that people type, the wire's own, to the library's calls."""

from typing import Final

from recado.client import Chat, Receipt

ABOUT_USERS: Final = (
    "invite",
    "uninvite",
    "op",
    "deop",
    "voice",
    "devoice",
    "mute",
    "unmute",
    "ban",
    "unban",
    "kick",
)
ABOUT_CHANNELS: Final = ("private", "public", "moderated", "unmoderated")


async def channel_rule(
    chat: Chat,
    do: str,
    channel: str,
    *,
    who: str | None = None,
    text: str | None = None,
    reason: str | None = None,
) -> Receipt:
    """Give one rule.  Raises what the library does; `KeyError` for a word that is none."""
    match do:
        case "topic":
            return await chat.set_topic(channel, text or "", reason=reason)
        case "private" | "public":
            return await chat.set_private(channel, do == "private", reason=reason)
        case "moderated" | "unmoderated":
            return await chat.set_moderated(channel, do == "moderated", reason=reason)
        case "leave":
            return await chat.leave(channel, reason=reason)
    about = {word: getattr(chat, word) for word in ABOUT_USERS}
    receipt: Receipt = await about[do](channel, who or "", reason=reason)
    return receipt

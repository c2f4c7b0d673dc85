"""What people are told of a refusal: in their language, about which channel, why, and what helps."""

from recado.client import RefusedByServer
from recado.protocol.printable import printable
from recado.texts import Texts, error_text

_OF_CHANNELS = frozenset({"muted", "moderated", "banned", "channel_closed", "not_channel_operator"})


def refusal_text(error: RefusedByServer, say: Texts, *, channel: str | None = None) -> str:
    """The words for a refusal; `channel`: what was asked about, if it was one."""
    given = printable(error.text)
    if error.code in _OF_CHANNELS and channel is not None:
        text = say(f"refused.{error.code}", channel=channel)
    else:
        text = error_text(error.code, say.language, given=given)
    if error.code in ("key_unknown", "sender_missing"):
        return text + say("talk.login_first")
    if error.code == "rate_limited":
        return say("refused.wait", what=text, seconds=getattr(error, "retry_after", 1.0))
    if error.reason is None or text.endswith(printable(error.reason)):
        return text
    return say("refused.reason", what=text, reason=error.reason)

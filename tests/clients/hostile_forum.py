"""A server each of whose texts would like to act on the terminal of whoever reads it."""

from typing import Any

from recado.protocol.messages import Asked
from recado.protocol.rule_messages import AuditLog, ChannelInfo, ChannelRule, UserKeys, UserRule
from tests.attacks.hostile_texts import LOGS, TERMINALS
from tests.client.fake_cluster import FakeServer, Shared

HOSTILE = " ".join(text[:200] for text in (*TERMINALS.values(), *LOGS.values()))


class HostileForum(FakeServer):
    """Serves as the contract says, with hostile words wherever words can be."""

    def __init__(self) -> None:
        super().__init__("server-1", Shared())
        shared = self.shared
        shared.users |= {"ana": b"1", f"eva{HOSTILE}": b"2"}
        shared.channels |= {"geral": b"3", f"praça{HOSTILE}": b"4"}
        self.refusing: tuple[str, ...] = ()  # services

    def _serve(self, asked: Asked) -> dict[str, Any]:
        if asked.service in self.refusing:
            return {"status": "erro", "code": "muted", "message": HOSTILE, "reason": HOSTILE}
        who = [f"eva{HOSTILE}"]
        match asked.data:
            case ChannelInfo(channel=channel):
                people = dict.fromkeys(("operators", "members", "voices", "muted", "banned"), who)
                told = {
                    "channel": channel,
                    "founder": HOSTILE,
                    "topic": HOSTILE,
                    "topic_by": HOSTILE,
                    **people,
                }
                return {
                    "status": "OK",
                    "private": True,
                    "moderated": True,
                    "topic_since": 1,
                    "since": 1,
                    **told,
                }
            case UserKeys(user=user):
                key = {"key": HOSTILE, "since": 1, "revoked": 2, "reason": HOSTILE}
                return {"status": "OK", "user": user + HOSTILE, "role": HOSTILE, "since": 1, "keys": [key]}
            case AuditLog():
                words = ("user", "do", "who", "channel", "text", "reason", "role", "public_key", "token")
                deed = {"key": [1, "o", 1], "timestamp": 1, **dict.fromkeys(words, HOSTILE)}
                return {"status": "OK", "changes": [deed], "more": False}
            case ChannelRule() | UserRule():
                key = [self.shared.clock, self.origin, 1]
                return {"status": "OK", "id": asked.data.id, "key": key, "acks": 1, "server": HOSTILE}
        if asked.service == "status":
            peers = [{"name": HOSTILE, "lag": HOSTILE}]
            told = {"server": HOSTILE, "coordinator": HOSTILE, "members": [{"name": HOSTILE}], "peers": peers}
            return {"status": "OK", **told, "bootstrap": {"from": HOSTILE}, HOSTILE: HOSTILE}
        return super()._serve(asked)

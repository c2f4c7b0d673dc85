"""`recado status`: how the cluster is, once."""

from collections.abc import Mapping
from typing import Any

import anyio
import click

from clients.ending import UNAVAILABLE, Ended
from clients.options import Where, json_option, user_option, where_options
from clients.output import document, put
from clients.session import open_chat, run
from clients.watching.survey import Known
from clients.watching.table import page
from clients.watching.values import Answer, Survey
from clients.watching.where import known_to, on_this_node, surveyor_for
from clients.watching.words import speaker
from recado.client import Status


@click.command(
    "status",
    epilog="\b\nExamples:\n  recado status\n  recado status --json | jq .coordinator\n"
    "  recado status --json | jq '.servers[] | select(.answered | not).name'\n\n"
    "Exit codes: 0 done, 1 refused, 69 nobody answers.",
)
@user_option
@where_options
@json_option
def status(*, user: str | None, where: Where, as_json: bool) -> None:
    """Show who leads, how every server is, how far behind, and how their clocks and disks are.

    With --json: what the server that answered first says, and under `servers` what each one says.
    """

    where, security = on_this_node(where, user)

    async def do() -> tuple[Status, Survey]:
        async with open_chat(where, None, key_of=user, security=security) as chat:
            first = await chat.status()
        async with surveyor_for(where, user=user, security=security) as surveyor:
            known = known_to(where)
            # Whoever answered is asked again beside the others; the reference need not be there any more.
            servers = {**known.servers, **_addresses(first)}
            with anyio.fail_after(where.timeout_seconds):
                survey = await surveyor.survey(
                    Known(servers=servers, reference=known.reference, brokers=known.brokers)
                )
            return first, survey

    try:
        first, survey = run(do, where=where)
    except TimeoutError:
        raise Ended(speaker()("status.timeout"), UNAVAILABLE) from None
    if as_json:
        told = {key: plain(value) for key, value in first.fields.items() if key != "servers"}
        document(**told, servers=[as_fields(one) for one in survey.servers])
        return
    for line in page(survey, speaker()):
        put(line)
    warning = first.fields.get("security")
    if isinstance(warning, dict) and isinstance(warning.get("warning"), str):
        put(warning["warning"])


def _addresses(first: Status) -> dict[str, str]:
    """Where the peers are that the first answer names."""
    found = {}
    for peer in first.fields.get("peers") or ():
        if isinstance(peer, dict) and isinstance(peer.get("address"), str):
            found[peer["address"]] = str(peer.get("name", ""))
    return found


def as_fields(one: Answer) -> dict[str, object]:
    """What programs read of one server: stable names, see docs/observability.md."""
    return {
        "name": one.name,
        "address": one.address,
        "answered": one.answered,
        "problem": one.problem or None,
        "seconds": round(one.seconds, 6) if one.answered else None,
        "skew_seconds": None if one.skew_seconds is None else round(one.skew_seconds, 6),
        "status": None if one.fields is None else plain(one.fields),
    }


def plain(value: Any) -> Any:
    """A value from the wire as JSON can hold it: bytes (the tag of a clock) in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value

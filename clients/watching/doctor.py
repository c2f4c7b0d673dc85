"""`recado doctor`: what is wrong, how one sees it, what is likely behind it, and what mends it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from clients.ending import FAILURE, Ended
from clients.options import CONFIG_DEFAULT, Where, json_option, user_option, where_options
from clients.output import document, put
from clients.session import run
from clients.watching.findings import Finding, diagnose
from clients.watching.local_checks import Local, look, node_security
from clients.watching.status import plain
from clients.watching.survey import Known, Surveyor
from clients.watching.values import Survey
from clients.watching.where import known_to, surveyor_for
from clients.watching.words import speaker
from recado.config import Config
from recado.texts import Texts

if TYPE_CHECKING:
    from recado.secured import ClientSecurity

AGAIN_SECONDS: Final = 2.0  # before the second look at what may have been a moment's
_PASSING: Final = frozenset({"unreachable", "split_view", "no_coordinator", "broker", "clock", "reference"})


@click.command(
    "doctor",
    epilog="\b\nExamples:\n  recado doctor\n  recado doctor --config /etc/recado/recado.toml\n"
    "  recado doctor --config var/server-1/server-1.toml --config var/server-2/server-2.toml\n"
    "  recado doctor --json | jq -r '.findings[] | .code + \" \" + .subject'\n\n"
    "Exit codes: 0 nothing is wrong, 1 something is.",
)
@click.option(
    "--config",
    "configurations",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="RECADO_CONFIG",
    metavar="FILE",
    help="A node's configuration: it is checked, its keys and disk too, and whom it names is asked; "
    "repeatable.  "
    f"[env: RECADO_CONFIG; default: {CONFIG_DEFAULT} if there]",
)
@user_option
@where_options
@json_option
def doctor(*, configurations: tuple[Path, ...], user: str | None, where: Where, as_json: bool) -> None:
    """Find what is wrong with a cluster and with this host's part of it.

    Asks every server, broker and reference, reads configurations, keys and disks, and changes nothing.
    """
    if not configurations and CONFIG_DEFAULT.is_file():
        configurations = (CONFIG_DEFAULT,)
    local = look(configurations, key=where.key)
    config = next(iter(local.configs.values()), None)
    survey = Survey(servers=())
    found = list(local.findings)

    async def do() -> tuple[Survey, list[Finding]]:
        security = _of_node(where, config)
        async with surveyor_for(where, user=user, security=security) as surveyor:
            return await examine(
                surveyor, known_to(where, config), cluster=config.cluster.id if config else None
            )

    try:
        survey, live = run(do, where=where, needs_cluster=False)
    except Ended as ended:  # of keys: what is wrong with them is a finding, and the rest goes on
        local.unchecked.append(("doctor.no_key", {"why": ended.message}))
        live = [] if found else [_no_key(ended.message)]
    found += live
    _tell(found, survey, local, as_json=as_json)
    if found:
        raise SystemExit(FAILURE)


def _of_node(where: Where, config: Config | None) -> "ClientSecurity | None":
    """The node's own key, if the caller named no roster.  Raises `Ended`."""
    if config is None or where.roster is not None or not config.secured:
        return None
    from recado.keys import KeyFileError
    from recado.roster import RosterError

    try:
        return node_security(config)
    except (KeyFileError, RosterError) as error:
        raise Ended(str(error)) from None


def _no_key(why: str) -> Finding:
    return Finding(case="key", subject="-", facts={"why": why}, mend=("recado keygen --help",))


async def examine(
    surveyor: Surveyor, known: Known, *, cluster: str | None = None
) -> tuple[Survey, list[Finding]]:
    """A survey and what it shows to be wrong; what may pass by itself is looked at twice."""
    survey = await surveyor.survey(known, listen=True)
    found = _diagnosed(survey, cluster)
    if any(one.code in _PASSING for one in found):
        await anyio.sleep(AGAIN_SECONDS)
        again = any(one.code == "broker" for one in found)
        second = await surveyor.survey(known, listen=again)
        survey = second if again else replace(second, brokers=survey.brokers)
        found = _diagnosed(survey, cluster)
    return survey, found


def _diagnosed(survey: Survey, cluster: str | None) -> list[Finding]:
    found = diagnose(survey, cluster=cluster)
    if not survey.servers:
        found.append(Finding(case="unreachable.nobody", subject="-", mend=("recado up --help",)))
    return found


def _tell(found: Sequence[Finding], survey: Survey, local: Local, *, as_json: bool) -> None:
    say = speaker()
    looked = {"servers": len(survey.servers), "brokers": len(survey.brokers), "files": local.files}
    unchecked = [say(key, **values) for key, values in local.unchecked]
    if as_json:
        findings = [_fields(one, say) for one in found]
        document(healthy=not found, looked=looked, findings=findings, unchecked=unchecked)
        return
    for one in found:
        _put(one, say)
    for what in unchecked:
        put(say("doctor.unchecked", what=what))
    put(say("doctor.count", count=len(found)) if found else say("doctor.healthy"))
    put(say("doctor.looked", **looked))


def _fields(one: Finding, say: Texts) -> dict[str, object]:
    evidence, cause = _words(one, say)
    return {
        "code": one.code,
        "case": one.case,
        "subject": one.subject,
        "facts": plain(one.facts),
        "evidence": evidence,
        "cause": cause,
        "mend": list(one.mend),
    }


def _words(one: Finding, say: Texts) -> tuple[str, str]:
    values = {key: "-" if value is None else value for key, value in one.facts.items()}
    return say(f"doctor.{one.case}", **values), say(f"doctor.{one.case}.cause", **values)


def _put(one: Finding, say: Texts) -> None:
    evidence, cause = _words(one, say)
    put(f"✗ {one.code}  {one.subject}")
    put(f"  {evidence}")
    put(f"  {say('doctor.cause')}: {cause}")
    for number, command in enumerate(one.mend):
        put(f"  {say('doctor.mend') if not number else ' ' * len(say('doctor.mend'))}  $ {command}")
    put("")

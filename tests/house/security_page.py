"""The generated parts of docs/security.md: policy, rates and bounds, as the programs have them."""

from collections.abc import Iterator, Mapping

from recado.config import describe
from recado.config import toml as as_toml
from recado.protocol.policy import REFERENCE_POLICY, SERVER_POLICY, Role, refusal
from tests.house.protocol_page import all_limits, shown_number

POLICY = ("<!-- policy: written by `make docs` -->", "<!-- end of policy -->")
RATES = ("<!-- rates: written by `make docs` -->", "<!-- end of rates -->")
BOUNDS = ("<!-- bounds: written by `make docs` -->", "<!-- end of bounds -->")
COLUMNS = [role for role in Role if role is not Role.OPEN]
HEADINGS = frozenset({"Names and texts", "Users and channels", "Secured connections", "Broker", "Roster"})


def _policy_rows(policy: Mapping[str, frozenset[Role]]) -> Iterator[str]:
    """Services that the same roles may ask share a row, in the order of the policy."""
    alike: dict[frozenset[Role], list[str]] = {}
    for service, roles in policy.items():
        alike.setdefault(roles, []).append(service)
    for roles, services in alike.items():
        told = {refusal(services[0], role, policy=policy) for role in COLUMNS} - {None}
        cells = ["✓" if role in roles else "" for role in COLUMNS]
        names = ", ".join(f"`{service}`" for service in services)
        codes = ", ".join(f"`{code}`" for code in sorted(filter(None, told))) or "–"
        yield f"| {names} | " + " | ".join(cells) + f" | {codes} |"


def policy_table() -> str:
    """Who may ask what of a server and of the reference, and what others are told."""
    heading = "| service | " + " | ".join(COLUMNS) + " | others are told |"
    line = "|---|" + ":-:|" * len(COLUMNS) + "---|"
    at_servers = [heading, line, *_policy_rows(SERVER_POLICY)]
    at_reference = [heading.replace("service", "at the reference", 1), line, *_policy_rows(REFERENCE_POLICY)]
    return "\n".join([*at_servers, "", *at_reference])


def rates_table() -> str:
    """Every rate of `[limits]` with its burst."""
    settings = {setting.key.removeprefix("limits."): setting for setting in describe()}
    rows = ["| `[limits]` | a second | at once | of what |", "|---|---:|---:|---|"]
    for name, setting in settings.items():
        what = name.removesuffix("_per_second")
        if what != name:
            burst = as_toml(settings[f"{what}_burst"].default)
            told = as_toml(setting.default).removesuffix(".0")
            rows.append(f"| `{what}` | {told} | {burst} | {setting.description} |")
    return "\n".join(rows)


def bounds_table() -> str:
    """Those limits that are not settings and that somebody who means harm will try."""
    rows = ["| limit | value | what it bounds |", "|---|---:|---|"]
    rows += [
        f"| `{one.name}` | {shown_number(one.value)} | {one.bounds} |"
        for one in all_limits()
        if one.heading in HEADINGS
    ]
    return "\n".join(rows)


def rewritten(page: str) -> str:
    """The page with its tables written anew.  Raises `ValueError` without their marks."""
    for (begin, end), table in ((POLICY, policy_table()), (RATES, rates_table()), (BOUNDS, bounds_table())):
        before, rest = page[: page.index(begin)], page[page.index(end) :]
        page = f"{before}{begin}\n\n{table}\n\n{rest}"
    return page

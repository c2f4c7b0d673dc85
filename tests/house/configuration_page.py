"""The table of settings in docs/configuration.md, made from the settings themselves."""

from itertools import groupby

from recado.config import describe
from recado.config import toml as as_toml
from recado.settings import SECTIONS, Setting

BEGIN = "<!-- settings: written by `make docs` -->"
END = "<!-- end of settings -->"


def table() -> str:
    """One Markdown table per section, between the two marks."""
    parts = [BEGIN]
    for section, settings in groupby(describe(), key=lambda setting: setting.key.rpartition(".")[0]):
        parts += ["", f"### `{section}`", ""]
        doc = SECTIONS[section].__doc__ if section in SECTIONS else None
        parts += [doc.strip(), ""] if doc else []
        parts += ["| setting | default | unit | what it is |", "|---|---|---|---|"]
        parts += [_row(setting) for setting in settings]
    return "\n".join([*parts, "", END])


def _row(setting: Setting) -> str:
    name = setting.key.rpartition(".")[2]
    default = f"`{as_toml(setting.default)}`" if setting.default is not None else "required"
    return f"| `{name}` | {default} | {setting.unit or '–'} | {setting.description} |"


def rewritten(page: str) -> str:
    """The page with its table replaced. Raises `ValueError` without the marks."""
    before, rest = page[: page.index(BEGIN)], page[page.index(END) + len(END) :]
    return before + table() + rest

"""Options that several commands share, and the checks behind them."""

from pathlib import Path

import click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default="./var",
    envvar="RECADO_DATA",
    metavar="DIR",
    help="Where the cluster's nodes keep their files.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")

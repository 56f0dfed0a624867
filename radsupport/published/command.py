"""The command `radsupport published check my_claims.csv`."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.errors import InputError
from radsupport.published.claims import check_claims, problems_of
from radsupport.published.verdicts import MALFORMED, VERDICTS

DESCRIPTION = """Recompute printed values from the printed figures beside them.

The table has one row per printed value, with the columns study, table, item, group,
published_value, kind and inputs (JSON). book/published_claims_format.md documents them.
Malformed rows are listed together on standard error; all others are checked.
"""
EPILOG = "Exit status: 0 every row could be checked, 1 some rows are malformed, 2 the file can not be read."


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command `published` to a parser's subcommands.

    Parameters
    ----------
    subparsers : argparse subparsers action
        What ``parser.add_subparsers()`` returned. The parsed arguments carry ``run``, to be called with them.
    """
    parser: argparse.ArgumentParser = subparsers.add_parser("published", help="recompute what papers printed")
    actions = parser.add_subparsers(dest="action", required=True)
    check = actions.add_parser(
        "check",
        help="check a table of claims",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("claims", type=Path, help="CSV file with one printed value per row")
    check.add_argument("-o", "--output", type=Path, help="write the verdicts to this CSV file as well")
    check.add_argument("--only", choices=VERDICTS, action="append", help="list only these verdicts (repeatable)")
    check.set_defaults(run=run_check)
    return parser


def run_check(arguments: argparse.Namespace) -> int:
    """Check the table named in the arguments, print the verdicts and return the exit status."""
    try:
        results = check_claims(arguments.claims)
        if arguments.output:
            results.to_csv(arguments.output, index=False)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report(results, arguments.only or VERDICTS))
    problems = problems_of(results, str(arguments.claims))
    for number, problem in enumerate(problems, start=1):
        print(f"{number}. {problem}", file=sys.stderr)
    return 1 if problems else 0


def report(results: pd.DataFrame, only: Sequence[str]) -> str:
    """Return the listed verdicts as text, one claim per paragraph, and the counts of all."""
    lines = []
    for row in results[results["verdict"].isin(list(only))].to_dict("records"):
        place = ", ".join(str(row[name]) for name in ("study", "table", "group") if row[name])
        lines.append(f"row {row['row']}: {row['verdict'].upper()} – {row['item']} = {row['published_value']} ({place})")
        lines.append(textwrap.fill(str(row["reason"]), 100, initial_indent="    ", subsequent_indent="    "))
    counts = results["verdict"].value_counts()
    names = [*VERDICTS, MALFORMED] if MALFORMED in counts else list(VERDICTS)
    lines.append(f"{len(results)} claims: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in names))
    return "\n".join(lines)

"""The command line: check own data, fetch public data, make synthetic data, convert DICOM, list the studies."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from radsupport import cli_commands as commands
from radsupport.errors import RadsupportError

EPILOG = """exit codes: 0 all is well, 1 problems were found or something failed (said on stderr), 2 wrong usage

Run it in the project's folder, or name that by --root."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code (0 well, 1 problems, 2 wrong usage).

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; ``sys.argv`` if not given.
    """
    given = build_parser().parse_args(arguments)
    try:
        return int(given.run(given) or 0)
    except RadsupportError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, had enough
        sys.stderr.close()
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands; each sets ``run``, which gets the parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="radsupport",
        description="Support commands of the CT radiomics prognosis book.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=Path(), help="project folder (default: the current one)")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(subparsers)
    _add_data(subparsers)
    _add_ingest(subparsers)
    studies = subparsers.add_parser("studies", help="list the studies and whether their data are here")
    studies.set_defaults(run=commands.studies)
    if importlib.util.find_spec("radsupport.published.command") is not None:
        from radsupport.published.command import add_parser

        add_parser(subparsers)
    return parser


def _add_check(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = subparsers.add_parser(
        "check",
        help="check a manifest and every file it names",
        description="Report every problem of a manifest at once, each with row, value and remedy: missing files, image "
        "and mask of different geometry, empty masks, several labels, single voxels, doubled cases, unknown columns, "
        "impossible values in the clinical table, subjects without outcome.",
    )
    check.add_argument("manifest", type=Path, help="CSV: study, subject, center, phase, role, path")
    check.add_argument(
        "--study",
        metavar="ID",
        help="check the rows of this study against studies/ID.yaml (default: every study of the manifest, "
        "against its file where there is one)",
    )
    check.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at once (default: 1; -1: all cores)")
    check.set_defaults(run=commands.check)


def _add_data(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fetch = subparsers.add_parser(
        "fetch",
        help="download a real study's public files and verify them",
        description="Bring every file of a study to data/STUDY and verify its sha256. Files that are there are only "
        "verified. With --mirror (or RADSUPPORT_DATA) nothing is downloaded.",
    )
    fetch.add_argument("study", help="id of the study, such as sts")
    fetch.add_argument("--mirror", type=Path, metavar="FOLDER", help="take the files from this folder instead")
    fetch.add_argument("--out", type=Path, metavar="FOLDER", help="where to put them (default: data/STUDY)")
    fetch.set_defaults(run=commands.fetch)

    demo = subparsers.add_parser(
        "demo",
        help="generate a synthetic study's CT volumes and clinical sheet",
        description="Write the synthetic cohort of a study: volumes in HU, masks, clinical sheet, manifest.",
    )
    demo.add_argument("study", help="id of the study, such as song2021")
    demo.add_argument("--out", type=Path, metavar="FOLDER", help="where to put it (default: data/STUDY)")
    demo.add_argument("--jobs", type=int, default=1, metavar="N", help="patients at once (default: 1; -1: all cores)")
    demo.set_defaults(run=commands.demo)

    prepare = subparsers.add_parser(
        "prepare",
        help="make a study's data ready without the network (used by make book)",
        description="Generate a synthetic study, or verify a real one's files in data/STUDY and take missing ones from "
        "the folder that RADSUPPORT_DATA names. Never downloads.",
    )
    prepare.add_argument("study", help="id of the study")
    prepare.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="patients at once (default: 1; -1: all cores)"
    )
    prepare.set_defaults(run=commands.prepare)


def _add_ingest(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ingest = subparsers.add_parser(
        "ingest",
        help="convert one DICOM examination to NIfTI image and mask",
        description="Convert a CT series and its RTSTRUCT region or SEG segment to NIfTI files, and print the manifest "
        "rows (or append them with --manifest).",
    )
    ingest.add_argument("folder", type=Path, help="DICOM files of one examination, with subfolders")
    ingest.add_argument("--study", required=True, metavar="ID", help="id for the manifest rows, such as mine")
    ingest.add_argument("--subject", required=True, metavar="NAME", help="subject for the manifest rows and file names")
    ingest.add_argument("--center", required=True, metavar="NAME", help="center for the manifest rows")
    ingest.add_argument("--phase", required=True, metavar="NAME", help="phase for the manifest rows and file names")
    ingest.add_argument("--region", metavar="NAME", help="region or segment, where there are several")
    ingest.add_argument("--mask", type=Path, metavar="FILE", help="the RTSTRUCT or SEG file, where there are several")
    ingest.add_argument("--series", metavar="UID", help="series instance UID, where there are several CT series")
    ingest.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: data/STUDY/images)")
    ingest.add_argument("--manifest", type=Path, metavar="CSV", help="append the rows to this manifest")
    ingest.set_defaults(run=commands.ingest)


if __name__ == "__main__":
    sys.exit(main())

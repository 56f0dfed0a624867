"""The command line: check own data, fetch public data, make synthetic data, convert DICOM, predict new patients by a
locked model, recompute printed values, predict what a build takes, say where it stands, search a site for identifiers.

Libraries are loaded when a command needs them.
"""

from __future__ import annotations

import math
import os
import sys
import textwrap
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from radsupport.claims.claims import check_claims, problems_of
from radsupport.claims.verdicts import VERDICTS
from radsupport.errors import InputError, ManifestError, Problem, RadsupportError, StorageError, serious
from radsupport.files import file_stem, hold_alone, plain_name
from radsupport.settings.study import Study
from radsupport.study import STUDIES, StudyPaths, load_study, study_ids
from radsupport.wording import counted, estimate, listed


def run_check(given: Namespace) -> int:
    """Check a manifest; print every problem and every warning, return 1 if there is a problem."""
    from radsupport.data.manifest import parse_manifest
    from radsupport.data.own_data import check

    folder = given.root / STUDIES
    table, _ = parse_manifest(given.manifest)
    named = [given.study] if given.study else list(dict.fromkeys(table["study"]))
    known = [name for name in named if given.study or name in study_ids(folder)]
    problems: list[Problem] = []
    studies = [load_study(name, folder=folder) for name in known]
    for study in studies:
        problems += check(given.manifest, study, given.root, given.jobs)
    others = [name for name in named if name not in known]
    if others or not known:
        problems += check(given.manifest, None, given.root, given.jobs, others or None)
    warnings = [problem for problem in dict.fromkeys(problems) if problem.warning]
    problems = serious(dict.fromkeys(problems))
    rows = int((table["study"] == given.study).sum()) if given.study else len(table)
    if warnings:
        print(ManifestError(f"Usable, but worth a look ({counted(len(warnings), 'warning')}):", warnings))
    for study in studies:
        _advise(study)
    if problems:
        found = f"{counted(len(problems), 'problem')} in {counted(rows, 'row')}"
        print(ManifestError(f"{given.manifest}: {found}.", problems))
        return 1
    print(f"{given.manifest}: no problem in {counted(rows, 'row')}.")
    for name in others:
        only = "the outcome and the clinical columns were checked in general only"
        print(f"There is no studies/{name}.yaml yet: {only}.")
    return 0


def _advise(study: Study) -> None:
    """Print what the author of a real study has not said yet, which reporting checklists ask for."""
    asked, absent = len(type(study.author).model_fields), study.author.missing
    if absent and not study.is_synthetic:
        said = (
            f"Advice: `author:` of studies/{study.id}.yaml lacks {len(absent)} of the {asked} answers that checklists"
        )
        print(textwrap.fill(f"{said} ask of its author: {', '.join(absent)}.", 120, subsequent_indent="  "))


def run_fetch(given: Namespace) -> int:
    """Bring a study's files to data/<study>, or the ImageNet weights to the user's cache, and verify them."""
    from radsupport.data import datasets

    if given.study == WEIGHTS:
        return _fetch_weights(given)
    done = datasets.fetch(_study(given), given.mirror, given.out, given.root)
    print(datasets.summary(done))
    return 0


def _fetch_weights(given: Namespace) -> int:
    """Fetch the ImageNet weights of every depth that a study's network has in the profile paper."""
    from radsupport.networks.resnet import fetch_imagenet

    folder = given.root / STUDIES
    networks = [load_study(name, "paper", folder).deep for name in study_ids(folder)]
    for depth in sorted(
        {one.depth for one in networks if one and one.network == "resnet" and one.weights == "imagenet"}
    ):
        print(f"ImageNet weights of ResNet-{depth}: {fetch_imagenet(depth, given.out, given.mirror)}, SHA-256 verified")
    return 0


def run_prepare(given: Namespace) -> int:
    """Make a study's data ready without the network."""
    from radsupport.data import datasets

    print(datasets.prepare(_study(given), given.root, given.jobs))
    return 0


def run_demo(given: Namespace) -> int:
    """Generate the synthetic cohort of a study."""
    from radsupport.data import synthetic_scans

    study = _study(given)
    out = given.out or StudyPaths(study.id, given.root).data
    manifest = synthetic_scans.generate(study, out, n_jobs=given.jobs)
    files = manifest[manifest["path"] != ""]
    print(f"{files['subject'].nunique()} synthetic patients, {len(files)} files in {out}")
    return 0


def run_studies(given: Namespace) -> int:
    """List the studies, what they start from, and whether their data are here."""
    from radsupport.data import datasets

    for name in study_ids(given.root / STUDIES):
        study = load_study(name, folder=given.root / STUDIES)
        _, reason = datasets.availability(study, given.root)
        print(f"{name:<14} {study.title}\n{'':<14} starts from {study.data.entry}; {reason}")
    return 0


def run_status(given: Namespace) -> int:
    """Say where the build stands: what is done, runs, failed or was stopped; return 1 for one of the last two."""
    from radsupport.book import build, progress

    os.chdir(given.root)
    words, well = progress.report(build.chapters_of, build.graph_inputs)
    print(words)
    return 0 if well else 1


def run_cost(given: Namespace) -> int:
    """Predict what a build of a study will take on this machine."""
    from radsupport.book import cost

    study = _study(given)
    jobs = max(1, (os.cpu_count() or 1) if given.jobs == -1 else given.jobs)
    print(cost.report(cost.predict(study, given.root, jobs), study, jobs))
    return 0


def run_ingest(given: Namespace) -> int:
    """Convert one DICOM examination, or all below a folder or of a table."""
    if given.subject is None:
        return _ingest_many(given)
    lacking = [name for name in ("folder", "center", "phase") if getattr(given, name) is None]
    if lacking:
        what = f"--subject names one examination, whose {', '.join(lacking)} is not given"
        raise InputError(
            "The examination can not be converted.", [Problem(what, remedy="give it, or leave out --subject")]
        )
    return _ingest_one(given)


def _ingest_many(given: Namespace) -> int:
    """Show what a folder tree or a table of examinations holds, and convert it; return 1 where something is open."""
    from tempfile import TemporaryDirectory

    from radsupport.data import intake
    from radsupport.imaging import examinations

    if (given.folder is None) == (given.table is None):
        raise InputError("Nothing to convert.", [Problem("neither or both of FOLDER and --table", "one of them")])
    rules, out = examinations.read_rules(given.rules), given.out or _own(given)
    named = intake.centers_of(given.clinical, given.id_column, given.center or "") if given.clinical else {}
    center = "" if named else given.center or ""
    with TemporaryDirectory() as unpacked:
        if given.table is not None:
            found, centers = intake.read_examinations(given.table, rules, Path(unpacked))
        else:
            surveyed = examinations.survey(given.folder, rules, Path(unpacked))
            found, centers = examinations.decided(surveyed, rules), {}
        centers = intake.by_subject(named, found) | centers
        if given.dry_run:
            print(examinations.as_text(found))
            if given.table is None:
                plan = intake.write_plan(found, given.folder, out / intake.PLAN, centers, center)
                print(f"To decide one by one (region, phase, center, rows to drop), edit {plan}; then: --table {plan}")
            return 0
        uncentered = {one.subject for one in found if one.step == examinations.CONVERT} - set(centers)
        if uncentered and not center:
            expected = "--center NAME, --center COLUMN of the --clinical table, or a column center of --table"
            problem = Problem(f"{counted(len(uncentered), 'subject')} without center", expected,
                              value=listed(sorted(uncentered)))  # fmt: skip
            raise InputError("The manifest needs a center for everybody.", [problem])
        options = {"keep_ids": given.keep_ids, "n_jobs": given.jobs}
        with hold_alone(out / ".in_use"):
            done = intake.take_in(found, out, given.study, centers, center, **options)
    print(intake.as_text(done, out, keep_ids=given.keep_ids))
    if given.clinical is not None:
        clinical = (given.clinical, given.id_column, out, given.study)
        written, notes = intake.take_in_clinical(*clinical, keep_ids=given.keep_ids)
        print(f"Clinical table: {written}; {'; '.join(notes)}.")
        print(f"Next: radsupport new {given.study} --manifest {out / intake.MANIFEST} --clinical {written}")
    return 1 if done["step"].isin(["failed", examinations.UNCLEAR]).any() else 0


def _own(given: Namespace) -> Path:
    """Return the folder of a study's own data, which `make clean` leaves alone."""
    return Path(given.root) / OWN / plain_name(given.study, "study")


def _ingest_one(given: Namespace) -> int:
    """Convert one DICOM examination and print or append its manifest rows."""
    from radsupport.data.manifest import append_rows, as_csv
    from radsupport.imaging.ingestion import ingest as convert
    from radsupport.imaging.ingestion import volumes

    out = given.out or _own(given) / "images"
    name = file_stem(given.subject, given.phase, out)
    done = convert(given.folder, out, name, given.region, given.mask, given.series)
    size = " x ".join(str(n) for n in done.series.image.GetSize())
    print(f"CT series {done.series.uid}: {size} voxels, {done.series.n_slices} slices")
    for odd in done.odd:
        print(f"  note: {odd}")
    files = [("image", done.image)]
    if done.mask is None or done.outline is None:
        print("No RTSTRUCT or SEG found: image only; a case needs a mask before it can be used.")
    else:
        voxels = round(done.outline.mm3 / math.prod(done.series.image.GetSpacing()))
        print(f"Region {done.outline.name}: {voxels} voxels; {volumes(done.outline.drawn_mm3, done.outline.mm3)}")
        for note in done.outline.notes:
            print(f"  note: {note}")
        files.append(("mask", done.mask))
    base = (given.manifest or given.root / "manifest.csv").resolve().parent
    case = [given.study, given.subject, given.center, given.phase]
    rows = [[*case, role, os.path.relpath(path.resolve(), base)] for role, path in files]
    if given.manifest is None:
        print(as_csv(rows), end="")
    else:
        append_rows(given.manifest, rows)
        print(f"{counted(len(rows), 'row')} appended to {given.manifest}")
    return 0


def run_new(given: Namespace) -> int:
    """Write a first study file from a manifest and a clinical table; ask for what was not given."""
    from radsupport.data.new_study import manifest_of_features, new_study

    folder, name = given.root / STUDIES, plain_name(given.study, "study")
    path, like = folder / f"{name}.yaml", folder / f"{given.like}.yaml"
    known = ", ".join(study_ids(folder))
    problems = [Problem("this study has a file already", "another id", "delete it, or choose another", str(path))]
    problems = problems if path.exists() else []
    problems += [] if like.is_file() else [Problem("no such study", f"one of {known}", column="like", value=given.like)]
    if problems:
        raise InputError("No study file was written.", problems)
    if given.features:
        given.manifest = manifest_of_features(given.features, _own(given) / "manifest.csv", given.study)
        given.clinical = given.clinical or given.features[0]
    manifest = given.manifest or Path(input("Manifest (CSV): ").strip())
    clinical = given.clinical or Path(input("Clinical table (CSV or .xlsx): ").strip())
    beside = clinical.resolve().is_relative_to(manifest.resolve().parent)
    where = str(clinical.resolve().relative_to(manifest.resolve().parent)) if beside else str(clinical.resolve())
    text = new_study(name, like.read_text(encoding="utf-8"), manifest, clinical, given.id_column, where)
    path.write_text(text, encoding="utf-8")
    print(f'Written: {path}. Go through the lines with "decide", then: radsupport check {manifest} --study {name}')
    return 0


def run_idc(given: Namespace) -> int:
    """List a public collection, and fetch its series where that is asked for."""
    from radsupport.data import idc

    out = given.out or Path(given.root) / OWN / plain_name(given.study or given.collection, "study")
    path = out / idc.LIST
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        idc.collection(given.collection, given.analysis).to_csv(path, index=False)
    print(f"{idc.summary(idc.read_list(path))}.\nThe list: {path} (delete rows that are not wanted).")
    if not given.fetch:
        print(f"Nothing was fetched: --fetch brings the series to {out / 'dicom'}.")
        return 0
    done = idc.fetch(path, out / "dicom")["outcome"].value_counts()
    print(", ".join(f"{n} {outcome}" for outcome, n in done.items()) + f" in {out / 'dicom'}.")
    print(f"Next: radsupport ingest {out / 'dicom'} --study {given.study or given.collection} --center NAME --dry-run")
    return 0


def run_apply(given: Namespace) -> int:
    """Predict new patients by a locked model; write predictions, values and what the calculator reads."""
    import json
    from tempfile import TemporaryDirectory

    from radsupport.data.new_patients import apply_model, for_calculator
    from radsupport.evaluate.summary import validated
    from radsupport.files import write_csv, written_whole
    from radsupport.learning.locked import read_model

    path = Path(given.model)
    if not path.exists() and given.model in study_ids(given.root / STUDIES):
        path = StudyPaths(given.model, given.root).results / "model"
    model = read_model(path)
    folder = path if path.is_dir() else path.parent
    with TemporaryDirectory(prefix="radsupport-apply-") as work:
        asked = {"table": given.table, "manifest": given.manifest, "work": Path(work), "n_jobs": given.jobs}
        predictions, patients = apply_model(model, folder, **asked)
    out: Path = given.out
    write_csv(predictions, out)
    write_csv(model.values(patients), out.with_name(f"{out.stem}_values.csv"))
    judged = validated(predictions, patients, model.outcome)
    if len(judged):
        write_csv(judged, out.with_name(f"{out.stem}_validation.csv"))
        for row in judged.to_dict("records"):
            limits = estimate(row["value"], row["value_low"], row["value_high"])
            print(f"{row['signature']}: {row['measure']} {limits}, n = {row['n']}, {row['events']} events")
    with written_whole(out.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(for_calculator(predictions), indent=1, ensure_ascii=False), encoding="utf-8")
    lost = predictions[predictions["reason"] != ""]
    for row in lost.to_dict("records"):
        print(f"{row['subject']}, {row['signature']}: no prediction: {row['reason']}")
    outside = predictions.loc[predictions["outside"] != "", "subject"].nunique()
    n, done = counted(len(patients), "patient"), len(predictions) - len(lost)
    print(
        f"{n}, {counted(done, 'prediction')} in {out}; values outside the training range (column `outside`): {outside}."
    )
    print(f"Values used: {out.stem}_values.csv. For the calculator of the nomogram's page: {out.stem}.json.")
    nobody = set(predictions["subject"]) - set(predictions.loc[predictions["reason"] == "", "subject"])
    return 1 if nobody else 0


def run_gate(given: Namespace) -> int:
    """Search a built site for what belongs to persons or to this machine; raise with every finding."""
    from radsupport.book import gate

    problems = gate.search(given.site, given.root)
    if problems:
        raise gate.GateError(f"{given.site} must not be published: {counted(len(problems), 'finding')}.", problems)
    print(f"{given.site}: no identifier found.")
    return 0


def run_claims(given: Namespace) -> int:
    """Check a table of printed values; print the verdicts."""
    from radsupport.claims.report import as_text

    try:
        results = check_claims(given.claims)
        if given.output:
            results.to_csv(given.output, index=False)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(as_text(results, given.only or VERDICTS))
    problems = problems_of(results, str(given.claims))
    for number, problem in enumerate(problems, start=1):
        print(f"{number}. {problem}", file=sys.stderr)
    return 1 if problems else 0


def _study(given: Namespace) -> Study:
    return load_study(given.study, getattr(given, "profile", "demo"), given.root / STUDIES)


OWN = "own"  #: folder of converted scans of one's own, by study
WEIGHTS = "weights"  #: what `radsupport fetch` takes in the place of a study
EPILOG = """exit codes: 0 all is well, 1 problems were found or something failed (said on stderr), 2 wrong usage
Run it in the project's folder, or name that by --root."""
GATE = (
    "Search every file of a site (pages, search index, scripts, notebooks, tables, texts in pictures, archives) for "
    "subjects, paths, headers of scans and dates of every real study, for names, tags and UIDs of DICOM, and for paths "
    "and names of this machine. Ids of fewer than four characters and numbers of fewer than six digits are looked for "
    "in columns of subjects and behind words such as patient only."
)
INGEST = (
    "Convert CT series and their RTSTRUCT regions or SEG segments to NIfTI files. With a folder tree (or --table) "
    "every series is told by rules: --dry-run shows the plan. Subjects get running pseudonyms; the key and the "
    "manifest lie in own/STUDY, which is not part of the project. What was converted before is kept; what fails is a "
    "row with its reason. With --subject one examination is converted, and its manifest rows are printed."
)
IDC = (
    "Write own/STUDY/idc.csv: every CT series of a collection with the outlines of its examination, their address, "
    "UUID, licence, DOI and version, from the index of the package idc-index-data, without the internet. With --fetch "
    "the series come to own/STUDY/dicom; the checksum of each is written at the first fetch and checked afterwards."
)
NEW = (
    "Inspect a manifest and a clinical table and write studies/STUDY.yaml: columns with types, levels and ranges, the "
    "likely outcome, centers as cohorts, phases; the other settings as in the study named by --like. Lines with "
    "`decide` want a person; `radsupport check` then lists what is still wrong."
)
CLAIMS = """Recompute printed values from the printed figures beside them.

The table has one row per printed value, with the columns study, table, item, group,
published_value, kind and inputs (JSON). book/published_claims_format.md documents them.
Malformed rows are listed together on standard error; all others are checked.
"""
CLAIMS_EPILOG = "Exit status: 0 every row could be checked, 1 some rows are malformed, 2 the file can not be read."


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
    except (RadsupportError, StorageError) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output, such as `head`, had enough
        sys.stderr.close()
        return 0


def build_parser() -> ArgumentParser:
    """Return the parser with all commands; each sets ``run``, which gets the parsed arguments."""
    text = "Support commands of the CT radiomics prognosis book."
    parser = ArgumentParser("radsupport", description=text, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(), help="project folder (default: the current one)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(commands)
    _add_data(commands)
    _add_ingest(commands)
    _add_cost(commands)
    _add_idc(commands)
    _add_apply(commands)
    _add_new(commands)
    _command(commands, "studies", run_studies, "list the studies and whether their data are here")
    _command(
        commands, "status", run_status, "say what of the book is done, runs, failed or was stopped, also after a crash"
    )
    says = "search a built site for identifiers before it is published"
    gate = _command(commands, "gate", run_gate, says, GATE)
    gate.add_argument("site", type=Path, nargs="?", default=Path("book/_build/html"), help="default: %(default)s")
    published = commands.add_parser("published", help="recompute what papers printed")
    _add_claims(published.add_subparsers(dest="action", required=True))
    return parser


def _command(
    commands: Any, name: str, run: Callable[[Namespace], int], says: str, description: str | None = None, **options: Any
) -> ArgumentParser:
    """Add one command, which calls `run`."""
    parser: ArgumentParser = commands.add_parser(name, help=says, description=description, **options)
    parser.set_defaults(run=run)
    return parser


def _jobs(parser: Any, what: str) -> None:
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=f"{what} at once (default: 1; -1: all cores)")


def _profile(parser: ArgumentParser) -> None:
    parser.add_argument("--profile", default="demo", help="demo (default) or paper")


def _add_check(commands: Any) -> None:
    text = (
        "Report every problem of a manifest at once, each with row, value and remedy: missing files, image and mask of "
        "different geometry, empty masks, several labels, single voxels, doubled cases, unknown columns, impossible "
        "values in the clinical table, subjects without outcome."
    )
    check = _command(commands, "check", run_check, "check a manifest and every file it names", text)
    check.add_argument("manifest", type=Path, help="CSV: study, subject, center, phase, role, path")
    text = "check the rows of this study against studies/ID.yaml (default: all of the manifest that have a file)"
    check.add_argument("--study", metavar="ID", help=text)
    _jobs(check, "cases")


def _add_data(commands: Any) -> None:
    text = (
        "Bring every file of a study to data/STUDY and verify its sha256. Files that are there are only verified. "
        "With --mirror (or RADSUPPORT_DATA) nothing is downloaded. `radsupport fetch weights` brings torchvision's "
        "ImageNet weights, which the profile paper of yang2023 and gu2023 uses, to the user's cache."
    )
    fetch = _command(commands, "fetch", run_fetch, "download a real study's public files and verify them", text)
    fetch.add_argument("study", help="id of the study, such as sts; or weights")
    fetch.add_argument("--mirror", type=Path, metavar="FOLDER", help="take the files from this folder instead")
    fetch.add_argument("--out", type=Path, metavar="FOLDER", help="where to put them (default: data/STUDY)")
    text = "Write the synthetic cohort of a study: volumes in HU, masks, clinical sheet, manifest."
    demo = _command(commands, "demo", run_demo, "generate a synthetic study's CT volumes and clinical sheet", text)
    demo.add_argument("study", help="id of the study, such as song2021")
    demo.add_argument("--out", type=Path, metavar="FOLDER", help="where to put it (default: data/STUDY)")
    _profile(demo)
    _jobs(demo, "patients")
    says = "make a study's data ready without the network (used by make book)"
    text = (
        "Generate a synthetic study, or verify a real one's files in data/STUDY and take missing ones from the folder "
        "that RADSUPPORT_DATA names. Never downloads."
    )
    prepare = _command(commands, "prepare", run_prepare, says, text)
    prepare.add_argument("study", help="id of the study")
    _profile(prepare)
    _jobs(prepare, "patients")


def _add_cost(commands: Any) -> None:
    says = "predict the hours that a build of a study will take on this machine"
    text = (
        "Time one unit of each long step (a few cases, one batch of every network, one fit of every signature), count "
        "how many there are, and print the hours from early stopping to the last epoch. Nothing of the build is "
        "started or kept; the data have to be here. Networks of the profile paper take a minute or two to time."
    )
    cost = _command(commands, "cost", run_cost, says, text)
    cost.add_argument("study", help="id of the study")
    _profile(cost)
    cost.add_argument("--jobs", type=int, default=2, metavar="N", help="cores of the build (default: 2; -1: all)")


def _add_ingest(commands: Any) -> None:
    ingest = _command(commands, "ingest", run_ingest, "convert DICOM examinations to NIfTI images and masks", INGEST)
    ingest.add_argument("folder", type=Path, nargs="?", help="DICOM files, with subfolders and zip archives")
    ingest.add_argument("--study", required=True, metavar="ID", help="id for the manifest rows, such as mine")
    ingest.add_argument("--center", metavar="NAME", help="center of everybody, or the column of --clinical that has it")
    ingest.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: own/STUDY, images below)")
    many = ingest.add_argument_group("many examinations")
    many.add_argument(
        "--dry-run", action="store_true", help="show what would be converted, and write it as a table to edit"
    )
    text = "phases, regions and series to skip, by patterns (default: radsupport/imaging/series.yaml)"
    many.add_argument("--rules", type=Path, metavar="YAML", help=text)
    text = "one examination per row instead of FOLDER: subject, phase, folder, and where wanted series, region, center"
    many.add_argument("--table", type=Path, metavar="CSV", help=text)
    text = "a clinical table of the same subjects: a copy with their pseudonyms is written to own/STUDY/clinical.csv"
    many.add_argument("--clinical", type=Path, metavar="CSV", help=text)
    text = "its column of subjects (default: %(default)s)"
    many.add_argument("--id-column", default="subject", metavar="NAME", help=text)
    many.add_argument("--keep-ids", action="store_true", help="no pseudonyms: subjects keep the names of the files")
    _jobs(many, "series")
    one = ingest.add_argument_group("one examination")
    one.add_argument("--subject", metavar="NAME", help="subject for the manifest rows and file names")
    one.add_argument("--phase", metavar="NAME", help="phase for the manifest rows and file names")
    one.add_argument("--region", metavar="NAME", help="region or segment, where there are several; GTV (2) of two GTV")
    one.add_argument("--mask", type=Path, metavar="FILE", help="the RTSTRUCT or SEG file, where there are several")
    one.add_argument("--series", metavar="UID", help="series instance UID, where the outline does not say which")
    one.add_argument("--manifest", type=Path, metavar="CSV", help="append the rows to this manifest")


def _add_idc(commands: Any) -> None:
    idc = _command(commands, "idc", run_idc, "list and fetch a public collection of the Imaging Data Commons", IDC)
    idc.add_argument("collection", help="as IDC names it, such as hcc_tace_seg")
    idc.add_argument("--study", metavar="ID", help="id of the study (default: the collection)")
    idc.add_argument("--analysis", default="", metavar="ID", help="outlines of this analysis result instead")
    idc.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: own/STUDY)")
    idc.add_argument("--fetch", action="store_true", help="fetch the series with s5cmd, or check those that are here")


def _add_apply(commands: Any) -> None:
    text = (
        "Predict new patients by a locked model: risk, probability, class by the locked threshold, what lies outside "
        "the training range, and of whom nothing can be said, with the reason. Where the table holds the outcome too, "
        "the model is judged by it: discrimination, rates at its threshold, calibration; nothing is fitted to these "
        "patients. Nothing in a model is run as code."
    )
    apply = _command(commands, "apply", run_apply, "predict new patients by a locked model", text)
    apply.add_argument("model", help="folder results/STUDY/model, its id, or a JSON file with a printed formula")
    apply.add_argument(
        "--table", type=Path, metavar="FILE", help="subject and the model's columns: CSV, Excel, parquet"
    )
    text = "scans and masks (study, subject, center, phase, role, path); with --table for clinical columns"
    apply.add_argument("--manifest", type=Path, metavar="CSV", help=text)
    default = Path("predictions.csv")
    apply.add_argument("--out", type=Path, default=default, metavar="CSV", help="where to write (default: %(default)s)")
    _jobs(apply, "cases")


def _add_new(commands: Any) -> None:
    new = _command(commands, "new", run_new, "write a first study file for own data", NEW)
    new.add_argument("study", help="id of the new study, such as mine")
    new.add_argument("--like", default="sts", metavar="ID", help="study to take settings from (default: %(default)s)")
    new.add_argument("--manifest", type=Path, metavar="CSV", help="asked for if not given")
    text = "start from tables of features instead, one per center; the clinical table may be one of them"
    new.add_argument("--features", type=Path, nargs="+", metavar="FILE", help=text)
    new.add_argument("--clinical", type=Path, metavar="FILE", help="clinical table; asked for if not given")
    new.add_argument(
        "--id-column", default="", metavar="NAME", help="its column of subjects (default: found by values)"
    )


def _add_claims(commands: Any) -> None:
    options = {"epilog": CLAIMS_EPILOG, "formatter_class": RawDescriptionHelpFormatter}
    check = _command(commands, "check", run_claims, "check a table of claims", CLAIMS, **options)
    check.add_argument("claims", type=Path, help="CSV file with one printed value per row")
    check.add_argument("-o", "--output", type=Path, help="write the verdicts to this CSV file as well")
    check.add_argument("--only", choices=VERDICTS, action="append", help="list only these verdicts (repeatable)")


if __name__ == "__main__":
    sys.exit(main())

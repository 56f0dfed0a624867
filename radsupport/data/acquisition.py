"""How scans were made: settings of scanners by center and phase, beside what a paper prints.

Settings travel as rows ``phase, center, setting, value``: one per scan where it was measured or read from its file, one
per scanner of the generator. Rows from DICOM tags go the same way.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd

from radsupport.data.manifest import study_files
from radsupport.imaging.acquisition import LABELS
from radsupport.settings.study import Study
from radsupport.wording import number

ROWS = ["phase", "center", "setting", "value"]
#: Columns of the table `cases` that are settings of the scan.
MEASURED = {"spacing_z_mm": "slice interval (mm)", "spacing_x_mm": "pixel (mm)", "noise_hu": "noise (HU)"}
EVERY = "all"
#: Settings of converted DICOM series lie beside the images (`radsupport ingest` writes them).
BESIDE = "acquisition.csv"
NO_TAGS = "not in the files: images without DICOM tags"


def scan_settings(study: Study, cases: pd.DataFrame, root: Path = Path()) -> pd.DataFrame:
    """Return the settings of a study's scans: measured in each of them, from their DICOM tags, or the generator's.

    Parameters
    ----------
    study : Study
    cases : DataFrame
        Table `cases`.
    root : Path
        Project root.

    Returns
    -------
    DataFrame
        phase, center, setting, value (a number per scan, or words of the generator).
    """
    known = cases.rename(columns=MEASURED).melt(["phase", "center"], list(MEASURED.values()), "setting")
    rows: list[tuple[str, str, str, float | str]] = []
    drawn = study.synthetic if study.is_synthetic else None
    if drawn is None:
        return pd.concat([known[ROWS], _tags(study, cases, root)], ignore_index=True)
    for phase, center in product(study.phases, drawn.centers):
        scanner, anatomy = drawn.centers[center].scanner, drawn.anatomy
        tissue = {"tumour": anatomy.tumour, "organ": anatomy.organ, "aorta": anatomy.aorta, "vein": anatomy.vein}
        mean = ", ".join(f"{name} {by_phase[phase]:g}" for name, by_phase in tissue.items() if phase in by_phase)
        rows += [
            (phase, center, "slice thickness (mm)", scanner.thickness_mm),
            (phase, center, "reconstruction kernel", f"Gaussian, SD {scanner.kernel_mm:g} mm in the plane"),
            (phase, center, "shift of all values (HU)", scanner.offset_hu),
            (phase, center, "contrast (mean HU)", mean),
        ]
    return pd.concat([known[ROWS], pd.DataFrame(rows, columns=ROWS)], ignore_index=True)


def _tags(study: Study, cases: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Return what DICOM headers said of the scans in `cases`; one row that says so where nothing did."""
    files = study_files(study, root)
    folders = {Path(path).parent for path in files.loc[files["role"] == "image", "file"]}
    tables = [pd.read_csv(one / BESIDE, dtype={"subject": str, "phase": str}) for one in sorted(folders)
              if (one / BESIDE).is_file()]  # fmt: skip
    if not tables:
        places = cases[["phase", "center"]].drop_duplicates()
        return places.assign(setting="scanner, tube, kernel and contrast", value=NO_TAGS)[ROWS]
    known = pd.concat(tables).drop_duplicates(["subject", "phase"], keep="last").rename(columns=LABELS)
    joined = cases[["subject", "phase", "center"]].merge(known, on=["subject", "phase"])
    given = [label for label in LABELS.values() if label in joined]
    return joined.melt(["phase", "center"], given, "setting").dropna(subset="value")[ROWS]


def acquisition(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """Return each setting here and in print: for all scans in one row, or by center or phase where that differs.

    Parameters
    ----------
    study : Study
        Its `acquisition:` holds what is printed, with names of settings as in `rows`.
    rows : DataFrame
        phase, center, setting, value; such as `scan_settings` returns them.

    Returns
    -------
    DataFrame
        setting, center, phase (or `EVERY`), here (median and range of numbers, or the words), and printed where the
        study quotes a paper.
    """
    printed = study.acquisition.settings
    columns = ["setting", "center", "phase", "here", *(["printed"] if printed else [])]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    centers = list(dict.fromkeys(center for cohort in study.cohorts.values() for center in cohort.centers))
    found = rows.dropna(subset="value").groupby(["setting", "center", "phase"])["value"].agg(in_words).to_dict()
    absent = "not simulated" if study.is_synthetic else "not read from the files"
    table = []
    for setting in dict.fromkeys([*printed, *rows["setting"]]):
        given = printed.get(setting, "not printed")
        grid = pd.DataFrame(list(product(centers, study.phases)), columns=["center", "phase"])
        places = grid.itertuples(index=False)
        grid["here"] = [found.get((setting, center, phase), absent) for center, phase in places]
        grid["printed"] = [
            given if isinstance(given, str) else given.get(phase, given.get(center, "not printed"))
            for center, phase in grid[["center", "phase"]].itertuples(index=False)
        ]
        table.append(_merged(grid).assign(setting=setting))
    return pd.concat(table, ignore_index=True)[columns]


def in_words(values: pd.Series) -> str:
    """Return numbers as their median, with the range where they differ, and words as they are, commonest first."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        return "; ".join(values.astype(str).value_counts().index)
    low, middle, high = (number(float(value)) for value in numbers.quantile([0, 0.5, 1]))
    return middle if low == high else f"{middle} ({low}–{high})"


def _merged(grid: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of all centers, or of all phases, where they say the same."""
    for by in (["center", "phase"], ["phase"], ["center"]):
        kept = [column for column in ("center", "phase") if column not in by]
        first = grid.drop_duplicates(kept) if kept else grid.head(1)
        if len(grid.drop_duplicates([*kept, "here", "printed"])) == len(first):
            return first.assign(**dict.fromkeys(by, EVERY))
    return grid

"""A project folder with one small synthetic study, to be built in less than a minute: for tests of the build itself.

    python tools/small_study.py FOLDER [--patients 24] [--field 48]

Package, notebooks and book are copies, so that the folder can lie anywhere and be moved; the environment is not copied.
The study is called ``small``: two phases, two hospitals, a yes/no outcome and follow-up times; no network.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "Makefile", "Snakefile", "data_manifest.csv", "pyproject.toml", "constraints.txt", "book", "notebooks",
    "radsupport", "tools",
)  # fmt: skip
LEFT_OUT = shutil.ignore_patterns("__pycache__", "_build", "made", "_toc.yml", "rooms.html")
RADIOMICS = """setting: {binWidth: 25, resampledPixelSpacing: null, interpolator: sitkBSpline}
imageType: {Original: {}}
featureClass: {shape: [], firstorder: [], glcm: []}
"""
STUDY = """id: small
title: A small synthetic study
question: Does the build itself work?
seed: 7
data: {{kind: synthetic}}
endpoint:
  primary: label
  label: {{column: label, name: relapse, positive: relapse, negative: no relapse}}
  survival: {{time: time, event: event, name: survival, event_name: death, unit: months, horizons_months: [24]}}
cohorts:
  train: {{name: North, centers: [north]}}
  external: {{name: South, centers: [south]}}
phases:
  arterial: {{name: arterial phase, short: A, window: {{level: 50, width: 350}}}}
  venous: {{name: venous phase, short: V, window: {{level: 50, width: 350}}}}
preprocessing: {{spacing_mm: [2, 2, 2], interpolation: linear, margin_mm: 4}}
columns:
  age: {{source: clinical, kind: number, label: Age, unit: years, minimum: 0, maximum: 110}}
radiomics: {{settings: small.yaml, icc_subjects: 5, controls: []}}
signatures:
  - {{name: Radiomics, sources: [radiomics], selection: {{max_correlation: 0.9}}, learner: Ridge}}
  - {{name: Clinical, columns: [age], learner: Ridge}}
modelling: {{folds: {folds}, inner_folds: 2, permutations: 0, null_draws: 0, imputations: 0}}
validation: {{bootstrap: 20, best: Radiomics, comparator: Clinical, threshold: median, instability: 2}}
survival: {{bootstrap: 20, optimism_resamples: 2, signatures: [Radiomics], covariates: [age], threshold: median}}
nomogram: {{signature: Radiomics, columns: [age], bootstrap: 5}}
synthetic:
  effect: 2.0
  second_reader_subjects: 5
  centers:
    north:
      n: {north}
      events: {north_events}
      scanner: {{thickness_mm: 3.0, pixel_mm: {pixel}, noise_hu: 11, kernel_mm: 0.6}}
    south:
      n: {south}
      events: {south_events}
      scanner: {{thickness_mm: 3.0, pixel_mm: {pixel}, noise_hu: 14, kernel_mm: 0.8}}
  anatomy:
    organ: {{arterial: 60, venous: 100}}
    tumour: {{arterial: 110, venous: 90}}
    aorta: {{arterial: 290, venous: 150}}
    vein: {{arterial: 130, venous: 170}}
    diameter_mm: [10, 22]
    field_mm: {field}
  marginals:
    age: {{mean: [55.0, 60.0], sd: [10.0, 10.0], limits: [20, 90]}}
"""


def study(patients: int = 24, field_mm: float = 48, pixel_mm: float = 2.0, folds: int = 3) -> str:
    """Return the text of the study file: two thirds of the patients are in training, half of all have a relapse."""
    north = 2 * patients // 3
    south = patients - north
    sizes = {"north": north, "north_events": north // 2, "south": south, "south_events": south // 2}
    return STUDY.format(**sizes, field=field_mm, pixel=pixel_mm, folds=folds)


def make(folder: Path, text: str = "") -> Path:
    """Write the project to a folder and return it."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=LEFT_OUT, dirs_exist_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    (folder / "studies" / "radiomics").mkdir(parents=True, exist_ok=True)
    (folder / "studies" / "radiomics" / "small.yaml").write_text(RADIOMICS, encoding="utf-8")
    (folder / "studies" / "small.yaml").write_text(text or study(), encoding="utf-8")
    return folder


def main() -> int:
    """Write the project and say how it is built."""
    parser = argparse.ArgumentParser(description="Write a project folder with one small synthetic study.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--field", type=float, default=48, help="side of the scans in mm")
    given = parser.parse_args()
    make(given.folder, study(given.patients, given.field))
    print(f"{given.folder}: cd there, then make book STUDY=small")
    return 0


if __name__ == "__main__":
    sys.exit(main())

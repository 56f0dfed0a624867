"""Do memory and cost per case stay flat from ten patients to two thousand?

    python benchmarks/scale.py [--patients 10,200,2000] [--full 10,20] [--jobs 1]

Each size is a process of its own, which draws that many synthetic patients of two phases (small volumes, or with
``--full`` volumes of 36 cm with voxels of 0.8 mm), and passes them through check, preprocessing, radiomics and
modelling, and through the pages of chapter 02 that show single cases. Drawing the patients is not timed. A case is one
phase of a patient. Memory is the peak of the process in a step beyond what it had at the first step's begin; what
modelling takes is the table of features, which grows with the patients.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"field_mm": 44.0, "pixel_mm": 2.0}
FULL = {"field_mm": 360.0, "pixel_mm": 0.8}


def measure(patients: int, size: dict[str, float], jobs: int, folder: Path) -> list[dict[str, Any]]:
    """Return seconds per case and peak memory of each step, one row each."""
    sys.path[:1] = [str(ROOT), str(ROOT / "tools")]  # in the place of this folder, whose radiomics.py is no package
    import small_study

    from radsupport.data import synthetic_scans
    from radsupport.study import load_study

    (folder / "studies" / "radiomics").mkdir(parents=True)
    settings = folder / "studies" / "radiomics" / "small.yaml"
    settings.write_text(small_study.RADIOMICS, encoding="utf-8")
    text = small_study.study(patients, **size)
    (folder / "studies" / "small.yaml").write_text(text, encoding="utf-8")
    study = load_study("small", folder=folder / "studies")
    synthetic_scans.generate(study, folder / "data" / "small", n_jobs=jobs)
    return list(_steps(study, settings, jobs, folder))


def _steps(study: Any, settings: Path, jobs: int, folder: Path) -> Any:
    from radsupport import book, data, imaging, learning, radiomics
    from radsupport.data.own_data import check
    from radsupport.parallel import peak_mb, reset_peak
    from radsupport.tables import write_table

    results, before = folder / "results" / "small", _memory()
    results.mkdir(parents=True)
    cohort = data.open_cohort(study, folder).cohort
    cases = data.case_files(study, cohort, folder)
    n = len(cases)
    kept: dict[str, Any] = {}

    def step(name: str, work: Callable[[], Any]) -> dict[str, Any]:
        reset_peak()
        begun = time.perf_counter()
        kept[name] = work()
        seconds = time.perf_counter() - begun
        row = {"step": name, "patients": len(cohort), "cases": n, "seconds": seconds, "ms_per_case": 1000 * seconds / n}
        return row | {"mb": peak_mb() - before}

    yield step("check", lambda: check(folder / "data/small/manifest.csv", study, folder, jobs))
    assert not [one for one in kept["check"] if not one.warning], kept["check"]
    grid = study.preprocessing
    options = {"spacing_mm": grid.spacing_mm, "interpolation": grid.interpolation, "margin_mm": grid.margin_mm}
    words = {"n_jobs": jobs, "progress": False}
    yield step("preprocessing", lambda: imaging.preprocess(cases, results / "images", **options, **words))
    table = kept["preprocessing"]
    assert (table["exclusion"] == "").all()
    wanted = data.model_cases(study, table)
    yield step("radiomics", lambda: radiomics.extract(wanted, settings, cache=folder / "cache", **words)[0])
    yield step("radiomics again", lambda: radiomics.extract(wanted, settings, cache=folder / "cache", **words)[0])
    assert kept["radiomics"].equals(kept["radiomics again"])
    write_table(cohort, "cohort", results)
    write_table(kept["radiomics"], "features_radiomics", results)
    yield step("modelling", lambda: _modelled(learning, study, cohort, results, jobs))
    yield step("page", lambda: _page(book, imaging, study, table, jobs)) | {"page_mb": len(kept["page"]) / 1e6}


def _modelled(learning: Any, study: Any, cohort: Any, results: Path, jobs: int) -> Any:
    settings = study.modelling
    assembly = learning.assemble(
        results, study.signatures, study.columns, cohort, outcome=("label",), grid=settings.grid, icc_threshold=0.8,
        unseen_center=settings.unseen_center, folds=settings.folds, learners=None,
    )  # fmt: skip
    options = {"inner_folds": settings.inner_folds, "external": settings.external, "seed": study.seed, "n_jobs": jobs}
    return learning.run_signatures(assembly, repeats=1, folds=assembly.folds, **options)


def _page(book: Any, imaging: Any, study: Any, cases: Any, jobs: int) -> str:
    """Return what chapter 02 shows of single cases: the folded contact sheets and the table of every mask."""
    from radsupport.book.tables import table_html

    windows = {name: (phase.window.level, phase.window.width) for name, phase in study.phases.items()}
    checked = imaging.check(cases, n_jobs=jobs)
    sections = imaging.sheet(cases, checked, next(iter(windows)), windows, jobs)
    html: str = book.folded_sheets(sections, f"{len(sections)} of {sections.attrs['of']}")
    return html + str(table_html(checked, "Quality of every mask", sortable=True, max_rows=60))


def _memory() -> float:
    from radsupport.parallel import peak_mb, reset_peak

    reset_peak()
    return peak_mb()


def main() -> int:
    """Measure every size in a process of its own and print a row per step and size."""
    parser = argparse.ArgumentParser(description="Memory and cost per case from few patients to many.")
    parser.add_argument("--patients", default="10,200,2000", help="sizes with small volumes")
    parser.add_argument("--full", default="10,20", help="sizes with full volumes")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "PATIENTS"), help="measure one size and print JSON")
    parser.add_argument("--quick", action="store_true", help="ten and forty small patients only")
    given = parser.parse_args()
    if given.one:
        with tempfile.TemporaryDirectory(prefix="radsupport-scale-") as folder:
            rows = measure(int(given.one[1]), {"small": SMALL, "full": FULL}[given.one[0]], given.jobs, Path(folder))
        print(json.dumps(rows))
        return 0
    sizes = [("small", one) for one in given.patients.split(",")] + [("full", one) for one in given.full.split(",")]
    sizes = [("small", "10"), ("small", "40")] if given.quick else [one for one in sizes if one[1]]
    print(
        f"{'volumes':8} {'step':16} {'patients':>8} {'cases':>6} {'seconds':>8} {'ms/case':>8} {'MB':>6} {'page MB':>8}"
    )
    for kind, patients in sizes:
        command = [sys.executable, __file__, "--one", kind, patients, "--jobs", str(given.jobs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        for row in json.loads(done.stdout.splitlines()[-1]):
            page = f"{row['page_mb']:8.1f}" if "page_mb" in row else ""
            numbers = (
                f"{row['patients']:8} {row['cases']:6} {row['seconds']:8.1f} {row['ms_per_case']:8.1f} {row['mb']:6.0f}"
            )
            print(f"{kind:8} {row['step']:16} {numbers} {page}".rstrip(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One bad case of every kind among good ones costs one row: the others have the values of a run without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.body import body_phantom

from radsupport.data.own_data import check
from radsupport.errors import serious
from radsupport.imaging.masks import check as check_outlines
from radsupport.imaging.preprocessing import preprocess
from radsupport.networks.inputs import Given
from radsupport.radiomics.agreement import correlations, count_features
from radsupport.radiomics.case import extract_case
from radsupport.radiomics.extract import extract
from radsupport.settings.features import Window

SETTINGS: dict[str, Any] = {
    "setting": {"resampledPixelSpacing": [2, 2, 2]},
    "featureClass": {"firstorder": ["Mean", "Energy"], "glcm": ["Contrast"], "shape": ["Sphericity"]},
}
GOOD = [f"good{i}" for i in range(4)]


def _write(array: np.ndarray, path: Path, spacing: tuple[float, ...] = (1.5, 1.5, 3.0)) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


def _cut(image: Path, mask: Path) -> None:
    image.write_bytes(image.read_bytes()[:4000])


def _on(role: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Path], None]:
    def spoil(image: Path, mask: Path) -> None:
        path = (image, mask)[role]
        _write(change(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))), path)

    return spoil


def _nan(hu: np.ndarray) -> np.ndarray:
    found = hu.astype(np.float32)
    found[0, 0, 0] = np.nan
    return found


def _other_grid(image: Path, mask: Path) -> None:
    _write(sitk.GetArrayFromImage(sitk.ReadImage(str(mask))), mask, (1.7, 1.5, 3.0))


BAD: dict[str, Callable[[Path, Path], None]] = {
    "truncated": _cut,
    "no HU": _on(0, lambda hu: (hu + 1024).astype(np.uint16)),
    "zeros": _on(0, np.zeros_like),
    "not a number": _on(0, _nan),
    "empty mask": _on(1, np.zeros_like),
    "inverted mask": _on(1, lambda mask: 1 - mask),
    "no mask": lambda image, mask: mask.unlink(),
    "no image": lambda image, mask: image.unlink(),
    "text": lambda image, mask: mask.write_text("not a mask") and None,
    "other grid": _other_grid,
}
RAISED: dict[str, BaseException] = {"memory": MemoryError(), "index": IndexError("Calculation of GLCM Failed.")}


def _case(folder: Path, subject: str, seed: int) -> dict[str, Any]:
    hu, inside = body_phantom("soft tissue" if seed % 2 else "enhancing", seed)
    image, mask = folder / f"{subject}_image.nii.gz", folder / f"{subject}_mask.nii.gz"
    hu[10, 25, 22] = 32767 if seed == 1 else hu[10, 25, 22]  # a clip in one good patient
    _write(hu.astype(np.int16), image)
    _write(inside.astype(np.uint8), mask)
    row = {"subject": subject, "phase": "ct", "center": "A", "cohort": "train", "exclusion": ""}
    return row | {"image": str(image), "mask": str(mask)}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("scans")
    rows = [_case(folder, subject, seed) for seed, subject in enumerate([*GOOD, *BAD, *RAISED])]
    for row in rows:
        if row["subject"] in BAD:
            BAD[row["subject"]](Path(row["image"]), Path(row["mask"]))
            row |= {role: row[role] if Path(row[role]).exists() else "" for role in ("image", "mask")}
    return pd.DataFrame(rows).sample(frac=1, random_state=3, ignore_index=True)


def _through(cases: pd.DataFrame, out: Path, failing: dict[str, BaseException]) -> dict[str, pd.DataFrame]:
    """Chapters 02 to 04: preprocessed, checked, measured, and given to a network."""
    done = preprocess(cases, out, spacing_mm=(2, 2, 2), interpolation="linear", margin_mm=6, progress=False)
    usable = done["exclusion"] == ""
    scans = done.assign(**{r: done[f"source_{r}"].where(usable) for r in ("image", "mask")})
    with pytest.MonkeyPatch.context() as patch:

        def measured(image: str, *rest: Any) -> Any:
            subject = Path(image).name.split("_")[0]
            if subject in failing:
                raise failing[subject]
            return extract_case(image, *rest)

        patch.setattr(sys.modules[extract.__module__], "extract_case", measured)
        features, log = extract(scans, SETTINGS, progress=False)
    given = Given(done, done, {}, ["ct"], (2.0, 2.0, 2.0), out)
    made, failed = given.inputs("ct", list(done["subject"]), Window(level=40, width=400), lambda v: v.image.mean())
    network = pd.DataFrame({"subject": list(made), "mean": list(made.values())})
    parts = {"cases": done, "outlines": check_outlines(done), "features": features, "log": log, "network": network}
    return parts | {"failed": failed, "pairs": correlations(features).pairs, "count": count_features(features)}


@pytest.fixture(scope="module")
def runs(cases: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, pd.DataFrame]]:
    alone = cases[cases["subject"].isin(GOOD)].reset_index(drop=True)
    return [_through(table, tmp_path_factory.mktemp("out"), RAISED) for table in (cases, alone)]


@pytest.mark.parametrize("name", ["cases", "outlines", "features", "network"])
def test_the_others_have_the_values_of_a_run_without_the_bad_ones(
    runs: list[dict[str, pd.DataFrame]], name: str
) -> None:
    all_of_them, alone = (run[name].set_index("subject") for run in runs)
    paths = [c for c in alone if c in ("image", "mask") or c.startswith("source_")]
    found = all_of_them.loc[GOOD, alone.columns].drop(columns=paths).convert_dtypes()
    pd.testing.assert_frame_equal(found, alone.loc[GOOD].drop(columns=paths).convert_dtypes(), check_exact=True)
    assert runs[1]["features"].notna().all(axis=None)


def test_what_is_said_of_all_features_is_that_of_a_run_without_the_bad_ones(
    runs: list[dict[str, pd.DataFrame]],
) -> None:
    for name in ("pairs", "count"):
        pd.testing.assert_frame_equal(runs[0][name], runs[1][name])


def test_every_bad_case_is_one_row_with_one_line_of_reason(runs: list[dict[str, pd.DataFrame]], cases: Any) -> None:
    found = runs[0]
    reason = found["cases"].set_index("subject")["exclusion"]
    assert list(found["cases"]["subject"]) == list(cases["subject"])
    assert sorted(reason[reason != ""].index) == sorted(BAD)
    log = found["log"].set_index("subject")
    assert sorted(log.index[log["status"] == "failed"]) == sorted([*BAD, *RAISED])
    assert log.loc["memory", "reason"] == "MemoryError"
    assert log.loc["truncated", "reason"] == f"Excluded: {reason['truncated']}"
    assert sorted(found["failed"]["subject"]) == sorted(BAD)
    texts = [*reason, *log["reason"], *found["failed"]["reason"]]
    assert not [text for text in texts if "\n" in text or str(Path.home()) in text or "/tmp" in text]


def test_check_refuses_what_chapter_02_refuses(cases: pd.DataFrame, tmp_path: Path) -> None:
    rows = ["study,subject,center,phase,role,path"]
    for case in cases.to_dict("records"):
        rows += [f"x,{case['subject']},A,ct,{role},{case[role]}" for role in ("image", "mask") if case[role]]
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    subject_of = {str(i): line.split(",")[1] for i, line in enumerate(rows, start=1)}
    found = {subject_of[problem.row] for problem in serious(check(manifest, None, tmp_path))}
    assert found == set(BAD)

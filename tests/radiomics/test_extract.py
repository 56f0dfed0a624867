"""A cohort through the extraction: order, failures, cache, interruption, other workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from distributed import LocalCluster

from radsupport.errors import InputError
from radsupport.radiomics.case import feature_names
from radsupport.radiomics.extract import LOG_COLUMNS, case_key, controlled, extract
from radsupport.radiomics.settings import load_settings
from radsupport.tables import validate_table

SETTINGS: dict[str, Any] = {
    "imageType": {"Original": {}, "LoG": {"sigma": [2.0]}},
    "featureClass": {"firstorder": [], "shape": [], "glcm": ["Contrast", "JointEntropy"]},
}
N_FEATURES = 14 + 2 * (18 + 2)


def write(array: np.ndarray, path: Path, spacing: tuple[float, ...] = (1.0, 1.0, 2.0)) -> str:
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return str(path)


def drawn_mask() -> np.ndarray:
    drawn = np.zeros((12, 30, 32), np.uint8)
    drawn[4:8, 10:18, 9:20] = 1
    return drawn


def one_case(folder: Path, subject: str, phase: str = "arterial", mask: np.ndarray | None = None) -> dict[str, str]:
    seed = int.from_bytes(f"{subject}{phase}".encode(), "little") % 2**32
    array = np.random.default_rng(seed).normal(60, 25, (12, 30, 32)).astype(np.float32)
    stem = f"{subject}_{phase}"
    return {
        "subject": subject,
        "phase": phase,
        "image": write(array, folder / f"{stem}_image.nii.gz"),
        "mask": write(drawn_mask() if mask is None else mask, folder / f"{stem}_mask.nii.gz"),
    }


@pytest.fixture
def cases(tmp_path: Path) -> pd.DataFrame:
    return pd.DataFrame([one_case(tmp_path, s, p) for s in ("b", "a", "c") for p in ("venous", "arterial")])


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_one_row_per_subject_and_columns_in_a_fixed_order(cases: pd.DataFrame) -> None:
    features, log = extract(cases, SETTINGS, progress=False)
    names = feature_names(load_settings(SETTINGS))
    assert len(names) == N_FEATURES
    assert list(features.columns) == ["subject", *(f"{p}__{n}" for p in ("venous", "arterial") for n in names)]
    assert list(features["subject"]) == ["b", "a", "c"]
    assert features.drop(columns="subject").notna().all(axis=None)
    assert list(log.columns) == LOG_COLUMNS
    assert (log["status"] == "ok").all()
    assert (log["voxels"] == 4 * 8 * 11).all()
    assert (log["seconds"] > 0).all()
    assert log["peak_memory_mb"].between(20, 4000).all()
    validate_table(features, "features_radiomics")


def test_order_of_rows_decides_nothing_about_values(cases: pd.DataFrame) -> None:
    features, _ = extract(cases, SETTINGS, progress=False)
    again, _ = extract(cases.iloc[::-1], SETTINGS, progress=False)
    pd.testing.assert_frame_equal(
        features.set_index("subject").sort_index(), again.set_index("subject").sort_index()[features.columns[1:]]
    )


def faulty(folder: Path) -> list[tuple[dict[str, Any], str]]:
    """One case per fault, and a word of the reason it has to be given."""
    empty, single, two = np.zeros((12, 30, 32), np.uint8), np.zeros((12, 30, 32), np.uint8), drawn_mask()
    single[5, 5, 5], two[9, 20:25, 20:25] = 1, 2
    line = np.zeros((12, 30, 32), np.uint8)
    line[5, 5, 5:15] = 1
    found = [
        (one_case(folder, "empty", mask=empty), "is empty"),
        (one_case(folder, "single", mask=single), "1 segmented voxel"),
        (one_case(folder, "line", mask=line), "too few dimensions"),
        (one_case(folder, "two", mask=two), "labels"),
        (one_case(folder, "probability", mask=drawn_mask() * np.float32(0.4)), "between two labels"),
    ]
    truncated = one_case(folder, "truncated")
    raw = Path(truncated["image"]).read_bytes()
    Path(truncated["image"]).write_bytes(raw[: len(raw) // 2])
    text = one_case(folder, "text")
    Path(text["mask"]).write_text("not an image")
    missing = one_case(folder, "missing")
    Path(missing["image"]).unlink()
    nan = one_case(folder, "nan")
    array = np.full((12, 30, 32), np.nan, np.float32)
    write(array, Path(nan["image"]))
    four = one_case(folder, "four")
    write(np.zeros((2, 12, 30, 32), np.float32), Path(four["image"]), (1.0, 1.0, 2.0, 1.0))
    apart = one_case(folder, "apart")
    write(drawn_mask(), Path(apart["mask"]), (1.3, 1.0, 2.0))
    nothing = {**one_case(folder, "nothing"), "mask": None}
    return [
        *found,
        (truncated, "truncated"),
        (text, "not compressed"),
        (missing, "There is no such file"),
        (nan, "NaN"),
        (four, "4 dimensions"),
        (apart, "differ in space"),
        (nothing, "has no mask"),
    ]


def test_every_bad_case_is_a_row_of_nan_with_its_reason_and_harms_no_other(tmp_path: Path) -> None:
    sound = one_case(tmp_path, "sound")
    bad = faulty(tmp_path)
    table = pd.DataFrame([case for case, _ in bad[:6]] + [sound] + [case for case, _ in bad[6:]])
    features, log = extract(table, SETTINGS, cache=tmp_path / "cache", progress=False)
    assert list(features["subject"]) == list(table["subject"])
    empty = features.set_index("subject").isna().all(axis=1)
    assert not empty["sound"]
    assert empty.drop("sound").all()
    reasons = log.set_index("subject")
    for case, word in bad:
        assert reasons.loc[case["subject"], "status"] == "failed"
        assert word in reasons.loc[case["subject"], "reason"], (case["subject"], reasons.loc[case["subject"], "reason"])
    alone, _ = extract(pd.DataFrame([sound]), SETTINGS, progress=False)
    pd.testing.assert_frame_equal(
        alone, features[features["subject"] == "sound"].reset_index(drop=True), check_exact=True
    )


def test_faults_of_the_outline_that_are_only_worth_a_warning_are_measured(tmp_path: Path) -> None:
    islands, border, slice_only = drawn_mask(), np.zeros((12, 30, 32), np.uint8), np.zeros((12, 30, 32), np.uint8)
    islands[10, 25:28, 25:28], islands[5, 13, 13] = 1, 0
    border[:4, :9, :9], slice_only[5, 10:18, 9:20] = 1, 1
    masks = {"islands": islands, "border": border, "slice": slice_only}
    table = pd.DataFrame([one_case(tmp_path, name, mask=mask) for name, mask in masks.items()])
    features, log = extract(table, SETTINGS, progress=False)
    assert (log["status"] != "failed").all()
    assert features["arterial__original_firstorder_Mean"].notna().all()
    assert list(log["voxels"]) == [int(mask.sum()) for mask in masks.values()]


def test_a_repaired_mask_is_measured_and_said_to_be_repaired(tmp_path: Path) -> None:
    case = one_case(tmp_path, "a")
    expected, _ = extract(pd.DataFrame([case]), SETTINGS, progress=False)
    sitk.WriteImage(sitk.Flip(sitk.ReadImage(case["mask"]), [True, True, False]), case["mask"])
    features, log = extract(pd.DataFrame([case]), SETTINGS, progress=False)
    pd.testing.assert_frame_equal(features, expected, check_exact=True)
    assert log.loc[0, "status"] == "warning"
    assert "flipped" in log.loc[0, "reason"]


def test_a_named_label_is_measured_alone(tmp_path: Path) -> None:
    two = drawn_mask()
    two[9, 20:25, 20:25] = 2
    table = pd.DataFrame([one_case(tmp_path, "a", mask=two)])
    _, log = extract(table, {**SETTINGS, "setting": {"label": 2}}, progress=False)
    assert log.loc[0, "voxels"] == 25


def test_a_missing_phase_is_nan_and_the_subject_stays(cases: pd.DataFrame) -> None:
    features, log = extract(cases.drop(index=3), SETTINGS, progress=False)
    row = features.set_index("subject").loc["a"]
    assert row.filter(like="arterial__").isna().all()
    assert row.filter(like="venous__").notna().all()
    assert len(log) == 5


def test_a_constant_region_gives_nan_only_where_a_feature_has_no_value(tmp_path: Path) -> None:
    case = one_case(tmp_path, "flat")
    write(np.full((12, 30, 32), 50.0, np.float32), Path(case["image"]))
    features, log = extract(pd.DataFrame([case]), SETTINGS, progress=False)
    assert log.loc[0, "status"] in ("ok", "warning")
    assert features.loc[0, "arterial__original_firstorder_Mean"] == 50
    validate_table(features, "features_radiomics")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="mask"), "columns missing"),
        (lambda t: t.iloc[:0], "is empty"),
        (lambda t: pd.concat([t, t.iloc[[1]]]), "b arterial"),
    ],
)
def test_a_table_that_is_no_list_of_cases_is_refused(cases: pd.DataFrame, change: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        extract(change(cases), SETTINGS, progress=False)


def test_the_cache_answers_for_the_same_content_and_only_for_it(cases: pd.DataFrame, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first, log = extract(cases, SETTINGS, cache=cache, progress=False)
    assert not log["cached"].any()
    again, log = extract(cases, SETTINGS, cache=cache, progress=False)
    assert log["cached"].all()
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    os.utime(cases.loc[0, "image"])
    renamed = cases.assign(subject=cases["subject"] + "x")
    assert extract(renamed, SETTINGS, cache=cache, progress=False)[1]["cached"].all()
    changed = drawn_mask()
    changed[4, 10, 9] = 0
    write(changed, Path(cases.loc[2, "mask"]))
    assert list(extract(cases, SETTINGS, cache=cache, progress=False)[1]["cached"]) == [True, True, False, *[True] * 3]
    other = {**SETTINGS, "setting": {"binWidth": 10}}
    assert not extract(cases, other, cache=cache, progress=False)[1]["cached"].any()


def test_library_versions_are_part_of_the_key(
    cases: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = cases.loc[0, "image"], cases.loc[0, "mask"]
    before = case_key(*files, "s")
    monkeypatch.setitem(case_key.__globals__, "EXTRACTION_VERSION", 10**6)
    assert case_key(*files, "s") != before


def test_damaged_cache_files_are_computed_again(cases: pd.DataFrame, tmp_path: Path) -> None:
    first, _ = extract(cases, SETTINGS, cache=tmp_path / "cache", progress=False)
    files = sorted((tmp_path / "cache").rglob("*.json"))
    files[0].write_text(files[0].read_text()[:50])
    files[1].write_bytes(b"\xff\xfe\x00")
    again, log = extract(cases, SETTINGS, cache=tmp_path / "cache", progress=False)
    assert (~log["cached"]).sum() == 2
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_failures_are_not_kept(tmp_path: Path) -> None:
    case = one_case(tmp_path, "a", mask=np.zeros((12, 30, 32), np.uint8))
    extract(pd.DataFrame([case]), SETTINGS, cache=tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_two_processes_and_a_dask_cluster_give_the_same_table(
    cases: pd.DataFrame, scheduler: str, tmp_path: Path
) -> None:
    alone, _ = extract(cases, SETTINGS, progress=False)
    for options in ({"n_jobs": 2}, {"scheduler": scheduler}):
        together, log = extract(cases, SETTINGS, progress=False, cache=tmp_path / str(len(options)), **options)
        pd.testing.assert_frame_equal(alone, together, check_exact=True)
        assert list(log["subject"]) == list(cases["subject"])


def test_a_run_killed_at_any_moment_leaves_no_half_file_and_goes_on_from_there(tmp_path: Path) -> None:
    table = pd.DataFrame([one_case(tmp_path, f"s{i:02d}") for i in range(14)])
    table.to_csv(tmp_path / "cases.csv", index=False)
    cache = tmp_path / "cache"
    code = f"""
        import json, pandas as pd
        from radsupport.radiomics.extract import extract
        extract(pd.read_csv({str(tmp_path / "cases.csv")!r}), json.loads({json.dumps(json.dumps(SETTINGS))}),
                cache={str(cache)!r}, progress=False)
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, start_new_session=True, cwd=Path.cwd()
    )
    deadline = time.monotonic() + 60
    while len(list(cache.rglob("[!.]*.json"))) < 3 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.001)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    finished = list(cache.rglob("[!.]*.json"))
    assert 3 <= len(finished) < 14
    for path in finished:
        assert len(json.loads(path.read_text())["values"]) == N_FEATURES
    features, log = extract(table, SETTINGS, cache=cache, progress=False)
    assert log["cached"].sum() == len(finished)
    expected, _ = extract(table, SETTINGS, progress=False)
    pd.testing.assert_frame_equal(features, expected, check_exact=True)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint16, np.int32])
def test_one_bright_voxel_costs_nobody_anything(tmp_path: Path, dtype: type) -> None:
    # 32 767 HU in 16 bits: pyradiomics' upper edge wrapped to a negative number and left no bins
    kinds = {"glcm": [], "glrlm": [], "glszm": [], "gldm": [], "ngtdm": [], "firstorder": ["Entropy"]}
    settings = {"setting": {"binWidth": 25}, "imageType": {"Original": {}}, "featureClass": kinds}
    rows, bright = [], {"a": 130, "b": 32767, "c": 32718}
    for subject, value in bright.items():
        array = np.random.default_rng(3).normal(120, 12, (12, 30, 32)).round().astype(dtype)
        array[5, 12, 12] = value
        rows.append({**one_case(tmp_path, subject), "image": write(array, tmp_path / f"{subject}.nii.gz")})
    features, log = extract(pd.DataFrame(rows), settings, progress=False)
    assert (log["status"] == "ok").all(), log["reason"].tolist()
    for subject, row in features.set_index("subject").iterrows():
        counts = np.unique(np.floor(_inside(f"{tmp_path}/{subject}.nii.gz") / 25), return_counts=True)[1]
        share = counts / counts.sum()
        assert row["arterial__original_firstorder_Entropy"] == pytest.approx(-(share * np.log2(share)).sum(), abs=1e-12)


def _inside(path: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))[drawn_mask() > 0].astype(float)


def test_grey_levels_without_end_cost_one_row(tmp_path: Path) -> None:
    fine, wide = one_case(tmp_path, "fine"), one_case(tmp_path, "wide")
    array = np.random.default_rng(3).normal(120, 12, (12, 30, 32)).round().astype(np.int32)
    array[5, 12, 12] = 400_000
    wide["image"] = write(array, tmp_path / "wide.nii.gz")
    features, log = extract(pd.DataFrame([wide, fine]), SETTINGS, progress=False)
    assert log["status"].tolist() == ["failed", "ok"]
    assert "grey levels at a bin width of 25" in log["reason"][0]
    assert features.drop(columns="subject").notna().all(axis=1).tolist() == [False, True]


def test_a_window_measures_what_a_clipped_scan_gives(cases: pd.DataFrame, tmp_path: Path) -> None:
    """Song 2021 windows before radiomics: the same as clipping the files by hand; the cache keeps the two apart."""
    one = cases.iloc[[0]]
    image = sitk.ReadImage(one["image"].iloc[0])
    clipped = tmp_path / "clipped.nii.gz"
    array = np.clip(sitk.GetArrayFromImage(image), -25, 285)
    out = sitk.GetImageFromArray(array)
    out.CopyInformation(image)
    sitk.WriteImage(out, str(clipped))
    windows = {str(one["phase"].iloc[0]): (130.0, 310.0)}
    expected, _ = extract(one.assign(image=str(clipped)), SETTINGS, progress=False)
    whole, _ = extract(one, SETTINGS, cache=tmp_path / "cache", progress=False)
    found, log = extract(one, SETTINGS, cache=tmp_path / "cache", progress=False, windows=windows)
    assert not log["cached"].any()
    pd.testing.assert_frame_equal(found, expected)
    least = next(name for name in found if name.endswith("original_firstorder_Minimum"))
    assert found[least].iloc[0] == max(whole[least].iloc[0], -25)


def test_controls_keep_shape_and_grey_levels_and_lose_texture(tmp_path: Path) -> None:
    made = [one_case(tmp_path, name) for name in ("a", "b")]
    for row in made:  # a ramp, so that neighbours are alike
        ramp = np.broadcast_to(np.arange(32) * 9, (12, 30, 32)).astype(np.float32)
        write(np.ascontiguousarray(ramp), Path(row["image"]))
    cases, wanted = pd.DataFrame(made), ["shuffled roi", "randomised everywhere"]
    settings = {**SETTINGS, "setting": {"binWidth": 5}}
    true, _ = extract(cases, settings, progress=False)
    found = dict(controlled(cases, settings, wanted, seed=3, cache=tmp_path / "cache", progress=False))
    again = dict(controlled(cases, settings, wanted, seed=3, cache=tmp_path / "cache", progress=False))
    stem = "features_radiomics_control_"
    assert list(found) == [f"{stem}shuffled_roi", f"{stem}randomised_everywhere"]
    shuffled = found[f"{stem}shuffled_roi"]
    pd.testing.assert_frame_equal(shuffled, again[f"{stem}shuffled_roi"])
    assert list(shuffled) == [name for name in true if "log-sigma" not in name]
    levels = [name for name in shuffled if "shape" in name or "firstorder" in name]
    np.testing.assert_allclose(shuffled[levels], true[levels], rtol=1e-9)
    contrast = "arterial__original_glcm_Contrast"
    assert (shuffled[contrast] > 2 * true[contrast]).all()
    assert shuffled[contrast].nunique() == 2  # one image, but a stream of its own for each case
    assert not dict(controlled(cases.head(0), settings, wanted, seed=3))
    assert not dict(controlled(cases, {**settings, "imageType": {"LoG": {"sigma": [2.0]}}}, wanted, seed=3))

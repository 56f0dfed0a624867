"""Two builds are the same when, and only when, they hold the same values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.scripts import load_script

TABLE = (
    "<div><style>td {color: red}</style><table><caption>Patients</caption><thead><tr><th>Cohort</th><th>n</th>"
    "<th>Seconds per case</th></tr></thead><tbody><tr><td>train</td><td>22</td><td>1.5</td></tr></tbody></table></div>"
)
FIGURE = '<figure><img alt="A curve. Its area is 0.71." src="data:1"><figcaption>The curve.</figcaption></figure>'
CALCULATOR = '<div data-model="{&quot;age&quot;: 0.25}"><p>Risk</p></div>'
COHORT = pd.DataFrame(
    {
        "subject": ["a", "b", "c"],
        "label": [0.0, 1.0, np.nan],
        "age": [61.5, np.inf, 40.0],
        "visits": [1, 2, 3],
        "stage": pd.Categorical(["I", "II", "I"], ["I", "II"]),
    }
)
LOG = "subject,phase,status,seconds\na,ct,ok,1.5\nb,ct,,2.5\n"

Change = Callable[[Path], object]
Compare = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def script(root: Path) -> ModuleType:
    return load_script(root / "tools" / "same_values.py")


def _page(*outputs: dict[str, str]) -> str:
    shown = [{"output_type": "display_data", "data": data} for data in outputs]
    return json.dumps({"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": shown}]})


def _numbers(**changed: Any) -> dict[str, Any]:
    auc = {"value": 0.75, "n": 22, "ci_low": None, "ci_high": 0.9}
    numbers = {"auc": auc, "profile": {"value": "demo"}, "real": {"value": True}, "cuts": [1, 2.5], **changed}
    return {"seed": 51, "numbers": numbers, "inputs": {"sts.yaml": "e5a9"}, "versions": {"numpy": "2.4.6"}}


def _write_json(folder: Path, content: Any) -> None:
    (folder / "sts" / "01_cohort.json").write_text(json.dumps(content))


def _write_cohort(folder: Path, table: pd.DataFrame) -> None:
    table.to_parquet(folder / "sts" / "cohort.parquet", index=False)


def _write_page(folder: Path, table: str = TABLE, figure: str = FIGURE, model: str = CALCULATOR) -> None:
    words = {"text/markdown": "Of **22** patients 9\nhad an event. P <0.01.\n\nNone left."}
    outputs = words, {"text/html": table}, {"text/html": figure}, {"text/html": model}
    (folder / "sts" / "notebooks" / "01_cohort.ipynb").write_text(_page(*outputs))


@pytest.fixture
def builds(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in ("sts/notebooks", "sts/figures", "sts/cache", "sts/logs", "lung1", "logs"):
        (old / folder).mkdir(parents=True)
    _write_json(old, _numbers())
    _write_cohort(old, COHORT)
    _write_page(old)
    (old / "sts" / "features_radiomics_log.csv").write_text(LOG)
    (old / "sts" / "figures" / "curve.csv").write_text("x,y\n1,0.5\n2,\n")
    (old / "lung1" / "01_cohort.json").write_text('{"numbers": {"n": 421}}')
    shutil.copytree(old, new)
    return old, new


@pytest.fixture
def compare(script: ModuleType, builds: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> Compare:
    def run(change: Change = lambda folder: None, *options: str) -> tuple[int, list[str]]:
        change(builds[1])
        status = script.main([*map(str, builds), *options])
        return status, capsys.readouterr().out.splitlines()

    return run


def test_the_same_folder_twice_has_no_difference(compare: Compare) -> None:
    assert compare() == (0, ["36 values compared, 0 differences"])
    status, lines = compare(lambda folder: None, "--pages")
    assert status == 0
    assert lines[0] == "Pages"
    assert lines[-2:] == ["Values", "36 values compared, 0 differences"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"auc": {"value": 0.750001, "n": 22, "ci_low": None, "ci_high": 0.9}}, "auc/value: 0.75 -> 0.750001"),
        ({"auc": {"value": 0.75, "n": 23, "ci_low": None, "ci_high": 0.9}}, "auc/n: 22 -> 23"),
        ({"auc": {"value": 0.75, "n": 22, "ci_low": 0.6, "ci_high": 0.9}}, "auc/ci_low: None -> 0.6"),
        ({"auc": {"value": 0.75, "n": 22, "ci_low": None}}, "auc/ci_high: there -> missing"),
        ({"profile": {"value": "paper"}}, "profile/value: 'demo' -> 'paper'"),
        ({"real": {"value": 1}}, "real/value: True -> 1"),
        ({"cuts": [1, 2.5, 3]}, "cuts/[2]: missing -> there"),
        ({"more": {"value": 1}}, "more: missing -> there"),
    ],
)
def test_a_changed_number_is_found(compare: Compare, changed: dict[str, Any], line: str) -> None:
    status, lines = compare(lambda folder: _write_json(folder, _numbers(**changed)))
    assert status == 1
    assert lines[:-1] == [f"sts 01_cohort.json numbers/{line}"]
    assert lines[-1].endswith(" values compared, 1 differences")


def test_a_float_may_differ_by_the_tolerance(compare: Compare) -> None:
    near = {"value": 0.75 + 1e-12, "n": 22.0, "ci_low": None, "ci_high": 0.9}
    assert compare(lambda folder: _write_json(folder, _numbers(auc=near)))[0] == 0
    assert compare(lambda folder: None, "--tolerance", "1e-13")[0] == 1


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (np.nan, np.nan, True), (np.inf, np.inf, True), (np.inf, -np.inf, False), (np.inf, 1e300, False),
        (np.nan, 0.0, False), (1e12, 1e12 + 100, True), (1e12, 1e12 + 1e4, False), (10**12, 10**12 + 1, False),
        (3, 3.0, True), (True, 1, False), ("a", "a ", False), (None, None, True), (None, "", False),
    ],
)  # fmt: skip
def test_what_is_the_same_value(script: ModuleType, old: Any, new: Any, same: bool) -> None:
    assert script.same_value(old, new, 1e-9) is same
    assert script.same_value(new, old, 1e-9) is same


def test_a_renamed_key_is_missing_and_extra(compare: Compare) -> None:
    def rename(folder: Path) -> None:
        content = _numbers()
        content["numbers"]["auc_train"] = content["numbers"].pop("auc")
        _write_json(folder, content)

    found = [
        "sts 01_cohort.json numbers/auc: there -> missing",
        "sts 01_cohort.json numbers/auc_train: missing -> there",
    ]
    assert compare(rename)[1][:-1] == found


def test_a_missing_or_extra_file_or_study_is_found(compare: Compare, builds: tuple[Path, Path]) -> None:
    def remove(folder: Path) -> None:
        (folder / "sts" / "cohort.parquet").unlink()
        shutil.rmtree(folder / "lung1")

    (builds[1] / "sts" / "icc.csv").write_text("feature,icc\n")
    (builds[1] / "gist").mkdir()
    status, lines = compare(remove)
    assert status == 1
    assert lines[:-1] == [
        "gist study: missing -> there",
        "lung1 study: there -> missing",
        "sts cohort.parquet file: there -> missing",
        "sts icc.csv file: missing -> there",
    ]
    assert compare(lambda folder: None, "--study", "lung1")[1][0] == "lung1 study: there -> missing"


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        (COHORT[["age", "stage", "label", "visits", "subject"]], []),
        (COHORT.assign(age=COHORT["age"] + 1e-12), []),
        (COHORT.assign(age=[61.500001, np.inf, 40.0]), ["a/age: 61.5 -> 61.500001"]),
        (COHORT.assign(visits=[1, 2, 4]), ["c/visits: 3 -> 4"]),
        (COHORT.assign(label=[0.0, np.nan, np.nan]), ["b/label: 1.0 -> None"]),
        (COHORT.drop(columns="visits"), ["column visits: there -> missing"]),
        (COHORT.assign(more=1), ["column more: missing -> there"]),
        (COHORT.iloc[[0, 2]], ["b: there -> missing"]),
        (pd.concat([COHORT.assign(subject=["x", "y", "z"]).iloc[:1], COHORT]), ["x: missing -> there"]),
        (COHORT.iloc[[1, 0, 2]], ["order of rows: a -> b"]),
        (
            COHORT.assign(stage=COHORT["stage"].cat.reorder_categories(["II", "I"])),
            ["levels of stage: ['I', 'II'] -> ['II', 'I']"],
        ),
    ],
)
def test_a_table_is_compared_by_subject_and_column(compare: Compare, table: pd.DataFrame, lines: list[str]) -> None:
    status, found = compare(lambda folder: _write_cohort(folder, table))
    assert found[:-1] == [f"sts cohort.parquet {line}" for line in lines]
    assert status == int(bool(lines))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("y,x\n0.5000000000001,1.0\n,2\n", []),
        ("x,y\n1,0.5\n2,0\n", ["row 2/y: '' -> 0"]),
        ("x,y\n01,0.5\n2,\n", ["row 1/x: 1 -> '01'"]),
        ("x,y\n1,0.5\n2,\n2,\n", ["row 3: missing -> there"]),
    ],
)
def test_a_csv_without_key_is_compared_by_position(compare: Compare, text: str, lines: list[str]) -> None:
    found = compare(lambda folder: (folder / "sts" / "figures" / "curve.csv").write_text(text))[1]
    assert found[:-1] == [f"sts figures/curve.csv {line}" for line in lines]


@pytest.mark.parametrize("text", ["x,x\n1,2\n", "x,y\n1\n", 'x,y\n1,"\0'])
def test_a_file_that_can_not_be_read_is_a_difference(compare: Compare, text: str) -> None:
    status, lines = compare(lambda folder: (folder / "sts" / "figures" / "curve.csv").write_text(text))
    assert status == 1
    assert "curve.csv" in lines[0]


def test_what_is_no_value_is_ignored(compare: Compare, builds: tuple[Path, Path]) -> None:
    def change(folder: Path) -> None:
        content = _numbers()
        content.update(inputs={"sts.yaml": "other", "more": ""}, versions={"numpy": "3"}, duration=5.0)
        content["numbers"]["auc"]["seconds"] = 3
        _write_json(folder, content)
        sts = folder / "sts"
        (sts / "features_radiomics_log.csv").write_text(LOG.replace("1.5", "9").replace("2.5", "8"))
        for name in ("cache/a.json", "logs/b.csv", ".partial_1_c.csv", "figures/d.svg", "../logs/e.json"):
            (sts / name).write_text("[1]")
        _write_page(folder, TABLE.replace("1.5", "9").replace("red", "blue"))

    assert compare(change, "--pages")[0] == 0
    assert compare(lambda folder: _write_json(folder, {**_numbers(), "seed": 52}))[0] == 1


def test_only_the_folders_of_absolute_paths_are_ignored(script: ModuleType, tmp_path: Path) -> None:
    tables = []
    for i, name in enumerate(("/built/a/images/a_ct.nii.gz", "/built/b/images/a_ct.nii.gz", "images/b_ct.nii.gz")):
        path = tmp_path / f"{i}.csv"
        path.write_text(f"subject,image\na,{name}\n")
        tables.append(script.read_table(path))
    ledgers = [script.Ledger("cases", 1e-9) for _ in range(2)]
    for ledger, other in zip(ledgers, tables[1:], strict=True):
        script.compare_tables(tables[0], other, ledger)
    assert [ledger.lines for ledger in ledgers] == [[], ["cases a/image: 'a_ct.nii.gz' -> 'images/b_ct.nii.gz'"]]


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"table": TABLE.replace("22", "23")}, ["table “Patients”/row 1/n: '22' -> '23'"]),
        ({"table": TABLE.replace("<tr><td>", "<tr><td>all")}, ["table “Patients”/row 1/Cohort: 'train' -> 'alltrain'"]),
        (
            {"table": TABLE.replace("Patients", "Subjects")},
            ["table “Patients”: there -> missing", "table “Subjects”: missing -> there"],
        ),
        ({"table": TABLE * 2}, ["table “Patients” (2): missing -> there"]),
        (
            {"figure": FIGURE.replace("0.71", "0.72")},
            ["text/Its area is 0.71.: there -> missing", "text/Its area is 0.72.: missing -> there"],
        ),
        ({"figure": FIGURE.replace("<img", "<p>None left.</p><img")}, ["text/None left.: 1 -> 2"]),
        ({"model": CALCULATOR.replace("0.25", "0.26")}, ["calculator/[0]/age: 0.25 -> 0.26"]),
        ({"figure": FIGURE.replace("The curve", "<b>The</b>\n  curve")}, []),
    ],
)
def test_what_a_page_shows_is_compared(compare: Compare, changed: dict[str, str], lines: list[str]) -> None:
    def change(folder: Path) -> None:
        _write_page(folder, **changed)

    assert compare(change)[0] == 0
    status, found = compare(change, "--pages")
    shown = found[1 : found.index("Values") - 2]
    assert shown == [f"sts notebooks/01_cohort.ipynb {line}" for line in lines]
    assert status == int(bool(lines))


def test_the_text_of_a_page(script: ModuleType, builds: tuple[Path, Path]) -> None:
    page = script.read_page(builds[0] / "sts" / "notebooks" / "01_cohort.ipynb")
    figure = {"A curve.": 1, "Its area is 0.71.": 1, "The curve.": 1, "Risk": 1}
    words = {"Of **22** patients 9 had an event.": 1, "P <0.01.": 1, "None left.": 1}
    assert page["text"] == words | figure


def test_lines_per_file_are_limited(compare: Compare) -> None:
    changed = {f"n{i}": {"value": i} for i in range(5)}
    _, lines = compare(lambda folder: _write_json(folder, _numbers(**changed)), "--most", "2")
    assert len(lines) == 4
    assert lines[-2] == "sts 01_cohort.json ... and 3 more"
    assert lines[-1].endswith(", 5 differences")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--study", "sts,nosuch"], "neither build has the study nosuch"),
        (["--study", ""], "neither build has the study"),
        (["--tolerance", "nan"], "the tolerance must be a number"),
        (["--most", "-1"], "the number of lines"),
    ],
)
def test_unusable_options_end_with_2(
    compare: Compare, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        compare(lambda folder: None, *options)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_unusable_folders_end_with_2(
    script: ModuleType, builds: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "bare").mkdir()
    for old, new, words in (
        (builds[0], tmp_path / "absent", "absent is no folder"),
        (builds[0], builds[0], "both builds are the same folder"),
        (empty, tmp_path / "bare", "nothing to compare"),
    ):
        with pytest.raises(SystemExit) as ended:
            script.main([str(old), str(new)])
        assert ended.value.code == 2
        assert words in capsys.readouterr().err

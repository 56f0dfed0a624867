"""What a hospital's export holds, and what the rules can and can not tell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from helpers.dicom_files import write_ct
from helpers.dicom_tree import outline, scan, write_tree

from radsupport.errors import InputError
from radsupport.imaging.examinations import as_table, as_text, decided, read_rules, survey


def planned(root: Path, unpacked: Path | None = None, rules: Path | None = None) -> pd.DataFrame:
    read = read_rules(rules)
    return as_table(decided(survey(root, read, unpacked), read))


def test_a_tree_of_any_depth_is_told_apart(tmp_path: Path) -> None:
    uids = write_tree(tmp_path / "export")
    table = planned(tmp_path / "export", tmp_path / "unpacked").set_index("folder")
    series = table[table["series"] != ""].reset_index().set_index("series")
    venous, arterial = series.loc[uids["venous"]], series.loc[uids["arterial"]]
    assert (venous["phase"], venous["step"], venous["region"]) == ("venous", "convert", "GTV")
    assert venous["regions"] == "Liver, GTV"
    assert venous["spacing_mm"] == "1.5 x 2 x 3"
    assert (arterial["phase"], arterial["step"], arterial["reason"]) == (
        "arterial",
        "convert",
        "no outline: image only",
    )
    assert (series.loc[uids["bert"], "phase"], series.loc[uids["bert"], "region"]) == ("ct", "tumour")
    assert series.loc[uids["dora"], "folder"] == "dora.zip/ct"
    assert series.loc[uids["dora"], "phase"] == "unenhanced"
    left = series[series["step"] == "left out"]["reason"]
    assert sorted(left) == [
        "a scout or single images (1)",
        "its description says “Dose report”",
    ]
    carl = series[series["subject"] == "Carl"]
    assert list(carl["step"]) == ["unclear"] * 2
    assert carl["reason"].str.startswith("2 series of 2 examinations of this phase: carl/1 (venous) and carl/2").all()
    assert table.loc["stray.dcm", "reason"] == "an outline whose scan is not here"
    assert table.loc["broken.zip", "reason"].startswith("the archive can not be unpacked")


def test_a_plan_as_text_names_what_is_open(tmp_path: Path) -> None:
    write_tree(tmp_path / "export")
    rules = read_rules()
    text = as_text(decided(survey(tmp_path / "export", rules), rules))
    assert "dora.zip" in text.split("Not clear")[1]
    assert "a zip archive: unzip it" in text
    assert text.endswith("4 subjects; series: 3 to convert, 5 unclear, 2 left out.")


@pytest.mark.parametrize(
    ("named", "region"),
    [(("Leber", "Läsion"), "Läsion"), (("foie", "lésion"), "lésion"), (("Leber", "Raumforderung"), "Raumforderung"),
     (("Milz", "Metastase 1"), "Metastase 1"), (("Lunge", "Karzinom"), "Karzinom")],
)  # fmt: skip
def test_regions_are_told_in_german_and_french(named: tuple[str, ...], region: str, tmp_path: Path) -> None:
    uid = scan(tmp_path / "ct", "A", "Abdomen spätvenös" if named[0] == "Leber" else "Thorax nativ")
    outline(tmp_path / "rs.dcm", "A", uid, named)
    table = planned(tmp_path)
    assert table["region"].item() == region


def test_an_archive_may_be_given_itself(tmp_path: Path) -> None:
    write_tree(tmp_path / "export")
    found = planned(tmp_path / "export" / "dora.zip", tmp_path / "unpacked")
    assert list(found["subject"]) == ["Dora"]


def test_the_outlined_series_of_a_phase_is_taken(tmp_path: Path) -> None:
    thick, thin = (scan(tmp_path / "x" / name, "A", f"venous {name}") for name in ("5.0", "1.0"))
    outline(tmp_path / "x" / "rs.dcm", "A", thin, ("Mass", "Liver lesion"))
    table = planned(tmp_path / "x").set_index("series")
    assert table.loc[thick, ["step", "reason"]].tolist() == [
        "left out",
        "another series of this phase has the outline",
    ] or (table.loc[thin, "step"] == "unclear")
    assert table.loc[thin, ["step", "reason"]].tolist() == [
        "unclear", "2 regions, and the rules do not tell which: Mass, Liver lesion"
    ]  # fmt: skip
    rules = tmp_path / "rules.yaml"
    rules.write_text("regions: [^mass]\nphases: {late: [venous]}\n", encoding="utf-8")
    table = planned(tmp_path / "x", rules=rules).set_index("series")
    assert table.loc[thin, ["phase", "region", "step"]].tolist() == ["late", "Mass", "convert"]
    assert table.loc[thick, ["step", "reason"]].tolist() == ["left out", "another series of this phase has the outline"]


def test_a_description_of_two_phases_or_none_is_not_guessed(tmp_path: Path) -> None:
    both = scan(tmp_path / "x" / "a", "A", "arterial + venous")
    none = scan(tmp_path / "x" / "b", "A", "Abd 1.0")
    known = scan(tmp_path / "x" / "c", "A", "late arterial")
    table = planned(tmp_path / "x").set_index("series")
    assert table.loc[both, "reason"] == "its description fits the phases arterial and venous"
    assert table.loc[none, "reason"] == "its description names no phase, that of another series does"
    assert table.loc[known, ["phase", "step"]].tolist() == ["arterial", "convert"]


def test_a_series_that_makes_no_volume_says_why_before_it_is_converted(tmp_path: Path) -> None:
    write_ct(tmp_path / "x", 6)
    (tmp_path / "x" / "slice_003.dcm").unlink()
    assert planned(tmp_path / "x")["reason"].item() == "1 missing slice between 11 and 17 mm"


def test_copies_are_read_once_and_series_of_two_patients_refused(tmp_path: Path) -> None:
    uid = scan(tmp_path / "a", "A", "CT")
    shutil.copytree(tmp_path / "a", tmp_path / "copy of a")
    write_ct(tmp_path / "b", edit=lambda data, k: setattr(data, "PatientID", "B"), series=uid)
    table = planned(tmp_path).set_index("folder")
    assert table.loc["a", "slices"] == 6 + 6
    assert table.loc["a", "reason"] == "one series of 2 patients: A and B"
    shutil.rmtree(tmp_path / "b")
    table = planned(tmp_path).set_index("folder")
    assert (table.loc["a", "slices"], table.loc["a", "step"]) == (6, "convert")


def test_what_can_not_be_read_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(tmp_path / "a", "A", "CT")
    (tmp_path / "a" / "zero.dcm").write_bytes(b"")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"no matter")
    (tmp_path / "more.7z").write_bytes(b"7z")
    walk = os.walk

    def closed(root: Path, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "closed")))
        yield from walk(root)

    monkeypatch.setattr(os, "walk", closed)
    table = planned(tmp_path).set_index("folder")
    assert "1 file can not be read as DICOM, such as zero.dcm" in table.loc["a", "reason"].tolist()
    assert table.loc["more.7z", "reason"] == "an archive of another kind than zip: unpack it"
    assert table.loc["closed", "reason"] == "the folder can not be opened: Permission denied"
    assert len(table) == 4


def test_patients_of_one_id_are_told_by_their_folders(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        scan(tmp_path / "x" / name, "ANON", "CT")
    assert set(planned(tmp_path / "x")["step"]) == {"unclear"}
    rules = tmp_path / "rules.yaml"
    rules.write_text("subject: folder\n", encoding="utf-8")
    table = planned(tmp_path / "x", rules=rules)
    assert table[["subject", "step"]].to_numpy().tolist() == [["p1", "convert"], ["p2", "convert"]]


def test_files_without_id_or_folder_have_a_plain_name(tmp_path: Path) -> None:
    scan(tmp_path / "x", "", "CT")
    scan(tmp_path / "y" / "clara" / "ct", "", "CT")
    assert planned(tmp_path / "x")["subject"].item() == "unnamed"
    assert planned(tmp_path / "y")["subject"].item() == "clara"


def test_wrong_rules_are_named_all_at_once(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("regionz: [a]\nskip: scout\nphases: {venous: ['(']}\nsubject: name\n", encoding="utf-8")
    with pytest.raises(InputError) as raised:
        read_rules(rules)
    text = str(raised.value)
    assert len(raised.value.problems) == 4
    assert "did you mean" in text.casefold()
    for part in ("regionz", "a list of patterns", "no regular expression", "id or folder"):
        assert part in text
    with pytest.raises(InputError, match="no such folder"):
        survey(tmp_path / "nowhere", read_rules())


def test_real_sarcomas_are_read_from_their_archives(shared: Path, tmp_path: Path) -> None:
    table = planned(shared / "real" / "sts_ct_dicom_rtstruct", tmp_path / "unpacked")
    assert list(table["subject"]) == ["STS_008", "STS_019", "STS_042"]
    assert set(table["step"]) == {"convert"}
    assert set(table["region"]) == {"GTV_Mass_CT"}
    assert list(table["slices"]) == [51, 47, 49]


def test_three_slices_with_segments_are_no_scout(shared: Path) -> None:
    table = planned(shared / "real" / "dcmqi_ct_seg")
    assert table["reason"].item().startswith("6 regions, and the rules do not tell which: Liver, GREEN, ")
    assert table["regions"].item().split(", ")[0] == "Liver"

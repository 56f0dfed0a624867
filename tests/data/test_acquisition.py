"""How scans were made: rows of settings, and the same beside what a paper prints."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from radsupport.data.acquisition import acquisition, scan_settings
from radsupport.data.clinical import read_clinical
from radsupport.data.cohort_tables import INVENTED, CohortTables
from radsupport.data.synthetic_patients import draw_subjects
from radsupport.errors import StudyError
from radsupport.settings.study import Study
from radsupport.study import load_study


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


def tags(**values: list[object]) -> pd.DataFrame:
    """Rows as DICOM tags give them: one per scan, three scans per hospital in the arterial phase."""
    places = pd.DataFrame({"phase": "arterial", "center": ["hospital_1"] * 3 + ["hospital_2"] * 3})
    return pd.concat([places.assign(setting=name, value=given) for name, given in values.items()], ignore_index=True)


def test_rows_of_tags_fill_the_columns_of_the_printed_protocol(song: Study) -> None:
    rows = tags(**{"tube voltage (kVp)": [120, 120, 140, 100, 100, 100], "scanner": ["B", "A", "A", "C", "C", "C"]})
    table = acquisition(song, rows).query("phase in ('arterial', 'all')").set_index(["setting", "center"])
    voltage = table.loc["tube voltage (kVp)"]
    assert voltage.loc["hospital_1", ["here", "printed"]].tolist() == ["120 (120–140)", "120"]
    assert voltage.loc["hospital_2", ["here", "printed"]].tolist() == ["100", "100–140"]
    assert table.loc[("scanner", "hospital_1"), "here"] == "A; B"


def test_what_is_the_same_everywhere_is_one_row_and_what_differs_by_phase_two(song: Study) -> None:
    table = acquisition(song, tags(**{"pixel (mm)": [1.0] * 6}))
    agent = table[table["setting"] == "contrast agent"]
    assert agent[["center", "phase", "here"]].to_numpy().tolist() == [["all", "all", "not simulated"]]
    delay = table[table["setting"] == "delay after injection (s)"].set_index("phase")["printed"]
    assert delay.index.tolist() == list(song.phases)
    assert delay["venous"].startswith("65;")
    assert delay["unenhanced"] == "not printed"
    assert set(table.loc[table["setting"] == "pixel (mm)", "printed"]) == {"not printed"}


def test_the_generator_says_what_it_sets_and_scans_what_they_are(song: Study) -> None:
    cases = pd.DataFrame({"phase": "arterial", "center": "hospital_1", "spacing_z_mm": [1.5, 1.5], "noise_hu": [9, 11]})
    rows = scan_settings(song, cases.assign(spacing_x_mm=1.0))
    own = rows[(rows["center"] == "hospital_2") & (rows["phase"] == "venous")].set_index("setting")["value"]
    scanner = song.synthetic.centers["hospital_2"].scanner
    assert own["slice thickness (mm)"] == scanner.thickness_mm
    assert f"SD {scanner.kernel_mm:g} mm" in own["reconstruction kernel"]
    assert f"aorta {song.synthetic.anatomy.aorta['venous']:g}" in own["contrast (mean HU)"]
    table = acquisition(song, rows).set_index(["setting", "center", "phase"])["here"]
    assert table["noise (HU)", "hospital_1", "arterial"] == "10 (9–11)"


def test_a_printed_setting_of_an_unknown_place_is_refused(root: Path) -> None:
    changed = {"acquisition": {"settings": {"pitch": {"hospital_3": "1"}}}}
    with pytest.raises(StudyError, match="hospital_3"):
        load_study("song2021", folder=root / "studies", overrides=changed)


def test_advice_for_a_part_that_there_is_not_is_refused(root: Path) -> None:
    changed = {"validation": {"subgroups": [{"column": "size_class", "advice": {"<=3 cm": {"low": "wait"}}}]}}
    with pytest.raises(StudyError, match="<=3 cm"):
        load_study("gu2023", folder=root / "studies", overrides=changed)
    (subgroup,) = load_study("gu2023", folder=root / "studies").validation.subgroups
    assert subgroup.by_side["<=2 cm", "high"] == "operation with lymph nodes"
    assert len(subgroup.by_side) == 4


@pytest.mark.parametrize("name", ["song2021", "yang2023", "gu2023", "cui2022"])
def test_the_flow_of_a_synthetic_study_says_that_its_numbers_are_invented(root: Path, name: str) -> None:
    study = load_study(name, folder=root / "studies")
    cohort = pd.DataFrame({"subject": ["a", "b"], "center": "x", "cohort": "train", study.endpoint.event: [0, 1]})
    left = pd.DataFrame({"subject": ["c"], "center": "x", "reason": "no scan"})
    assert CohortTables(study, cohort, left).flow()["excluded"].iloc[0].splitlines() == ["no scan: 1", INVENTED]
    assert study.acquisition.settings


def test_what_is_printed_of_patients_stands_beside_this_build(root: Path) -> None:
    table = CohortTables(load_study("yang2023", folder=root / "studies"), pd.DataFrame(), pd.DataFrame()).reported()
    known = table.set_index("what")["printed"]
    assert known["A month"] == "30 days"
    assert "third" in known["Outlines"]
    assert list(table) == ["what", "printed", "here", "where"]


def test_settings_of_converted_series_are_read_beside_the_images(root: Path, tmp_path: Path) -> None:
    sts = load_study("sts", folder=root / "studies")
    lines = [f"sts,S{n},McGill,ct,image,images/S{n}.nii.gz" for n in (1, 2, 3)]
    text = "\n".join(["study,subject,center,phase,role,path", *lines]) + "\n"
    (tmp_path / "data_manifest.csv").write_text(text, encoding="utf-8")
    (tmp_path / "images").mkdir()
    for n in (1, 2, 3):
        (tmp_path / "images" / f"S{n}.nii.gz").touch()
    cases = pd.DataFrame({"subject": ["S1", "S2"], "phase": "ct", "center": "McGill", "spacing_z_mm": [3.0, 5.0]})
    cases = cases.assign(spacing_x_mm=1.0, noise_hu=10.0)
    nothing = acquisition(sts, scan_settings(sts, cases, tmp_path)).set_index("setting")["here"]
    assert nothing["scanner, tube, kernel and contrast"] == "not in the files: images without DICOM tags"
    head = "subject,phase,model,kvp,delay_s"
    rows = ["S1,ct,GE,120,", "S2,ct,GE,140,", "S3,ct,Siemens,80,"]  # the third is not in the cohort
    (tmp_path / "images" / "acquisition.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    table = acquisition(sts, scan_settings(sts, cases, tmp_path))
    assert "printed" not in table
    here = table.set_index("setting")["here"].to_dict()
    assert here["tube voltage (kVp)"] == "130 (120–140)"
    assert here["scanner"] == "GE"
    assert here["slice interval (mm)"] == "4 (3–5)"
    assert "delay after injection (s)" not in here


def test_the_profile_paper_of_yang2023_draws_scans_and_tumours_as_printed(root: Path) -> None:
    study = load_study("yang2023", "paper", folder=root / "studies")
    drawn = draw_subjects(study.synthetic, study.seed)["long_diameter"]
    assert drawn.mean() == pytest.approx(47.8, rel=0.1)  # of 76, 32 and 54 patients: 44.80, 44.57 and 53.97
    assert drawn.std() == pytest.approx(27.9, rel=0.15)
    assert {center.scanner.thickness_mm for center in study.synthetic.centers.values()} == {5.0}
    assert study.synthetic.anatomy.field_mm >= study.deep.box_mm
    assert study.endpoint.survival.days_per_month == 30


def test_grades_and_recurrence_of_gu2023_are_columns_of_one_sheet(root: Path, tmp_path: Path) -> None:
    study = load_study("gu2023", folder=root / "studies")
    drawn = draw_subjects(study.synthetic, study.seed)
    counts = pd.crosstab(drawn["split"].where(drawn["split"] != "", "external"), drawn["who"])
    assert counts.loc["train"].tolist() == [46, 84, 12]
    assert counts.loc["internal"].tolist() == [27, 58, 9]
    assert counts.loc["external"].tolist() == [29, 43, 12]
    sheet = drawn.rename(columns={"split": "cohort"})
    sheet["cohort"] = sheet["cohort"].replace("", "external")
    sheet.astype({"event": int}).to_csv(tmp_path / "clinical.csv", index=False)
    typed = read_clinical(study, tmp_path / "clinical.csv")
    assert (typed["grade"] == "G3").equals(typed["who"] == "G3")
    assert (typed["recurrence"] == "yes").astype(float).equals(typed["event"])

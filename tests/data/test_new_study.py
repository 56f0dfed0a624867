"""A first study file from own tables loads as it is, and says what a person has to decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.cli import main
from radsupport.data.clinical import read_clinical
from radsupport.data.open import read_feature_study
from radsupport.errors import InputError
from radsupport.study import load_study


@pytest.fixture
def project(root: Path, tmp_path: Path) -> Path:
    """A project with scans of 40 patients from two hospitals, and nothing but their tables."""
    (tmp_path / "studies").mkdir()
    for name in ("sts", "lung1"):
        text = (root / "studies" / f"{name}.yaml").read_text(encoding="utf-8")
        (tmp_path / "studies" / f"{name}.yaml").write_text(text, encoding="utf-8")
    own = tmp_path / "own" / "mine"
    own.mkdir(parents=True)
    rows = ["study,subject,center,phase,role,path"]
    for i in range(40):
        center = "North" if i < 25 else "South Clinic"
        rows += [f"mine,P{i:03d},{center},venous,{role},images/P{i:03d}_{role}.nii.gz" for role in ("image", "mask")]
    (own / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    lines = ["ID;Age (years);Sex;Stage;Relapse;OS months;Status;Surname"]
    for i in range(40):
        age = "NA" if i == 3 else f"{rng.normal(60, 9):.1f}".replace(".", ",")
        lines.append(
            f"P{i:03d};{age};{'FM'[i % 2]};{['I', 'II', 'III'][i % 3]};{['no', 'yes'][i % 4 == 0]};"
            f"{rng.exponential(30):.1f};{int(rng.random() < 0.4)};Name{i}".replace(".", ",")
        )
    (own / "clinical.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("like", ["sts", "lung1"])
def test_the_file_loads_and_names_what_the_tables_hold(project: Path, like: str) -> None:
    own = project / "own" / "mine"
    call = ["--root", str(project), "new", "mine", "--like", like, "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 0
    study = load_study("mine", folder=project / "studies")
    assert study.data.subject == "ID"
    path = project / "studies" / "mine.yaml"
    asked = (
        path.read_text(encoding="utf-8").replace("# author:", "author:").replace('#   ethics: ""', '    ethics: "7"')
    )
    bare = asked.replace('    ethics: "7"', "#")
    for text in (bare, asked):  # the way its comment says; a heading without an answer is none
        path.write_text(text, encoding="utf-8")
        assert load_study("mine", folder=project / "studies").author.ethics == ("7" if text is asked else "")
    survival, label = study.endpoint.survival, study.endpoint.label
    assert survival is not None
    assert label is not None
    assert (survival.time, survival.event, survival.unit) == ("OS months", "Status", "months")
    assert (label.column, label.recode) == ("Relapse", {"no": 0, "yes": 1})
    assert {key: column.kind for key, column in study.columns.items()} == {
        "age_years": "number", "sex": "category", "stage": "category",
    }  # fmt: skip
    assert study.columns["stage"].levels == ["I", "II", "III"]
    assert {key: cohort.centers for key, cohort in study.cohorts.items()} == {
        "train": ["North"], "external": ["South Clinic"],
    }  # fmt: skip
    assert list(study.phases) == ["venous"]
    text = (project / "studies" / "mine.yaml").read_text(encoding="utf-8")
    assert "Surname" in text
    assert "Name3" not in text, "nobody's name is copied"
    assert text.count("decide: ") > 10
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 1, "it never overwrites"


GERMAN = """Pat.-Nr.;Name;Geb.-Datum;Standort;Größe (cm);CA 19-9;Diabetes;OP-Datum;Rezidiv;Follow-up (Tage);Bemerkung
{rows}
"""


def test_a_german_clinics_table_is_guessed_right(project: Path) -> None:
    own = project / "own" / "mine"
    rng = np.random.default_rng(0)
    rows = [
        f"P{i:03d};Name{i};{i % 27 + 1:02d}.03.1950;{'North' if i < 25 else 'South Clinic'};{rng.uniform(1, 7):.1f};"
        f"{['unbekannt', '<0.6'][i] if i < 2 else f'{rng.uniform(1, 90):.1f}'};{['ja', 'nein', 'n/a'][i % 3]};"
        f"{i % 27 + 1:02d}.11.2019;{['ja', 'nein'][i % 2]};{rng.integers(90, 900)};s. Brief".replace(".", ",")
        .replace(",03,", ".03.").replace(",11,", ".11.")
        for i in range(40)
    ]  # fmt: skip
    (own / "clinical.csv").write_text(GERMAN.format(rows="\n".join(rows)), encoding="utf-8")
    with (own / "manifest.csv").open("a", encoding="utf-8") as manifest:
        manifest.write("mine,P000,North,arterial,image,a.nii.gz\nmine,P000,North,arterial,mask,b.nii.gz\n")
    call = ["--root", str(project), "new", "mine", "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 0
    study = load_study("mine", folder=project / "studies")
    survival = study.endpoint.survival
    assert survival is not None
    assert (survival.time, survival.event, survival.unit) == ("Follow-up (Tage)", "Rezidiv", "days")
    assert (survival.event_values, survival.censored_values) == (["ja"], ["nein"]), "yes is the event in any language"
    assert (survival.name, survival.event_name) == ("Rezidiv-free survival", "Rezidiv")
    assert list(study.columns) == ["groesse_cm", "ca_19_9", "diabetes"]
    assert (study.columns["groesse_cm"].label, study.columns["groesse_cm"].unit) == ("Größe", "cm")
    assert study.columns["diabetes"].levels == ["nein", "ja"]
    assert {"unbekannt", "n/a"} <= set(study.data.missing_values)
    assert list(study.phases) == ["venous"], "a phase that most subjects lack is not asked of everybody"
    assert "39 of 40 subjects lack this phase" in (project / "studies" / "mine.yaml").read_text(encoding="utf-8")
    assert (study.validation.threshold, study.survival.threshold, study.nomogram.model) == ("median", "median", "cox")
    text = (project / "studies" / "mine.yaml").read_text(encoding="utf-8")
    for line in ("# arterial:", "# Standort: left out (the center)", "# Geb.-Datum: left out (dates)", "also '<0,6'"):
        assert line in text
    assert "default:" not in text, "what another study's file says of its patients is not copied"


def test_tables_of_features_begin_a_study_too(root: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    made = pd.DataFrame({"Patient": [f"{i:04d}" for i in range(30)]})
    made["original_firstorder_Mean"], made["wavelet-LLH_glcm_Idm"] = rng.normal(size=(2, 30))
    for center, rows in (("North", made.head(20)), ("South", made.tail(10))):
        rows.to_csv(project / f"{center}.csv", index=False)
    clinic = made[["Patient"]].assign(Age=rng.normal(60, 9, 30).round(1), OS_days=rng.integers(30, 900, 30))
    clinic["Status"] = np.where(rng.random(30) < 0.5, "dead", "alive")
    with pd.ExcelWriter(project / "clinic.xlsx") as book:
        pd.DataFrame(["Cover"]).to_excel(book, sheet_name="Cover", index=False, header=False)
        pd.DataFrame(["A title"]).to_excel(book, sheet_name="Data", index=False, header=False)
        clinic.to_excel(book, sheet_name="Data", index=False, startrow=2)
    call = ["--root", str(project), "new", "mine", "--like", "lung1"]
    tables = ["--features", str(project / "North.csv"), str(project / "South.csv")]
    assert main([*call, *tables, "--clinical", str(project / "clinic.xlsx")]) == 0
    study = load_study("mine", folder=project / "studies")
    assert {key: one.centers for key, one in study.cohorts.items()} == {"train": ["North"], "external": ["South"]}
    assert study.endpoint.survival is not None
    assert (study.endpoint.survival.event_values, study.endpoint.survival.unit) == (["dead"], "days")
    assert (study.data.entry, study.data.subject, list(study.columns)) == ("features", "Patient", ["age"])
    read = read_feature_study(study, project)
    assert len(read.cohort) == 30
    assert read.features["radiomics"].shape == (30, 3)
    capsys.readouterr()
    (project / "studies" / "mine.yaml").unlink()
    alone = ["--features", str(project / "North.csv"), "--clinical", str(project / "clinic.xlsx")]
    assert main([*call[:2], "new", "solo", "--like", "lung1", *alone]) == 0
    assert load_study("solo", folder=project / "studies").cohorts["train"].centers == ["solo"]
    assert main([*call, *tables, "--clinical", str(project / "clinic.xlsx"), "--id-column", "Age"]) == 1
    assert "no column of both tables holds the same names" in capsys.readouterr().err
    assert main([*call, "--manifest", str(project / "North.csv"), "--clinical", str(project / "clinic.xlsx")]) == 1
    assert "a table of features is given by --features" in capsys.readouterr().err


@pytest.mark.parametrize(
    "like", ["song2021", "gu2023", "yang2023", "cui2022", "hosny2018", "worc_gist", "hcc_tace_seg"]
)
def test_any_study_can_be_the_pattern(root: Path, project: Path, like: str) -> None:
    (project / "studies" / f"{like}.yaml").write_bytes((root / "studies" / f"{like}.yaml").read_bytes())
    own = project / "own" / "mine"
    call = ["--root", str(project), "new", "mine", "--like", like, "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 0
    study = load_study("mine", folder=project / "studies")
    assert study.radiomics is not None, "scans are measured, also where the pattern starts from tables"
    assert study.radiomics.icc_threshold is None
    assert study.modelling.harmonisation is None


def test_feature_tables_may_be_followed_between_two_dates(project: Path) -> None:
    made = pd.DataFrame({"Patient": [f"{i:04d}" for i in range(30)], "original_mean": np.arange(30) * 1.5})
    made.to_csv(project / "North.csv", index=False)
    clinic = made[["Patient"]].assign(diagnosed="02.03.2015", died_or_seen=[f"{i % 28 + 1}.6.2016" for i in range(30)])
    clinic.assign(Status=["dead", "alive"] * 15).to_csv(project / "clinic.csv", index=False)
    call = ["--root", str(project), "new", "mine", "--like", "lung1", "--features", str(project / "North.csv")]
    assert main([*call, "--clinical", str(project / "clinic.csv")]) == 0
    cohort = read_feature_study(load_study("mine", folder=project / "studies"), project).cohort
    days = [(pd.Timestamp(2016, 6, i % 28 + 1) - pd.Timestamp(2015, 3, 2)).days for i in range(30)]
    np.testing.assert_allclose(cohort["time"], np.array(days) / 30.4375)
    apart = made.assign(diagnosed="2015-03-02")  # the start among the features, the end in the clinical table
    apart.to_csv(project / "own" / "mine" / "North.csv", index=False)
    clinic.assign(Status=["dead", "alive"] * 15).drop(columns="diagnosed").to_csv(project / "clinic.csv", index=False)
    cohort = read_feature_study(load_study("mine", folder=project / "studies"), project).cohort
    np.testing.assert_allclose(cohort["time"], np.array(days) / 30.4375)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y"])
def test_two_dates_are_proposed_where_no_column_is_a_time(project: Path, form: str) -> None:
    own = project / "own" / "mine"
    table = pd.read_csv(own / "clinical.csv", sep=";", dtype=str).drop(columns=["OS months", "Relapse"])
    start = pd.to_datetime("2015-01-20") + pd.to_timedelta(np.arange(40) * 11, unit="D")
    followed = pd.to_timedelta(np.arange(40) * 30 + 5, unit="D")
    table["Born"], table["Last contact"] = "1950-01-01", (start + followed).strftime(form)
    table["OP-Datum"] = start.strftime(form)
    table["Relapsed on"] = np.where(np.arange(40) % 3 == 0, (start + followed).strftime(form), "")
    table.to_csv(own / "clinical.csv", index=False)
    call = ["--root", str(project), "new", "mine", "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 0
    study = load_study("mine", folder=project / "studies")
    survival = study.endpoint.survival
    assert survival is not None
    assert survival.dates is not None
    assert (survival.dates.start, survival.dates.end, survival.event) == ("OP-Datum", "Last contact", "Status")
    assert survival.horizons_months == [12, 24]
    typed = read_clinical(study, own / "clinical.csv")
    np.testing.assert_allclose(typed["time"], (np.arange(40) * 30 + 5) / 30.4375)


def test_subjects_without_a_row_in_the_clinical_table_are_counted_and_not_named(project: Path) -> None:
    own = project / "own" / "mine"
    lines = (own / "clinical.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (own / "clinical.csv").write_text("".join(lines[:-2]), encoding="utf-8")
    call = ["--root", str(project), "new", "mine", "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "clinical.csv")]) == 0
    text = (project / "studies" / "mine.yaml").read_text(encoding="utf-8")
    assert "2 of 40 subjects have no row in the clinical table" in text
    assert "P039" not in text
    assert load_study("mine", folder=project / "studies").data.subject == "ID"


def test_what_is_not_given_is_asked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = project / "own" / "mine"
    answers = iter([str(own / "manifest.csv"), str(own / "clinical.csv")])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert main(["--root", str(project), "new", "mine"]) == 0
    assert load_study("mine", folder=project / "studies").data.clinical == "clinical.csv"


def test_tables_that_do_not_fit_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = project / "own" / "mine"
    (own / "other.csv").write_text("ID,label\nX1,0\nX2,1\n", encoding="utf-8")
    call = ["--root", str(project), "new", "mine", "--manifest", str(own / "manifest.csv")]
    assert main([*call, "--clinical", str(own / "other.csv")]) == 1
    assert "no column names a subject of the manifest" in capsys.readouterr().err
    assert main([*call[:4], "--like", "nothing"]) == 1
    assert "one of lung1, sts" in capsys.readouterr().err
    assert not (project / "studies" / "mine.yaml").exists()
    assert issubclass(InputError, ValueError)

"""Reading study files: every problem at once, with the nearest valid key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import StudyError
from radsupport.learning.learners import learner
from radsupport.radiomics.case import feature_names
from radsupport.radiomics.settings import load_settings
from radsupport.settings.parts import COHORT_KEY, Endpoint
from radsupport.settings.study import Publish, Study
from radsupport.study import center_names, load_study, merge, study_ids

ONE_LEVEL = {"source": "clinical", "kind": "category", "label": "Sex", "levels": ["F"]}
MINIMAL: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real"},
    "endpoint": {"primary": "label", "label": {"column": "y", "name": "l", "positive": "p", "negative": "n"}},
    "cohorts": {"train": {"name": "A", "centers": ["A"]}},
    "phases": {"venous": {"name": "v", "short": "V", "window": {"level": 40, "width": 400}}},
    "columns": {"age": {"source": "clinical", "kind": "number", "label": "Age"}},
    "signatures": [{"name": "Radiomics", "sources": ["radiomics"], "phases": ["venous"]}],
}


def load(folder: Path, **changes: Any) -> Study:
    (folder / "mine.yaml").write_text(yaml.safe_dump(merge(MINIMAL, changes)), encoding="utf-8")
    return load_study("mine", folder=folder)


def problems(folder: Path, **changes: Any) -> str:
    with pytest.raises(StudyError) as caught:
        load(folder, **changes)
    return str(caught.value)


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    study = load(tmp_path)
    assert study.modelling.folds == 10
    assert study.signature("Radiomics").learner == "SVM"
    assert not study.is_synthetic


FOLLOWED = {"time": "t", "event": "e", "name": "recurrence-free survival"}


def test_without_a_label_the_defaults_need_none(tmp_path: Path) -> None:
    timed = {"primary": "survival", "label": None, "survival": FOLLOWED}
    study = load(tmp_path, endpoint=timed)
    assert (study.validation.threshold, study.survival.threshold, study.nomogram.model) == ("median", "median", "cox")
    assert load(tmp_path).survival.threshold == "youden"
    assert load(tmp_path, endpoint=timed, survival={"threshold": "max_logrank"}).survival.threshold == "max_logrank"
    text = problems(tmp_path, endpoint=timed, survival={"threshold": "youden"})
    assert "column survival.threshold, value youden] Youden's index needs a yes/no outcome" in text


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ({"competing_values": ["1"]}, "'1' stands in `event_values` and `competing_values`"),
        ({"competing_values": ["0.0"]}, "'0' stands in `censored_values` and `competing_values`"),
        ({"event_values": ["D"], "censored_values": ["A", "D"]}, "'D' stands in `event_values` and `censored_values`"),
    ],
)
def test_a_status_code_of_two_lists_is_refused(tmp_path: Path, codes: dict[str, Any], said: str) -> None:
    assert said in problems(tmp_path, endpoint={"survival": FOLLOWED | codes})


def test_codes_that_mean_nothing_are_named(tmp_path: Path) -> None:
    survival = FOLLOWED | {"competing_values": ["2", "NA"]}
    columns = {"competing": {"source": "clinical", "kind": "number", "label": "C"}}
    text = problems(tmp_path, endpoint={"survival": survival}, columns=columns)
    assert "column endpoint.survival.competing_values, value NA] this status code is read as a missing value" in text
    assert "column columns.competing] a column called as the table of the cohort calls" in text


def test_a_generator_draws_no_competing_event_that_no_code_means(root: Path) -> None:
    with pytest.raises(StudyError, match="competing events are drawn, but no code means one"):
        load_study("song2021", folder=root / "studies", overrides={"synthetic": {"competing_share": 0.2}})


def test_all_problems_are_listed_at_once_with_the_nearest_key(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        sead=3,
        modelling={"fold": 5, "repeats": 0},
        validation={"threshold": "yuden"},
        phases={"venous": {"window": {"levl": 40}}},
        deep={"network": "unet", "max_epoch": 3},
        title=None,
    )
    for part in (
        "column sead] unknown key",
        "did you mean `seed`?",
        "column modelling.fold] unknown key",
        "did you mean `folds`?",
        "column modelling.repeats, value 0]",
        "column validation.threshold, value 'yuden']",
        "did you mean `level`?",
        "did you mean `max_epochs`?",
        "column title",
    ):
        assert part in text, part


def test_missing_keys_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("id: mine\n", encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_study("mine", folder=tmp_path)
    missing = {problem.column for problem in caught.value.problems}
    assert missing == {"title", "question", "seed", "data", "endpoint", "cohorts", "signatures"}
    assert all(problem.remedy == "add it" for problem in caught.value.problems)


def test_two_choices_never_share_a_table(tmp_path: Path) -> None:
    choices = [
        ("roi", "rough box", {"roi": "rough"}),
        ("roi", "Rough-box", {"enlarge_mm": 3}),
        ("roi rough", "box", {}),
    ]
    compare = [{"group": group, "name": name, "set": changed} for group, name, changed in choices]
    text = problems(tmp_path, radiomics={"settings": "song2021.yaml", "compare": compare})
    assert "value roi, Rough-box] its table would have the file of `roi, rough box`" in text
    assert "value roi rough, box] its table would have the file of" in text


def test_contradictions_between_sections_are_all_named(tmp_path: Path) -> None:
    text = problems(
        tmp_path,
        cohorts={"train": {"name": "A", "centers": ["A"]}},
        signatures=[
            {"name": "R", "sources": ["radiomics"], "phases": ["arterial"]},
            {"name": "R", "columns": ["agee"]},
            {"name": "C", "combines": ["R", "X"]},
        ],
        nomogram={"signature": "Z", "columns": ["sex"]},
        validation={"best": "Y"},
    )
    for part in ("two signatures of one name", "value arterial] unknown phase", "value agee] unknown column"):
        assert part in text
    for part in (
        "value X] unknown signature",
        "value Y] unknown signature",
        "value Z] unknown signature",
        "value sex]",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"endpoint": {"primary": "survival"}}, "needs a section `survival:`"),
        ({"columns": {"sex": ONE_LEVEL}}, "two or more"),
        ({"signatures": [{"name": "nothing"}]}, "needs `sources:`, `columns:` or `combines:`"),
        ({"data": {"kind": "synthetic"}}, "synthetic data without a generator"),
        ({"cohorts": {"train": {"name": "A", "centers": ["A"], "share": 2}}}, "cohorts.train.share"),
        ({"id": "My Study"}, "column id"),
    ],
)  # fmt: skip
def test_each_rule(tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    assert part in problems(tmp_path, **changes)


def test_profiles_override_and_do_not_leak(tmp_path: Path) -> None:
    profiles = {"profiles": {"paper": {"modelling": {"folds": 5}}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(MINIMAL | profiles), encoding="utf-8")
    assert load_study("mine", "demo", tmp_path).modelling.folds == 10
    assert load_study("mine", "paper", tmp_path).modelling.folds == 5
    with pytest.raises(StudyError, match="demo or paper"):
        load_study("mine", "fast", tmp_path)


def test_files_that_are_no_study(tmp_path: Path) -> None:
    load(tmp_path)
    with pytest.raises(StudyError, match="did you mean 'mine'"):
        load_study("mime", folder=tmp_path)
    (tmp_path / "mine.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(StudyError, match="not valid YAML"):
        load_study("mine", folder=tmp_path)
    (tmp_path / "mine.yaml").write_text("- a", encoding="utf-8")
    with pytest.raises(StudyError, match="no mapping"):
        load_study("mine", folder=tmp_path)


nested = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
mappings = st.dictionaries(st.sampled_from("abc"), nested, max_size=3)


@settings(deadline=None)
@given(mappings, mappings)
def test_merging_changes_neither_side_and_is_idempotent(base: dict[str, Any], override: dict[str, Any]) -> None:
    kept, put = repr(base), repr(override)
    once = merge(base, override)
    assert merge(once, override) == once
    assert merge(base, {}) == base
    assert (repr(base), repr(override)) == (kept, put)


FOLDER = Path(__file__).resolve().parents[1] / "studies"
#: Not what somebody added here for own data: that has a manifest of its own, and no public collection.
SHIPPED = [
    name for name in study_ids(FOLDER)
    if "\n  manifest:" not in (text := (FOLDER / f"{name}.yaml").read_text("utf-8")) or "\n  collection:" in text
]  # fmt: skip


@pytest.mark.parametrize("profile", ["demo", "paper"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_study_loads_and_names_known_learners(name: str, profile: str, root: Path) -> None:
    study = load_study(name, profile, root / "studies")
    assert study.id == name
    assert all(COHORT_KEY.fullmatch(key) for key in study.cohorts)
    for used in {signature.learner for signature in study.signatures} | set(study.modelling.compare_learners):
        learner(used, grid=study.modelling.grid)
    assert study.is_synthetic or study.data.licence
    assert study.cautions


def test_formulas_are_checked_before_anything_is_computed(tmp_path: Path) -> None:
    columns = {
        "sex": {"source": "clinical", "kind": "category", "label": "Sex", "levels": ["female", "male"]},
        "size": {"source": "clinical", "kind": "number", "label": "Size"},
    }
    text = problems(
        tmp_path,
        columns=columns,
        survival={"covariates": ["bs(age, df=3)", "log(agee)", "lgo(age)", "bs(sex, df=3)", "factor(sex, ref='mal')"]},
        nomogram={"columns": ["__import__('os')", "age*sex", "I(age * size)"]},
    )
    for part in (
        "column survival.covariates, value agee] unknown column Remedy: did you mean `age`?",
        "value lgo] unknown function in `lgo(age)`",
        "did you mean `log`?",
        "`sex` is a category, and `bs` needs numbers",
        "value mal] unknown level",
        "did you mean `male`?",
        "column nomogram.columns, value __import__",
        "age and size are tied together",
    ):
        assert part in text, part
    assert "value bs(age, df=3)]" not in text
    study = load(tmp_path, columns=columns, survival={"covariates": "cr(age, df=3) + log(size)*sex"})
    assert study.survival.covariates == ["cr(age, df=3) + log(size)*sex"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed: 2021", "seed: 2021\nseed: 7", "this key stands twice"),
        ("id: song2021", "id: song", "the id is not the name of the file"),
        ("levels: [F, M]", "levels: [No, Yes]", "put quotes around it"),
        ("minimum: 0, maximum: 110", "minimum: 110, maximum: 0", "`minimum` 110 is above `maximum` 0"),
        ("column: label", "column: label\n    recode: {yes: 1, no: 0}", "put quotes around it"),
        ("column: label", "column: label\n    recode: {'yes': 1, 'no': 1}", "it leads to 1 only"),
        ("\n  external:", "\n  outside:", "or one of several external ones such as external_north"),
        ("\n  external:", "\n  external_x: {name: X, centers: [x]}\n  external:", "has no name of its own"),
    ],
)
def test_a_study_file_that_contradicts_itself_is_refused(old, new, words, root, tmp_path):
    text = (root / "studies" / "song2021.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "song2021.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=re.escape(words)):
        load_study("song2021", folder=tmp_path)


def test_a_study_file_of_windows_is_read_and_another_encoding_named(root, tmp_path):
    text = (root / "studies" / "song2021.yaml").read_text(encoding="utf-8")
    (tmp_path / "song2021.yaml").write_text(text, encoding="utf-8-sig")
    assert load_study("song2021", folder=tmp_path).id == "song2021"
    (tmp_path / "song2021.yaml").write_bytes(text.replace("Recurrence", "Größe").encode("latin-1", "replace"))
    with pytest.raises(StudyError, match="save it as UTF-8"):
        load_study("song2021", folder=tmp_path)


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"modelling": {"folds": 1}}, "modelling.folds"),
        ({"modelling": {"inner_folds": 1}}, "modelling.inner_folds"),
    ],
)
def test_numbers_that_no_chapter_could_use_are_refused_with_the_study_file(
    tmp_path: Path, section: dict[str, Any], where: str
) -> None:
    assert where in problems(tmp_path, **section)


def test_the_effort_of_readers_is_that_of_the_region_of_each_signature() -> None:
    rows = {(row["signature"], row["variant"]): row["seconds"] for row in load_study("song2021").effort}
    assert rows["DLR-A", "as the study has it"] == pytest.approx((11.30 + 9.98) / 2)  # printed: rough quadrilaterals
    assert rows["DLR-A", "accurate outline"] == rows["Radiomics-A", "as the study has it"] == 721.6
    assert not load_study("yang2023").effort


def test_the_effort_of_a_choice_that_is_not_compared_is_refused() -> None:
    with pytest.raises(StudyError, match="which is neither compared nor"):
        load_study("song2021", overrides={"radiomics": {"reader_seconds": {"freehand": [3.0]}}})


def test_the_full_run_of_song_is_as_printed() -> None:
    study = load_study("song2021", "paper")
    assert study.radiomics.windowed
    assert study.deep.sampled_cases == "as_published"
    assert study.synthetic.centers["hospital_1"].scanner.thickness_mm == 0.5
    hospital_2 = study.synthetic.centers["hospital_2"].scanner
    assert (hospital_2.thickness_mm, hospital_2.interval_mm, hospital_2.noise_hu) == (2.0, 1.0, 15)
    assert len(feature_names(load_settings(f"studies/radiomics/{study.radiomics.settings}"))) == 93  # no filters
    assert {one.learner for one in study.signatures} == {"SVM"}


def test_rows_of_patients_leave_the_house_only_where_a_study_file_says_so(root: Path) -> None:
    studies = {name: load_study(name, folder=root / "studies") for name in SHIPPED}
    assert all(study.publishes_patients for study in studies.values())  # synthetic ones, and public ones that say so
    assert {name for name, one in studies.items() if one.publish.patients} == {
        name for name, one in studies.items() if not one.is_synthetic
    }
    own = studies["lung1"].model_copy(update={"publish": Publish()})
    assert not own.publishes_patients


def test_a_center_has_the_name_of_the_cohort_that_it_alone_is(root: Path) -> None:
    named = center_names(load_study("song2021", folder=root / "studies"))
    assert named == {"hospital_1": "Hospital I", "hospital_2": "Hospital II", "segmentation": "segmentation only"}
    shared = center_names(load_study("gu2023", folder=root / "studies"))  # center_1 serves two cohorts
    assert shared == {"center_1": "Center 1", "center_2": "Center 2"}


def test_an_event_has_the_name_of_what_happens_or_else_of_its_endpoint() -> None:
    survival = {"time": "t", "event": "e", "name": "overall survival"}
    named = Endpoint.model_validate({"primary": "survival", "survival": survival | {"event_name": "death"}})
    assert (named.event_name, named.followed) == ("death", "death (overall survival)")
    assert (
        Endpoint.model_validate({"primary": "survival", "survival": survival}).event_name == "event (overall survival)"
    )

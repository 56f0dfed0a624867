"""Who is in which cohort, and who is left out and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.data.cohorts import build_cohort
from radsupport.errors import ClinicalTableError, StudyError
from radsupport.settings.study import Study
from radsupport.study import merge
from radsupport.tables import validate_table

MINIMAL: dict[str, Any] = {
    "id": "mine",
    "title": "t",
    "question": "q",
    "seed": 1,
    "data": {"kind": "real"},
    "endpoint": {
        "primary": "label",
        "label": {"column": "label", "name": "relapse", "positive": "yes", "negative": "no"},
        "survival": {"time": "time", "event": "event", "name": "survival"},
    },
    "cohorts": {"train": {"name": "X", "centers": ["X"]}},
    "signatures": [{"name": "Radiomics", "sources": ["radiomics"]}],
}


def study(**changes: Any) -> Study:
    return Study.model_validate(merge(MINIMAL, changes))


def clinical(n: int, center: str = "X", events: int = 0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": [f"{center}{i:03d}" for i in range(n)],
            "center": center,
            "label": [1.0] * events + [0.0] * (n - events),
            "time": 10.0,
            "event": 0.0,
        }
    )


def test_everybody_is_in_the_cohort_or_left_out_with_a_reason() -> None:
    table = clinical(4)
    table.loc[1, "label"] = np.nan
    table.loc[2, "center"] = "Z"
    files = pd.DataFrame(
        [
            ("X000", "X", "image", "", 2), ("X001", "X", "image", "", 3), ("X002", "Z", "image", "", 4),
            ("X009", "X", "image", "", 5), ("X003", "X", "image", "", 6), ("X003", "X", "mask", "motion", 7),
            ("", "", "clinical", "", 8),
        ],
        columns=["subject", "center", "role", "exclusion", "row"],
    )  # fmt: skip
    more = pd.concat([table, clinical(1, "Y")], ignore_index=True)
    tables = build_cohort(study(), more, files)
    assert tables.cohort["subject"].tolist() == ["X000"]
    assert dict(zip(tables.excluded["subject"], tables.excluded["reason"], strict=True)) == {
        "X001": "no label",
        "X002": "center Z belongs to no cohort",
        "X003": "motion",
        "X009": "not in the clinical table",
        "Y000": "no image in the manifest",
    }
    assert len(validate_table(tables.cohort, "cohort")) == 1


def test_segmentation_cases_need_no_outcome() -> None:
    table = pd.concat(
        [clinical(2), clinical(2, "S").assign(label=np.nan, time=np.nan, event=np.nan)], ignore_index=True
    )
    tables = build_cohort(study(cohorts={"segmentation": {"name": "S", "centers": ["S"]}}), table)
    assert tables.cohort["cohort"].tolist() == ["segmentation"] * 2 + ["train"] * 2
    validate_table(tables.cohort, "cohort")


@settings(max_examples=40, deadline=None)  # pandas is slow on a busy machine
@given(st.integers(4, 120), st.integers(0, 120), st.sampled_from([0.5, 0.7, 0.8]), st.integers(0, 5))
def test_a_random_share_is_exact_stratified_and_fixed_by_the_seed(n: int, events: int, share: float, seed: int) -> None:
    events = min(events, n)
    cohorts = {
        "train": {"name": "a", "centers": ["X"], "share": share},
        "internal": {"name": "b", "centers": ["X"], "share": round(1 - share, 6)},
    }
    split = study(cohorts=cohorts, seed=seed)
    table = clinical(n, events=events)
    one = build_cohort(split, table).cohort
    assert len(one) == n
    for label, size in ((1, events), (0, n - events)):
        assert abs(((one["cohort"] == "train") & (one["label"] == label)).sum() - share * size) <= 0.5
    shuffled = table.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(build_cohort(split, shuffled).cohort, one)


FIXED = {
    "train": {"name": "Development", "centers": ["X"]},
    "internal": {"name": "b", "centers": ["X"]},
    "external": {"name": "c", "centers": ["Y"]},
}


def fixed(split: list[str], centers: list[str], **cohorts: Any) -> list[str]:
    subjects = [f"s{i}" for i in range(len(split))]
    clinical = pd.DataFrame({"subject": subjects, "center": centers, "label": 1.0, "split": split})
    plan = study(data={"cohort": "Set"}, cohorts={**FIXED, **cohorts})
    return build_cohort(plan, clinical).cohort["cohort"].tolist()


def test_a_fixed_split_is_taken_by_key_or_name_and_follows_the_center_where_it_is_empty() -> None:
    assert fixed(["train", "DEVELOPMENT", "b", ""], ["X", "X", "X", "Y"]) == ["train", "train", "internal", "external"]


def test_a_fixed_split_that_contradicts_the_study_is_refused_with_every_subject() -> None:
    with pytest.raises(ClinicalTableError) as caught:
        fixed(["train", "external", "", "tes"], ["Y", "X", "X", "X"])
    assert [p.what.split()[1] for p in caught.value.problems] == ["s0", "s1", "s2", "s3"]
    assert "expected external" in str(caught.value) or caught.value.problems[0].expected == "external"


def test_a_fixed_split_and_a_share_exclude_each_other() -> None:
    with pytest.raises(StudyError, match=r"cohort train has a share"):
        fixed(["train"], ["X"], train={"name": "a", "centers": ["X"], "share": 0.5})


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    cohorts = {"train": {"name": "a", "centers": ["X"], "share": 0.7}, "internal": {"name": "b", "centers": ["X"]}}
    with pytest.raises(StudyError, match=r"shares of center X sum to 1\.7"):
        build_cohort(study(cohorts=cohorts), clinical(3))

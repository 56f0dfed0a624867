"""ICC, kappa, Dice and Bland-Altman limits against psych, pingouin, closed forms and laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pingouin as pg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from radsupport.errors import InputError, MaskError, NotEstimableError
from radsupport.stats.agreement import KINDS, bland_altman, dice, icc, icc_features, kappa

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"
STEMS = sorted(f.stem for f in GOLDEN.glob("icc__*.json"))
PSYCH = dict(zip(KINDS, ("ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"), strict=True))


def ratings_of(reference, r_table):
    return r_table(reference["dataset"][0])[reference["params"]["rater_columns"]].to_numpy(dtype=float)


@pytest.mark.parametrize("stem", STEMS)
def test_icc_equals_psych(stem, r_values, r_table):
    reference = r_values(stem)
    expected = reference["values"]
    found = icc(ratings_of(reference, r_table)).set_index("kind")
    assert list(found.index) == list(KINDS)
    assert set(found["n"]) == {expected["n_subjects"]}
    assert set(found["k"]) == {expected["k_raters"]}
    for kind, name in PSYCH.items():
        row, theirs = found.loc[kind], expected["psych"][name]
        assert row["icc"] == pytest.approx(theirs["icc"], rel=1e-9)
        assert row["f"] == pytest.approx(theirs["F"], rel=1e-9)
        assert (row["df1"], row["df2"]) == (theirs["df1"], theirs["df2"])
        assert row["p"] == pytest.approx(theirs["p"], rel=1e-8)
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(
            [theirs["ci95_lower"], theirs["ci95_upper"]], rel=1e-9, abs=1e-12
        )
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(
            expected["ci95_mcgraw_wong_by_formula"][name], rel=1e-9, abs=1e-12
        )


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_many_features_at_once_equal_one_by_one(stem, kind, r_values, r_table):
    ratings = ratings_of(r_values(stem), r_table)[:, :2]
    rng = np.random.default_rng(0)
    first = pd.DataFrame({f"f{i}": ratings[:, 0] + i * rng.normal(size=len(ratings)) for i in range(5)})
    second = pd.DataFrame({f"f{i}": ratings[:, 1] + i * rng.normal(size=len(ratings)) for i in range(5)})
    found = icc_features(first, second, kind).set_index("feature")
    for name in first:
        single = icc(np.column_stack([first[name], second[name]])).set_index("kind").loc[kind]
        assert found.loc[name, ["icc", "ci_low", "ci_high"]].tolist() == pytest.approx(
            single[["icc", "ci_low", "ci_high"]].tolist(), rel=1e-12
        )


def test_points_equal_pingouin():
    rng = np.random.default_rng(1)
    ratings = rng.normal(size=(25, 1)) + rng.normal(size=(25, 3)) * 0.6 + [0, 0.4, -0.2]
    long = pd.DataFrame(ratings).reset_index().melt("index", var_name="rater")
    theirs = pg.intraclass_corr(long, targets="index", raters="rater", ratings="value").set_index("Type")
    ours = icc(ratings).set_index("kind")
    for kind, name in zip(KINDS, ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)"), strict=True):
        assert ours.loc[kind, "icc"] == pytest.approx(theirs.loc[name, "ICC"], rel=1e-9)


def test_perfect_shifted_and_constant_ratings():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    perfect = icc(np.column_stack([values, values]))
    assert (perfect[["icc", "ci_low", "ci_high"]] == 1).to_numpy().all()
    assert (perfect["p"] == 0).all()
    shifted = icc(np.column_stack([values, values + 3])).set_index("kind")
    assert shifted.loc["ICC(3,1)", ["icc", "ci_low", "ci_high"]].tolist() == [1, 1, 1]
    assert shifted.loc["ICC(2,1)", "icc"] < 0.7
    scaled = icc(np.column_stack([values, values]) / 3).set_index("kind")
    assert scaled.loc["ICC(2,1)", "icc"] == 1
    flat = icc(np.full((5, 2), 3.0))
    assert flat[["icc", "ci_low", "ci_high"]].isna().to_numpy().all()
    readers_only = icc(np.column_stack([np.zeros(4), np.ones(4)])).set_index("kind")
    assert readers_only.loc["ICC(2,1)", "icc"] == 0
    assert readers_only.loc["ICC(1,1)", "icc"] == -1
    assert readers_only.loc["ICC(1,k)", "icc"] == -np.inf


def test_three_subjects_are_enough_and_one_is_not():
    assert np.isfinite(icc([[1, 2], [3, 3], [5, 4]])["ci_low"]).all()
    with pytest.raises(NotEstimableError, match="two subjects"):
        icc([[1, 2]])
    with pytest.raises(NotEstimableError, match="two raters"):
        icc([[1], [2]])
    with pytest.raises(InputError, match="missing"):
        icc([[1, 2], [np.nan, 3]])
    with pytest.raises(InputError, match="subjects x raters"):
        icc([1, 2, 3])
    with pytest.raises(InputError, match="numeric"):
        icc([["a", "b"], ["c", "d"]])
    with pytest.raises(InputError, match="level"):
        icc([[1, 2], [3, 3]], level=95)


@given(
    hnp.arrays(float, (8, 3), elements=st.integers(-9, 9).map(float)),
    st.floats(-50, 50),
    st.floats(0.1, 20),
)
@settings(max_examples=50, deadline=None)
def test_laws_of_icc(ratings, shift, scale):
    found = icc(ratings)
    moved = icc(ratings * scale + shift)
    assert moved["icc"].to_numpy() == pytest.approx(found["icc"].to_numpy(), rel=1e-6, abs=1e-7, nan_ok=True)
    known = found.dropna()
    known = known[np.isfinite(known["icc"])]
    assert (known["icc"] <= 1 + 1e-12).all()
    reversed_raters = icc(ratings[::-1, ::-1])
    assert reversed_raters["icc"].to_numpy() == pytest.approx(found["icc"].to_numpy(), rel=1e-6, abs=1e-9, nan_ok=True)
    single = known[known["kind"].isin(["ICC(1,1)", "ICC(3,1)"])]
    assert (single["ci_low"] <= single["icc"] + 1e-9).all()
    assert (single["ci_high"] >= single["icc"] - 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_two_subjects_ranked_in_reverse_give_no_warning_and_no_limits_beyond_one(kind):
    first = np.array([[1.0, 0.0, 2.0, 0.5], [2.0, 0.0, 1.0, 0.7]])
    found = icc_features(first, first[::-1], kind)
    assert ((found["ci_high"] <= 1) | found["ci_high"].isna()).all()
    assert np.isnan(found.loc[1, "icc"])


def readers(n=20, features=6, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, features))
    index = [f"P{i}" for i in range(n)]
    columns = [f"f{i}" for i in range(features)]
    noise = np.linspace(0.05, 2, features)
    return tuple(
        pd.DataFrame(truth + noise * rng.normal(size=truth.shape), index=index, columns=columns) for _ in range(2)
    )


def test_readers_are_matched_by_name():
    first, second = readers()
    second = second.sample(frac=1, random_state=1).iloc[:, ::-1].drop(columns="f5").assign(extra=1.0)
    second = second.drop(index="P3")
    first["flat"] = second["flat"] = 2.0
    found = icc_features(first, second).set_index("feature")
    assert list(found.index) == ["f0", "f1", "f2", "f3", "f4", "flat"]
    assert found["icc"].isna().tolist() == [False] * 5 + [True]
    assert found.loc["f0", "n"] == 19
    aligned = icc(np.column_stack([first["f0"].drop("P3"), second["f0"].reindex(first.index).drop("P3")]))
    assert found.loc["f0", "icc"] == pytest.approx(aligned.set_index("kind").loc["ICC(2,1)", "icc"], rel=1e-12)


@pytest.mark.parametrize("alias", ["ICC(A,1)", "ICC2"])
def test_other_names_of_a_form(alias):
    first, second = readers()
    pd.testing.assert_frame_equal(icc_features(first, second, alias), icc_features(first, second, "ICC(2,1)"))


def test_nothing_matched_raises_and_never_keeps_everything():
    first, second = readers()
    with pytest.raises(InputError, match=r"'ICC\(3\)'.*ICC\(3,1\)"):
        icc_features(first, second, kind="ICC(3)")
    with pytest.raises(InputError, match="0 subject"):
        icc_features(first, second.rename(index=lambda name: f"x{name}"))
    with pytest.raises(InputError, match="no feature in common"):
        icc_features(first, second.rename(columns=lambda name: f"x{name}"))
    with pytest.raises(InputError, match="more than once"):
        icc_features(pd.concat([first, first]), second)
    with pytest.raises(InputError, match="not numeric"):
        icc_features(first.assign(sex="m"), second)
    with pytest.raises(InputError, match="shapes"):
        icc_features(np.ones((3, 2)), np.ones((3, 4)))


def test_missing_values_leave_out_the_subject_for_that_feature_only():
    first, second = readers()
    first.loc["P0", "f0"] = np.nan
    second.loc["P1", "f0"] = np.nan
    first["empty"], second["empty"] = np.nan, 1.0
    found = icc_features(first, second).set_index("feature")
    complete = icc(np.column_stack([first["f0"], second["f0"]])[2:]).set_index("kind").loc["ICC(2,1)"]
    assert found.loc["f0", ["icc", "ci_low", "ci_high", "n"]].tolist() == pytest.approx(
        [complete["icc"], complete["ci_low"], complete["ci_high"], 18]
    )
    assert found.loc["f1", "n"] == 20
    assert found.loc["empty", "n"] == 0
    assert np.isnan(found.loc["empty", "icc"])


def test_arrays_are_matched_by_position():
    first, second = readers()
    found = icc_features(first.to_numpy(), second.to_numpy())
    assert found["icc"].tolist() == icc_features(first, second)["icc"].tolist()


def test_dice():
    a = np.zeros((4, 4), int)
    b = np.zeros((4, 4), int)
    a[:2], b[1:3] = 1, 1
    assert dice(a, b) == 0.5
    assert dice(a, a) == 1
    assert dice(a > 0, 255 * b) == 0.5
    assert dice(a, np.zeros_like(a)) == 0
    with pytest.raises(MaskError, match="empty"):
        dice(np.zeros(3), np.zeros(3))
    with pytest.raises(MaskError, match="labels 1, 2"):
        dice([1, 2], [1, 1])
    with pytest.raises(InputError, match="shapes"):
        dice(a, a[:2])


@given(hnp.arrays(bool, 12), hnp.arrays(bool, 12))
@settings(max_examples=30, deadline=None)
def test_laws_of_dice(a, b):
    if not (a.any() or b.any()):
        return
    value, jaccard = dice(a, b), (a & b).sum() / (a | b).sum()
    assert value == dice(b, a)
    assert value == pytest.approx(2 * jaccard / (1 + jaccard))


def test_bland_altman_by_hand(r_table):
    """Standard deviation and interval of the bias are those of the paired t test on the sleep data."""
    table = r_table("data/icc_sleep.csv")
    row = bland_altman(table["r1"], table["r2"]).iloc[0]
    assert row["n"] == 10
    assert row["bias"] == pytest.approx(-1.58)
    assert [row["bias_low"], row["bias_high"]] == pytest.approx([-2.4598857632769824, -0.7001142367230175], rel=1e-9)
    sd = (table["r1"] - table["r2"]).std()
    assert [row["limit_low"], row["limit_high"]] == pytest.approx(
        [-1.58 - 1.959964 * sd, -1.58 + 1.959964 * sd], rel=1e-6
    )
    half = 2.2621571628 * sd * np.sqrt(1 / 10 + 1.959963985**2 / 18)
    assert row["limit_high_high"] - row["limit_high"] == pytest.approx(half, rel=1e-8)


def test_bland_altman_of_many_features():
    first, second = readers()
    first.loc["P0", "f1"] = np.nan
    found = bland_altman(first, second).set_index("feature")
    assert list(found.index) == list(first)
    assert found["n"].tolist() == [20, 19, 20, 20, 20, 20]
    assert found.loc["f1", "bias"] == pytest.approx((first["f1"] - second["f1"]).mean())
    swapped = bland_altman(second, first).set_index("feature")
    assert swapped["limit_high"].to_numpy() == pytest.approx(-found["limit_low"].to_numpy())
    first["alone"], second["alone"] = np.nan, 1.0
    first.loc["P0", "alone"] = 2.0
    assert np.isnan(bland_altman(first, second).set_index("feature").loc["alone", "bias_low"])


@pytest.fixture(scope="module")
def rated(r_table):
    counts = r_table("data/kappa_3x3.csv")
    return tuple(np.repeat(counts[name].to_numpy(), counts["n"]) for name in ("rater1", "rater2"))


def test_kappa_equals_psych(rated, r_values):
    expected = r_values("kappa__3x3")["values"]
    plain = kappa(*rated)
    assert plain.n == expected["n"]
    assert plain.kappa == pytest.approx(expected["unweighted"], rel=1e-9)
    assert plain.se == pytest.approx(expected["unweighted_se"], rel=1e-9)
    assert [plain.ci_low, plain.ci_high] == pytest.approx(expected["unweighted_ci95"], rel=1e-9)
    assert kappa(*rated, weights="linear").kappa == pytest.approx(expected["weighted_linear"], rel=1e-9)
    assert kappa(*rated, weights="quadratic").kappa == pytest.approx(expected["weighted_quadratic"], rel=1e-9)


def test_weighted_standard_error_differs_from_psych_by_its_slip(rated, r_values):
    """Fleiss, Cohen & Everitt's formula gives ours; with psych 2.2.9's row sums it gives the reference's value."""
    share = pd.crosstab(*rated).to_numpy() / 200
    row, column = share.sum(axis=1), share.sum(axis=0)
    i, j = np.indices((3, 3))
    weight = 1 - (i - j) ** 2 / 4
    observed, chance = (weight * share).sum(), (weight * np.outer(row, column)).sum()

    def error(first, second):
        spread = weight * (1 - chance) - (first[:, None] + second) * (1 - observed)
        total = (share * spread**2).sum() - (observed * chance - 2 * chance + observed) ** 2
        return np.sqrt(total / 200) / (1 - chance) ** 2

    found = kappa(*rated, weights="quadratic")
    assert found.se == pytest.approx(error(weight @ column, row @ weight), rel=1e-9)
    slip = error(weight @ column, (weight * row[:, None]).sum(axis=1))
    assert slip == pytest.approx(r_values("kappa__3x3")["values"]["weighted_quadratic_se"], rel=1e-9)


def test_kappa_of_degenerate_ratings():
    assert kappa(["a", "b", "a"], ["a", "b", "a"]).kappa == 1
    assert np.isnan(kappa(["a", "a"], ["a", "a"]).kappa)
    assert np.isnan(kappa(["a", "a"], ["a", "a"], order=["a", "b"]).kappa)
    assert kappa([1, 2, 1, 2], [1, 1, 2, 2]).kappa == 0
    assert kappa(["a", "b", "a"], ["a", "b", "a"]).se == 0
    assert kappa(["a", "b"], ["b", "a"], "quadratic").kappa == -1
    assert kappa(["a", "a", "a"], ["a", "b", "a"]).kappa == 0
    assert kappa(
        ["low", "mid", "high"], ["low", "high", "high"], "linear", ["low", "mid", "high"]
    ).kappa == pytest.approx(kappa([0, 1, 2], [0, 2, 2], "linear").kappa)
    with pytest.raises(InputError, match="lacks"):
        kappa(["a", "b"], ["a", "c"], order=["a", "b"])
    with pytest.raises(InputError, match="no category"):
        kappa(["a", None], ["a", "b"])
    with pytest.raises(InputError, match="equal numbers"):
        kappa(["a"], ["a", "b"])
    with pytest.raises(InputError, match="weights"):
        kappa(["a", "b"], ["a", "b"], weights="cubic")


def test_public_names():
    from radsupport.stats import agreement

    assert all(hasattr(agreement, n) for n in ("icc", "icc_features", "dice", "bland_altman", "kappa"))

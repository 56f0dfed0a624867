"""Fine and Gray's regression: against R's finegray and coxph by a port of it, against plain Cox fits, laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import fit_cox
from radsupport.stats.subdistribution import fine_gray

DATA = Path(__file__).parents[1] / "golden" / "statistics" / "data" / "melanoma.csv"
TERMS = ["age", "sex", "thickness", "ulcer"]
# The package `survival` 2.0.0 of the Python index, a port of R's: finegray(Surv(time, state) ~ ..., etype="melanoma"),
# then coxph(Surv(fgstart, fgstop, fgstatus) ~ ..., weights=fgwt, cluster=id). Days, and days in hundreds (many ties).
PORT = {
    1: (
        [0.0059277360556362685, 0.40503168925357247, 0.0899945917596542, 1.1286298197975277],
        [0.00931598, 0.27558203, 0.03834347, 0.30344625],
    ),
    100: (
        [0.005581981627033466, 0.3952654883430673, 0.09083617197193129, 1.1282384285328486],
        [0.00931768, 0.27679078, 0.03822071, 0.30360336],
    ),
}


def melanoma(days: int = 1) -> pd.DataFrame:
    table = pd.read_csv(DATA)
    ends = {"event": (table["status"] == 1).astype(int), "competing": (table["status"] == 3).astype(int)}
    return table.assign(time=np.ceil(table["time"] / days), **ends)


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    return fine_gray(table, "time", "event", "competing", TERMS)


@pytest.mark.parametrize("days", PORT)
def test_coefficients_and_robust_errors_equal_a_port_of_r(days: int) -> None:
    found = fitted(melanoma(days))
    coef, se = PORT[days]
    assert found["coef"].to_numpy() == pytest.approx(coef, rel=1e-9)
    assert found["se"].to_numpy() == pytest.approx(se, rel=1e-6)
    assert found["hr"].to_numpy() == pytest.approx(np.exp(coef), rel=1e-9)
    assert found.attrs == {"n": 205, "events": 57, "competing": 14}


def test_without_a_competing_event_it_is_a_cox_regression() -> None:
    table = melanoma(100).assign(competing=0)
    assert fitted(table)["coef"].to_numpy() == pytest.approx(
        fit_cox(table, "time", "event", TERMS).coef.to_numpy(), abs=1e-9
    )


def test_without_censoring_patients_with_the_competing_event_stay_at_risk_for_ever() -> None:
    table = melanoma(100)
    table = table[table["event"] + table["competing"] == 1]
    stay = table.assign(time=table["time"].where(table["event"] == 1, 1e6))
    assert fitted(table)["coef"].to_numpy() == pytest.approx(
        fit_cox(stay, "time", "event", TERMS).coef.to_numpy(), abs=1e-9
    )


def test_neither_the_order_of_the_patients_nor_the_unit_of_time_matters() -> None:
    table = melanoma(30)
    moved = table.sample(frac=1, random_state=1).assign(time=lambda t: t["time"] * 7)
    pd.testing.assert_frame_equal(fitted(moved), fitted(table), check_exact=False, rtol=1e-8)


def test_a_row_per_level_and_gaps_are_left_out() -> None:
    table = melanoma().astype({"thickness": float})
    table.loc[3, "thickness"] = np.nan
    table["size"] = pd.cut(table["thickness"], [0, 1, 3, 99], labels=["thin", "middle", "thick"])
    found = fine_gray(table, "time", "event", "competing", ["size"])
    assert found["level"].tolist() == ["middle", "thick"]
    assert found.attrs["n"] == 204


def test_what_can_not_be_fitted_is_refused() -> None:
    table = melanoma()
    with pytest.raises(InputError, match="have the event and the competing one"):
        fitted(table.assign(competing=table["event"]))
    with pytest.raises(NotEstimableError, match="same value in every row"):
        fitted(table.assign(age=50))
    with pytest.raises((InputError, NotEstimableError)):
        fitted(table.assign(event=0))

"""Numbers as the spreadsheets of several countries write them."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.data.notation import (
    DAY_FIRST,
    MONTH_FIRST,
    date_order,
    decimal_marks,
    plain,
    read_date,
    read_numbers,
    unwrapped,
)

NONE: frozenset[str] = frozenset()
Numbers = st.lists(st.decimals(-9999, 9999, places=2), min_size=3, max_size=20)


def texts(*values: str) -> pd.Series:
    return pd.Series(values, dtype=object)


def american(value: float) -> str:
    return f"{value:,.2f}"


def german(value: float) -> str:
    return american(value).translate(str.maketrans(",.", ".,"))


def french(value: float) -> str:
    return american(value).replace(",", "\u202f").replace(".", ",")


@given(Numbers)
def test_the_same_numbers_come_from_every_country(values: list[float]) -> None:
    expected = [float(value) for value in values]
    for write in (american, german, french):
        numbers, _, why = read_numbers(texts(*map(write, values)), NONE)
        assert why == ""
        assert [float(text) for text in numbers] == expected


@pytest.mark.parametrize(
    ("cells", "marks", "decimal", "numbers"),
    [
        (["1.792", "12.5"], NONE, "", [1.792, 12.5]),
        (["1,792", "12,5"], NONE, "", [1.792, 12.5]),
        (["1.792", "2.010"], {","}, "", [1792, 2010]),  # the rest of the sheet has decimal commas
        (["1.792", "2.010"], {"."}, "", [1.792, 2.010]),
        (["1.792", "2.010"], NONE, ",", [1792, 2010]),  # the study file says so
        (["1.792", "950"], NONE, ".", [1.792, 950]),
        (["1,792", "2,010"], {"."}, "", [1792, 2010]),
        (["1,792", "2,010"], {","}, "", [1.792, 2.010]),
        (["1.234.567", "12"], NONE, "", [1234567, 12]),
        (["1,234.5", "980.1"], NONE, "", [1234.5, 980.1]),
        (["1'234.5", "12"], NONE, "", [1234.5, 12]),
        (["[1.2]", "array(3.4)", "np.float64(5.6)", "(7.8+0j)", "array([9.0])"], NONE, "", [1.2, 3.4, 5.6, 7.8, 9.0]),
        (["1,2e-05", "3,4"], NONE, "", [1.2e-5, 3.4]),
        (["0.123", "0.456"], NONE, "", [0.123, 0.456]),
        (["\u22121,5", "2,5"], NONE, "", [-1.5, 2.5]),
    ],
)
def test_what_can_be_read_in_one_way_is_read(
    cells: list[str], marks: set[str], decimal: str, numbers: list[float]
) -> None:
    found, _, why = read_numbers(texts(*cells), frozenset(marks), decimal)
    assert why == ""
    assert [float(text) for text in found] == numbers


@pytest.mark.parametrize(
    ("cells", "marks", "why"),
    [
        (["1.792", "2.010"], NONE, "1.792 may be 1.792 or 1792"),  # exactly three decimals everywhere
        (["950", "1.792"], NONE, "1.792 may be"),  # spread over orders of magnitude
        (["950", "1.792"], {"."}, "1.792 may be"),
        (["1,792", "12"], NONE, "1,792 may be 1.792 or 1792"),
        (["1,5", "1.5"], NONE, "points and decimal commas in one column"),
        (["1.792", "2.010"], {",", "."}, "1.792 may be"),
    ],
)
def test_what_has_two_readings_is_asked_about(cells: list[str], marks: set[str], why: str) -> None:
    assert why in read_numbers(texts(*cells), frozenset(marks))[2]


def test_a_number_in_the_other_notation_is_not_read() -> None:
    assert plain("1.5", ",") is None
    assert plain("1,5", ".") is None
    assert plain("12 mm", ".") == "12 mm"


def test_marks_are_what_a_number_can_only_be_read_with() -> None:
    assert decimal_marks(texts("1.792", "12", "x")) == set()
    assert decimal_marks(texts("12,5", "12.5")) == {",", "."}
    assert unwrapped("(1.2+3j)") == "1.2+3j"


DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31))
WRITTEN = [
    "%Y-%m-%d",
    "%Y-%m-%dT00:00:00",
    "%Y/%m/%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%b %d, %Y",
]


@given(DAYS, st.sampled_from(WRITTEN))
def test_a_date_is_read_however_it_is_written(day: datetime.date, form: str) -> None:
    assert read_date(day.strftime(form)) == day
    assert read_date(day.strftime("%m/%d/%Y"), MONTH_FIRST) == day


@pytest.mark.parametrize(("text", "day"), [("3. Mai 2015", (2015, 5, 3)), ("12 déc. 2019", (2019, 12, 12)),
                                           ("1.3.2015", (2015, 3, 1)), ("2015-3-1", (2015, 3, 1))])  # fmt: skip
def test_words_of_other_languages_and_single_digits(text: str, day: tuple[int, int, int]) -> None:
    assert read_date(text) == datetime.date(*day)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "31.04.2015",
        "2015-13-01",
        "02.03.15",
        "03/2015",
        "2015",
        "42065",
        "1.5",
        "2015-2-30",
        "9 Foo 2015",
    ],
)
def test_what_is_no_day_is_not_guessed(text: str) -> None:
    assert read_date(text) is None


def test_the_order_of_a_column_follows_from_the_dates_that_have_one_only() -> None:
    assert date_order(["02/03/2015", "25/03/2015"]) == (DAY_FIRST, "")
    assert date_order(["02/03/2015", "03/25/2015"]) == (MONTH_FIRST, "")
    assert date_order(["02.03.2015"]) == (DAY_FIRST, "")
    assert date_order(["02.25.2015", "02.03.2015"]) == (MONTH_FIRST, "")
    assert date_order(["03/03/2015", "2015-03-02", "lost"]) == (DAY_FIRST, "")
    assert date_order(["02/03/2015", "04/05/2016"]) == ("", "02/03/2015 may have the day or the month first")
    assert date_order(["25/03/2015", "03/26/2015"]) == ("", "25/03/2015 has the day first, 03/26/2015 the month")

import pytest

from radsupport.claims.verdicts import FAILS, HOLDS


@pytest.mark.parametrize(
    ("published", "inputs", "verdict"),
    [
        ("32", {"overall": "32", "low": "42.5", "high": "16.3"}, HOLDS),
        ("25", {"overall": "25", "low": "20.6", "high": "15.5"}, FAILS),
        ("21", {"overall": "21", "low": "20.6", "high": "15.5"}, HOLDS),
        ("124", {"first": "2011-08", "end": "2022-01"}, HOLDS),
        ("140", {"first": "2011-08", "end": "2022-01"}, FAILS),
        ("not reached", {"events": [[8, 27], [10, 23]], "horizon": 24, "median": "not reached"}, HOLDS),
        ("not reached", {"events": [[8, 27], [12, 23]], "horizon": 24, "median": "not reached"}, FAILS),
        ("4; 15", {"events": [[13, 15], [11, 19]], "horizon": 24, "median": "below"}, HOLDS),
        ("4; 15", {"events": [[13, 15], [9, 19]], "horizon": 24, "median": "below"}, FAILS),
    ],
)
def test_follow_up(judge, published, inputs, verdict):
    assert judge("survival", published, inputs).verdict == verdict


def test_the_reason_is_a_sentence(judge):
    inputs = {"events": [[13, 15], [11, 19]], "horizon": 24, "median": "below"}
    below = judge("survival", "4; 15", inputs).reason
    assert "a median below 24 months needs half or more of the patients" in below
    never = judge("survival", "not reached", inputs | {"median": "not reached"}).reason
    assert "a median not reached needs fewer than half of the patients" in never


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"first": "August 2011", "end": "2022-01"}, "must read like"),
        ({"first": "2022-02", "end": "2011-08"}, "before"),
        ({"events": [[8, 7]], "horizon": 24, "median": "below"}, "events, patients"),
        ({"events": [[8, 9]], "horizon": 24, "median": "unknown"}, "events, patients"),
        ({"overall": "x", "low": "1", "high": "2"}, "exactly one number"),
    ],
)
def test_malformed_follow_up_is_refused(refusal, inputs, reason):
    assert reason in refusal("survival", "5", inputs)

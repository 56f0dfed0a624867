import argparse

import pandas as pd
import pytest

from radsupport.claims.claims import COLUMNS
from radsupport.cli import add_parser

HEADER = ",".join(COLUMNS)
HOLDING = 'S,T,Women,all,47.2%,proportion,"{""k"": 67, ""n"": 142}"'
FAILING = 'S,T,Men,all,47.2%,proportion,"{""k"": 75, ""n"": 142}"'
BROKEN = 'S,T,Broken,all,47.2%,proportion,"{""k"": "'


@pytest.fixture
def run(capsys):
    def call(*arguments):
        parser = argparse.ArgumentParser(prog="radsupport")
        add_parser(parser.add_subparsers(required=True))
        parsed = parser.parse_args(["published", *map(str, arguments)])
        status = parsed.run(parsed)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def claims(tmp_path):
    def save(*rows):
        path = tmp_path / "my_claims.csv"
        path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        return path

    return save


def test_a_good_table(run, claims):
    status, out, err = run("check", claims(HOLDING, FAILING))
    assert status == 0
    assert "row 2: HOLDS – Women = 47.2% (S, T, all)" in out
    assert "row 3: DOES NOT HOLD – Men" in out
    assert "2 claims: 1 holds, 1 does not hold, 0 cannot be decided" in out
    assert err == ""


def test_malformed_rows_are_listed_and_the_others_checked(run, claims):
    status, out, err = run("check", claims(HOLDING, BROKEN, FAILING, BROKEN))
    assert status == 1
    assert "row 2: HOLDS" in out
    assert "row 4: DOES NOT HOLD" in out
    assert "4 claims: 1 holds, 1 does not hold, 0 cannot be decided, 2 malformed" in out
    assert [line[:2] for line in err.splitlines()] == ["1.", "2."]
    assert "row 3" in err
    assert "row 5" in err
    assert "no valid JSON" in err


def test_only_some_verdicts(run, claims):
    _, out, _ = run("check", claims(HOLDING, FAILING), "--only", "does not hold")
    assert "Women" not in out
    assert "Men" in out


def test_the_verdicts_are_written(run, claims, tmp_path):
    output = tmp_path / "verdicts.csv"
    run("check", claims(HOLDING, FAILING), "--output", output)
    assert pd.read_csv(output)["verdict"].tolist() == ["holds", "does not hold"]


@pytest.mark.parametrize("target", ["missing.csv", "empty.csv"])
def test_a_file_that_can_not_be_read(run, tmp_path, target):
    (tmp_path / "empty.csv").write_text("")
    status, out, err = run("check", tmp_path / target)
    assert status == 2
    assert out == ""
    assert target in err


def test_an_output_that_can_not_be_written(run, claims, tmp_path):
    status, _, err = run("check", claims(HOLDING), "--output", tmp_path / "no folder" / "x.csv")
    assert status == 2
    assert err

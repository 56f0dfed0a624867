"""All benchmarks are run whatever becomes of one, and what they print is kept with the machine it was measured on."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.scripts import load_script
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from radsupport.book.conclusions import published
from radsupport.stats.outcome import log_odds


def test_every_benchmark_is_run_and_a_failed_one_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = load_script(root / "benchmarks" / "run.py")
    (tmp_path / "run.py").write_text("raise SystemExit('not itself')")
    (tmp_path / "radiomics.py").write_text("import sys; print('ratio 60', sys.argv[1:], len(sys.path[0]) > 0)")
    (tmp_path / "slow.py").write_text("print('half'); raise SystemExit(3)")
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "--", "--quick"])
    assert run.main() == 1
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "## radiomics" in page
    assert "ratio 60 ['--quick']" in page
    assert "half" in page
    assert "failed with status 3" in page
    assert "not itself" not in page
    assert "pyradiomics 3" in page
    monkeypatch.setattr(sys, "argv", ["run.py", "radiomics"])
    assert run.main() == 0
    assert "slow" not in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_the_benchmark_of_protocols_judges_by_the_book_and_its_search_finds_something_in_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strength = load_script(root / "benchmarks" / "strength.py")
    monkeypatch.setattr(strength, "SIZES", [1, 4])
    monkeypatch.setattr(strength, "COSTS", [0.5, 2.0])
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 40)), np.repeat([0, 1], 30)
    found = strength.searched(X, y, 0, folds=3)
    assert len(found) == found.index.nunique() == 3 * 2 * 5
    assert found.max() > 0.6 > found.median()
    label = pd.Series(y, index=[f"p{i}" for i in range(60)])
    offset = np.repeat([-2.0, 2.0, 0.0], 20)  # fold models with offsets of their own
    score = rng.normal(size=60) + label
    risks = pd.DataFrame({"subject": label.index, "fold": np.arange(60) % 3, "score": score})
    risks["risk"] = expit(score + offset[np.argsort(np.argsort(risks["fold"], kind="stable"), kind="stable")])
    row = strength.judged(risks, label)
    assert row["scaled"] == pytest.approx(roc_auc_score(y, score))
    assert row["raw"] == pytest.approx(roc_auc_score(y, risks["risk"]))
    for when in ("before", "after"):
        own = log_odds(risks["risk"])
        values = own if when == "before" else own.mean() + own.std() * score
        fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.c_[values], y)
        assert row[f"slope_{when}"] == pytest.approx(fit.coef_[0, 0], rel=1e-4)
        assert expit(values + row[f"intercept_{when}"]).mean() == pytest.approx(0.5)
    (tmp_path / "radmlbench").mkdir()
    table = pd.DataFrame(X, columns=[f"f{i}" for i in range(40)]).assign(ID=list(label.index), Target=y)
    table.to_csv(tmp_path / "radmlbench" / "Zhang2024B.csv.gz", index=False)
    monkeypatch.setattr(strength, "FILES", (tmp_path / "s.csv", tmp_path / "s.md"))
    monkeypatch.setattr(strength, "PROTOCOLS", strength.PROTOCOLS[1:2])
    monkeypatch.setattr(sys, "argv", ["strength.py", "--data", str(tmp_path), "--divisions", "2", "--shuffles", "1"])
    assert strength.main() == 0
    rows = pd.read_csv(tmp_path / "s.csv")
    assert rows["protocol"].tolist() == ["Ridge", "Ridge", strength.SEARCH, strength.SHUFFLED]
    assert rows.loc[0, "scaled"] != rows.loc[1, "scaled"]
    told = capsys.readouterr().out
    assert "WORC-GIST: no " in told
    assert "| Zhang2024B (30 of 60) | Ridge | 2 |" in told
    words = published.strength(rows.assign(protocol=rows["protocol"].replace("Ridge", "Average")), "Average",
                               strength.SEARCH, strength.SHUFFLED)  # fmt: skip
    assert f"{rows['scaled'].mean():.3f} inside the folds (Average, mean of 2 divisions)" in words
    assert f"{rows['raw'][2]:.3f} as the best of 30 configurations" in words
    alone = published.strength(rows.head(2), "Ridge", strength.SEARCH, strength.SHUFFLED)
    assert alone == f"- **Zhang2024B**: {rows['scaled'].mean():.3f} inside the folds (Ridge, mean of 2 divisions)."
    assert published.strength(rows.tail(2), "Ridge", strength.SEARCH, strength.SHUFFLED) == ""
    monkeypatch.setattr(sys, "argv", ["strength.py", "--data", str(tmp_path), "--only", "WORC-GIST"])
    assert strength.main() == 0
    assert len(pd.read_csv(tmp_path / "s.csv")) == 4  # what is not done again stays


def test_protocols_for_follow_up_are_judged_on_the_training_patients_of_lung1(
    root: Path, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    strength = load_script(root / "benchmarks" / "strength.py")
    monkeypatch.setattr(strength, "SURVIVAL_PROTOCOLS", strength.SURVIVAL_PROTOCOLS[1:2])
    [row] = strength.followed(shared / "real", 1)
    assert (row["protocol"], row["division"]) == ("Ridge", 0)
    assert 250 < row["n"] < 330
    assert all(0.5 < row[key] < 0.7 for key in ("raw", "scaled", "within"))


def test_the_readme_quotes_the_last_run_of_the_benchmarks(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    part = text.split("### How fast it is")[1].split("###")[0]
    rows = [line for line in part.splitlines() if line.startswith(("| 20 mm", "| 60 mm"))]
    quoted = [
        number for row in rows for cell in row.split("|")[2:] for number in re.findall(r"[\d.]+(?:e\+\d+)?", cell)
    ]
    quoted += re.findall(r"\d\.\d+", part.split("Two workers")[1])
    known = set((root / "benchmarks" / "results.md").read_text(encoding="utf-8").split())
    assert len(quoted) > 15
    assert [number for number in quoted if number not in known] == []

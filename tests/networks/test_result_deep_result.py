"""Training curves are drawn in one panel for the networks that belong together."""

from __future__ import annotations

import pandas as pd

from radsupport.book.conclusions.deep_features import curve_panels


def test_networks_of_a_scheme_share_a_panel() -> None:
    names = ["SS, fold 0", "SS, fold 1", "NSS, fold 0", "fold 2"]
    history = pd.DataFrame({"network": names, "metric": "loss", "value": range(4)})
    history = pd.concat([history, history.assign(metric="accuracy")], ignore_index=True)
    panels = curve_panels(history, "loss")
    assert [title for title, _, _ in panels] == ["SS", "NSS", ""]
    assert [table["network"].tolist() for _, table, _ in panels] == [["fold 0", "fold 1"], ["fold 0"], ["fold 2"]]
    assert all(options == {"metric": "loss"} and set(table["metric"]) == {"loss"} for _, table, options in panels)

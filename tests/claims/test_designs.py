import pytest

from radsupport.book.conclusions import published
from radsupport.claims.claims import checked_rows
from radsupport.claims.designs import (
    compare_studies,
    sample_sizes,
    study_labels,
)
from radsupport.claims.verdicts import content
from radsupport.stats.sample_size import for_binary


@pytest.fixture(scope="module")
def numbers():
    return {study: each["numbers"] for study, each in content("side_by_side.yaml")["studies"].items()}


def test_every_cell_is_filled_and_has_a_source():
    table, places = compare_studies(), compare_studies(sources=True)
    assert list(table.columns[1:]) == list(study_labels().values())
    assert (table.map(len) > 0).all().all()
    assert (places["source"].str.len() > 0).all()
    assert len(places) == 4 * len(content("side_by_side.yaml")["aspects"])


def test_events_per_candidate_feature_are_computed():
    row = compare_studies().set_index("aspect").loc["Events per candidate feature"]
    assert row["Song 2021"].startswith(f"{10 / 1024:.2g} ")
    assert row["Gu 2023"].startswith(f"{67 / 3879:.2g} ")
    assert "15,762,242 weights" in row["Cui 2022"]
    assert "0.0098 to 0.017" in published.events_per_feature(sample_sizes())


def test_sizes_agree_with_the_claims(numbers):
    """The comparison and the table of claims name the same patients, events and weights."""
    claims = {(r["study"], r["table"], r["item"], r["group"]): (c, v) for r, c, v in checked_rows()}
    song = claims["Song2021", "Text", "Cohort sizes", "all"][0].inputs["addends"]
    assert list(song.values()) == [numbers["Song2021"]["n_development"], numbers["Song2021"]["n_external"]]
    gu = claims["Gu2023", "Table 1", "Lymph node metastasis: level counts sum to cohort n", "Training"][0].inputs[
        "counts"
    ]
    assert (gu[0], sum(gu)) == (numbers["Gu2023"]["events_development"], numbers["Gu2023"]["n_development"])
    cui = claims["Cui2022", "Suppl. Table S3", "Class: column totals", "Training/Test"][0].inputs["levels"]
    assert cui[0][1:] == [numbers["Cui2022"]["events_development"], numbers["Cui2022"]["events_external"]]
    weights = claims["Cui2022", "Suppl. Table S2", "Parameter count (not printed)", "3D-CNN"][1]
    assert weights.values["total"] == numbers["Cui2022"]["weights"]
    yang = claims["Yang2023", "Text", "Cohort sizes", "all"][0].inputs["sums"]
    assert yang[1][1][0] == numbers["Yang2023"]["n_development"]
    features = claims["Gu2023", "Text", "Radiomics features 1834 -> 1487 (ICC) -> 772 (test) -> 9 (LASSO)", "Training"]
    network = claims["Gu2023", "Text", "DL features 2045 -> 1552 (ICC) -> 1292 (test) -> 11 (LASSO)", "Training"]
    models = numbers["Gu2023"]["models"]
    assert features[0].inputs["stages"][0] + network[0].inputs["stages"][0] == models[0]["parameters"]
    assert features[0].inputs["stages"][-1] + network[0].inputs["stages"][-1] == models[1]["parameters"]


def test_sample_sizes():
    table = sample_sizes()
    song = table[table["study"] == "Song 2021"].iloc[0]
    expected = for_binary(1024, 10 / 56)
    assert song["required"] == expected.required == expected.shrinkage
    assert song["share"] == pytest.approx(56 / expected.required)
    assert (table["required"] > table["n"]).all()
    assert (table["required_as_printed"].dropna() <= table["required"][table["required_as_printed"].notna()]).all()
    cui = table[table["study"] == "Cui 2022"].iloc[0]
    assert cui["required"] == 372
    assert table["shrinkage"].isna().sum() == 1
    assert "Song 2021 56 of 281 (20%)" in published.sample_size(sample_sizes())


def test_estimated_events_are_called_so_throughout():
    sizes, shown = sample_sizes(), sample_sizes(worded=True)
    assert set(sizes.loc[sizes["estimated"], "study"]) == {"Yang 2023"}
    assert (sizes["events"] / sizes["parameters"]).dropna().tolist() == pytest.approx(
        sizes["events_per_parameter"].dropna().tolist()
    )
    yang = shown[shown["study"] == "Yang 2023"]
    assert yang["events"].tolist() == ["about 49"] * 3
    assert yang["events_per_parameter"].tolist() == ["about 0.012", "about 3.8", "about 9.8"]
    assert shown.loc[shown["study"] == "Song 2021", "events_per_parameter"].tolist() == ["0.0098", "0.070", "3.3"]
    assert "about 49 events" in compare_studies().set_index("aspect").loc["Events per candidate feature", "Yang 2023"]

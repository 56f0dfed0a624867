"""What a build will take: how many epochs, batches, cases and fits are counted, and what is said of a study's data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch
from helpers.own_study import AGE, own_study

from radsupport.book.cost import predict, report
from radsupport.cli import main
from radsupport.networks import cost as network_cost
from radsupport.networks.cost import Cost, costs
from radsupport.networks.inputs import Given
from radsupport.networks.training import Stopping, threads
from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.study import load_study

SIGNATURES = """
  - {name: Clinical, columns: [age], learner: Logistic}
  - {name: Deep, sources: [deep], learner: Ridge}
  - {name: Both, combines: [Clinical, Deep], learner: Logistic}"""
MORE = """radiomics: {settings: mine.yaml}
deep: {network: resnet, depth: 18, input_px: 32, weights: random}
modelling: {folds: 2, inner_folds: 2, repeats: 3, permutations: 0}
"""
STUDY = own_study("my_manifest.csv", AGE, SIGNATURES, MORE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own study of eight patients with scans of a few voxels; a single run is timed."""
    monkeypatch.setattr(network_cost, "ENOUGH", 1e-9)
    (tmp_path / "studies" / "radiomics").mkdir(parents=True)
    (tmp_path / "studies" / "mine.yaml").write_text(STUDY, encoding="utf-8")
    (tmp_path / "studies" / "radiomics" / "mine.yaml").write_text(
        "imageType: {Original: {}}\nfeatureClass: {firstorder: [Mean, Range]}\nsetting: {binWidth: 25}\n"
    )
    rng, rows, mask = np.random.default_rng(0), ["study,subject,center,phase,role,path"], np.zeros((6, 9, 9), np.uint8)
    mask[2:4, 3:6, 3:6] = 1
    for i in range(8):
        scan = sitk.GetImageFromArray(rng.integers(20, 80, mask.shape).astype(np.int16))
        sitk.WriteImage(scan, str(tmp_path / f"p{i}.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / f"p{i}_mask.nii.gz"))
        rows += [f"mine,p{i},A,ct,image,p{i}.nii.gz", f"mine,p{i},A,ct,mask,p{i}_mask.nii.gz"]
    (tmp_path / "my_manifest.csv").write_text("\n".join([*rows, "mine,,,,clinical,own.csv", ""]), encoding="utf-8")
    patients = "".join(f"p{i},{i % 2},{50 + 3 * i}\n" for i in range(8))
    (tmp_path / "own.csv").write_text(f"subject,label,age\n{patients}", encoding="utf-8")
    return tmp_path


def test_an_own_study_is_timed_and_nothing_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(project.rglob("*"))
    table = predict(load_study("mine", "paper", project / "studies"), project)
    assert sorted(project.rglob("*")) == before
    rows = table.set_index("unit")
    assert rows.loc["case", "to"].tolist() == [8, 8]  # preprocessing, radiomics
    assert rows.loc["image", "to"] == 8
    fits = rows.loc[["fit of Clinical", "fit of Deep", "fit of Both"]]
    assert fits["to"].tolist() == [7, 7, 7]  # 2 folds, 3 divisions, and once on everybody
    parts = fits["seconds"].iloc[:2].sum()
    assert fits.loc["fit of Both", "seconds"] == pytest.approx(3 * parts)  # two inner folds and all
    assert (table["seconds"] > 0).all()
    np.testing.assert_allclose(table["hours_to"], table["seconds"] * table["to"] / 3600)
    assert main(["--root", str(project), "cost", "mine", "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "study mine, profile demo, 1 core." in said
    quick = table.assign(hours_from=0.0001, hours_to=0.0002).head(2)
    quick.attrs["notes"] = []
    assert "Together 0.7 to 1.4 seconds: study" in report(quick, load_study("mine", folder=project / "studies"), 1)
    assert "Not timed: chapter 01" in said


def test_what_can_not_be_timed_is_named(project: Path) -> None:
    (project / "own.csv").write_text("subject,label,age\np0,1,50\np1,0,60\n", encoding="utf-8")
    study = load_study("mine", "paper", project / "studies")
    table = predict(study, project)
    assert np.isnan(table.set_index("unit").loc["fit of Deep", "seconds"])
    assert "Could not be timed: 05 modelling (fit of Clinical)" in report(table, study, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["song2021"], "run `radsupport prepare song2021`"),
        (["sts"], "files are not on this machine"),
        (["mime"], "did you mean 'mine'"),
        (["mine", "--profile", "print"], "Unknown profile 'print'"),
    ],
)
def test_why_nothing_can_be_timed(
    arguments: list[str], said: str, project: Path, root: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("RADSUPPORT_DATA", raising=False)
    for name in ("studies/song2021.yaml", "studies/sts.yaml", "data_manifest.csv"):
        (project / name).write_bytes((root / name).read_bytes())
    assert main(["--root", str(project), "cost", *arguments]) == 1
    assert said in capsys.readouterr().err


def given(**more: object) -> Given:
    people = pd.DataFrame({"subject": [f"p{i:02d}" for i in range(70)], "label": [0.0, 1.0] * 35})
    people["cohort"] = ["train"] * 40 + ["external"] * 10 + ["segmentation"] * 20
    return Given(people, pd.DataFrame(), {}, ["arterial"], (1.0, 1.0, 1.0), Path(), **more)  # type: ignore[arg-type]


@pytest.fixture
def a_second_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_cost, "_batch", lambda model, shape, learn: 1.0)
    for one in (network_cost._unet_batch, network_cost._cnn3d_batch, network_cost._resnet_batch):
        one.cache_clear()


def by_step(found: list[Cost]) -> dict[str, tuple[float, float, float, int]]:
    return {one.step: (one.seconds, one.least, one.most, one.at_once) for one in found}


@pytest.mark.usefixtures("a_second_a_batch")
def test_every_u_net_that_is_trained_is_counted_once() -> None:
    how = {"base_channels": 2, "input_px": 32, "batch_size": 8, "patience": 3, "max_epochs": 9, "roi": "rough"}
    other = [
        {"group": "a", "name": "mean", "set": {"aggregation": "mean"}},  # the same network
        {"group": "a", "name": "as published", "set": {"sampled_cases": "as_published"}},
    ]
    found = by_step(costs(Unet(network="unet", compare=other, **how), given(jobs=2), 6.0))
    # 18 of the 20 learn: 108 slices in 14 batches; the 12 slices of the others take 2/8 of a second each
    assert found["U-Net, own"] == (14 + 3, 4, 9, 2)
    # 42 with the 22 sampled: 38 learn 228 slices in 29 batches, 4 are watched
    assert found["U-Net, as published"] == (29 + 6, 4, 9, 2)
    assert found["U-Net, description of everybody"] == (1 / 8, 600, 600, 1)
    assert len(found) == 3
    # timed on two cores, but side by side each network has one of them
    full = Unet(network="unet", compare=other, reader_seconds={"mean": [3.0]}, **how)
    assert by_step(costs(full, given(jobs=2, threads=2), 6.0))["U-Net, own"] == (2 * (14 + 3), 4, 9, 2)


@pytest.mark.usefixtures("a_second_a_batch")
def test_a_network_that_keeps_its_last_epoch_runs_to_the_end() -> None:
    spec = Cnn3d(
        network="cnn3d", patch=(4, 16, 16), width=0.05, window={"level": 0, "width": 100}, stop_on="last", folds=5,
        max_epochs=9, patience=3, batch_size=8, learning_sizes=[16], learning_folds=2, cam_patients=2,
        occlusion=(4, 8, 16),
    )  # fmt: skip
    found = by_step(costs(spec, given(), 0.0))
    # 32 patients in seven copies, 8 at once; 8 others watched one by one
    assert found["3-D CNN, own (10 networks)"] == (28 + 8, 90, 90, 1)
    assert found["3-D CNN, learning from 16 (4 networks)"] == (14 + 8, 36, 36, 1)
    assert found["3-D CNN, risks of everybody"][1] == 50 * 5 * 2
    assert found["3-D CNN, Grad-CAM"][1] == 10 * 5 * 2
    assert found["3-D CNN, occlusion"][1] == 2 * (1 * 2 * 1 + 1) * 5 * 2
    stopped = by_step(costs(spec.model_copy(update={"stop_on": "inner"}), given(), 0.0))
    assert stopped["3-D CNN, own (10 networks)"][1:3] == (40, 90)


@pytest.mark.usefixtures("a_second_a_batch")
def test_networks_that_are_fine_tuned_are_counted_by_fold() -> None:
    tuned = {"fine_tune": "out_of_fold", "epochs": 6, "patience": 2, "batch_size": 8, "depth": 18, "input_px": 32}
    other = [{"group": "a", "name": "as published", "set": {"fine_tune": "as_published"}}]
    found = by_step(costs(Resnet(network="resnet", compare=other, **tuned), given(folds=5, jobs=4), 0.0))
    assert found["ResNet, own (6 networks)"] == (4, 18, 36, 4)  # 80% of 40 in 4 batches
    assert found["ResNet, as published (1 network)"] == (4, 3, 6, 1)
    assert found["ResNet, description of everybody"][1] == 50 * 7


def test_the_least_number_of_epochs_is_that_of_early_stopping() -> None:
    stopping, history = Stopping(100, "loss", "lowest", patience=3), []
    while not stopping.is_over(history):
        history.append({"epoch": len(history) + 1, "loss": 1.0 + len(history)})
    spec = Unet(network="unet", patience=3, max_epochs=100)
    assert network_cost._epochs(spec, 100) == (len(history), 100)


def test_a_batch_is_timed_on_one_thread_and_shared_out_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(network_cost, "fastest", lambda task: used.append(torch.get_num_threads()) or 6.0)
    monkeypatch.setenv("RADSUPPORT_DEVICE", "cpu")
    with threads(2):
        assert network_cost._of_batch(lambda: None) == 3.0
        assert torch.get_num_threads() == 2
    assert used == [1]


def test_a_study_that_validates_a_locked_model_is_timed_by_its_scores(project: Path) -> None:
    settings = load_study("mine", "paper", project / "studies").model_dump(mode="json")
    settings |= {"signatures": [{"name": "Tumour", "sources": ["radiomics"], "learner": "Ridge"}], "deep": None}
    term = {"column": "ct__original_firstorder_Mean", "fill": 50, "coef": 0.1}
    tumour = {"members": [{"terms": [term]}], "sources": ["radiomics"]}
    pyradiomics = {"imageType": {"Original": {}}, "featureClass": {"firstorder": ["Mean"]}}
    plain = {"signatures": {"Tumour": tumour}, "sources": {"radiomics": [term["column"]]}, "settings": settings,
             "about": {"pyradiomics": pyradiomics}}  # fmt: skip
    (project / "model").mkdir()
    (project / "model" / "model.json").write_text(json.dumps(plain))
    manifest = (project / "my_manifest.csv").read_text().replace("mine,", "away,").replace(",A,ct", ",B,ct")
    (project / "away.csv").write_text(manifest)
    study = """id: away
title: t
question: q
model: model
data: {kind: real, manifest: away.csv}
cohorts: {external: {name: B, centers: [B]}}
"""
    (project / "studies" / "away.yaml").write_text(study)
    before = sorted(project.rglob("*"))
    table = predict(load_study("away", folder=project / "studies"), project)
    assert sorted(project.rglob("*")) == before
    assert table["step"].tolist() == ["02 preprocessing", "05 modelling", "06 validation"]
    assert table["to"].tolist()[:2] == [8, 8]
    assert (table["seconds"] > 0).all()
    assert "nothing is fitted" in " ".join(table.attrs["notes"])

"""Seeds, atomic files, cache and the training loop, on a network of one weight."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from radsupport.errors import InputError, NotEstimableError
from radsupport.networks import training as network_training
from radsupport.networks.training import (
    Stopping,
    cached_rows,
    choose_device,
    content_hash,
    feature_table,
    load_checkpoint,
    reproducible,
    save_checkpoint,
    shuffled_batches,
    train,
)


def test_device_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADSUPPORT_DEVICE", raising=False)
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setenv("RADSUPPORT_DEVICE", "cpu")
    assert choose_device() == torch.device("cpu")
    monkeypatch.setenv("RADSUPPORT_DEVICE", "abacus")
    with pytest.raises(InputError, match="Unknown device 'abacus'"):
        choose_device()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADSUPPORT_DEVICE", "cuda")
    with pytest.raises(InputError, match="sees no CUDA device"):
        choose_device()


def test_seed_holds_inside_the_block_only() -> None:
    before = torch.get_rng_state()
    with reproducible(3):
        first = torch.rand(4)
        assert torch.are_deterministic_algorithms_enabled()
    with reproducible(3):
        second = torch.rand(4)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_content_hash_sees_values_shapes_types_and_names() -> None:
    x = np.arange(6, dtype=np.float32)
    assert content_hash(x, {"a": 1}) == content_hash(x.copy(), {"a": 1})
    assert content_hash({"a": x, "b": x}) == content_hash({"b": x, "a": x})
    different = [x, x.reshape(2, 3), x.astype(np.float64), x + 1, {"w": x}, {"v": x}]
    assert len({content_hash(part) for part in different}) == len(different)
    assert content_hash(torch.as_tensor(x)) == content_hash(x)


def test_checkpoints_round_trip_and_refuse_other_files(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none.pt") is None
    save_checkpoint(tmp_path / "a.pt", {"w": torch.ones(2), "history": [{"epoch": 1, "loss": 0.5}]})
    stored = load_checkpoint(tmp_path / "a.pt")
    assert stored is not None
    assert stored["history"] == [{"epoch": 1, "loss": 0.5}]
    whole = (tmp_path / "a.pt").read_bytes()
    others = {"text.pt": b"not a checkpoint", "word.pt": b"hello", "cut.pt": whole[: len(whole) // 2], "no.pt": b""}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="not a readable checkpoint"):
            load_checkpoint(tmp_path / name)


def test_cache_computes_only_what_is_missing(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def compute(positions: list[int]) -> np.ndarray:
        asked.append(positions)
        return np.array([[position, 10.0 * position] for position in positions], dtype=np.float32)

    first = cached_rows(["a", "b", "c"], compute, tmp_path, chunk=2)
    assert asked == [[0, 1], [2]]
    again = cached_rows(["a", "b", "c", "d"], compute, tmp_path, chunk=2)
    assert asked[2:] == [[3]]
    np.testing.assert_array_equal(again[:3], first)
    assert again[3].tolist() == [3.0, 30.0]
    cached_rows(["a"], compute, None)
    assert asked[3:] == [[0]]


def test_batches_hold_each_case_once_and_depend_on_the_epoch() -> None:
    batches = shuffled_batches(10, 4, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches)) == list(range(10))
    assert np.concatenate(batches).tolist() != np.concatenate(shuffled_batches(10, 4, 1, 1)).tolist()
    assert np.concatenate(batches).tolist() == np.concatenate(shuffled_batches(10, 4, 1, 0)).tolist()


def test_feature_table_names_its_columns_and_refuses_doubles() -> None:
    table = feature_table(["A", "B"], np.array([[1.0, 2], [3, 4]]))
    assert table.columns.tolist() == ["subject", "deep_0000", "deep_0001"]
    assert table.loc[1].tolist() == ["B", 3, 4]
    with pytest.raises(InputError, match="more than once: A"):
        feature_table(["A", "A"], np.zeros((2, 1)))
    with pytest.raises(InputError, match="2 subjects for 3 cases"):
        feature_table(["A", "B"], np.zeros((3, 1)))


class Scripted:
    """A network whose one weight counts epochs and whose monitored value is given."""

    def __init__(self, values: list[float]) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0, momentum=0.5)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.5)
        self.values = values

    def epoch(self, number: int) -> dict[str, float]:
        self.optimizer.zero_grad()
        loss = -(self.model.weight * torch.rand(1)).sum()
        loss.backward()
        self.optimizer.step()
        return {"score": self.values[number], "weight": self.model.weight.item()}

    def run(self, stopping: Stopping, checkpoint: Path | None = None) -> Any:
        return train(
            self.model,
            self.optimizer,
            self.epoch,
            stopping,
            seed=5,
            scheduler=self.scheduler,
            checkpoint=checkpoint,
        )


def test_training_stops_after_patience_and_keeps_the_best_epoch() -> None:
    scripted = Scripted([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])
    history = scripted.run(Stopping(6, "score", "highest", patience=3))
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history["best"].tolist() == [False, True, False, False, False]
    assert scripted.model.weight.item() == history.loc[1, "weight"]
    assert history["learning_rate"].tolist() == [1, 0.5, 0.25, 0.125, 0.0625]


def test_training_without_patience_runs_all_epochs() -> None:
    history = Scripted([3.0, 1.0, 2.0, 2.0]).run(Stopping(4, "score", "lowest"))
    assert history["best"].tolist() == [False, True, False, False]


def test_divergence_is_an_error_not_a_best_epoch() -> None:
    with pytest.raises(NotEstimableError, match="score is nan in epoch 2"):
        Scripted([1.0, float("nan"), 0.5]).run(Stopping(3, "score", "lowest"))


@pytest.mark.parametrize(("between", "epochs"), [(0.0, [1, 2, 3, 4, 5]), (2.5, [3, 5]), (9.0, [5])])
def test_a_checkpoint_is_written_where_the_last_one_is_old_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: float, epochs: list[int]
) -> None:
    clock, written = iter(range(100)), []  # an epoch takes a second; each checkpoint one more
    monkeypatch.setattr(network_training, "BETWEEN", between)
    monkeypatch.setattr(network_training, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(network_training, "save_checkpoint", lambda _, state: written.append(len(state["history"])))
    Scripted([0.1, 0.5, 0.4, 0.6, 0.2]).run(Stopping(5, "score", "highest"), tmp_path / "training.pt")
    assert written == epochs


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_killed_training_resumes_with_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    values = [0.1, 0.5, 0.4, 0.6, 0.2]
    stopping = Stopping(5, "score", "highest")
    whole = Scripted(values)
    expected = whole.run(stopping)
    saved = 0

    def save_then_die(path: Path, state: dict[str, Any]) -> None:
        nonlocal saved
        save_checkpoint(path, state)
        saved += 1
        if saved == killed_after:
            raise KeyboardInterrupt

    path = tmp_path / "training.pt"
    with monkeypatch.context() as patch:
        patch.setattr(network_training, "save_checkpoint", save_then_die)
        with pytest.raises(KeyboardInterrupt):
            Scripted(values).run(stopping, path)
    resumed = Scripted(values)
    history = resumed.run(stopping, path)
    assert history.equals(expected)
    assert torch.equal(resumed.model.weight, whole.model.weight)
    read_back = Scripted([])  # would fail if it ran an epoch
    assert read_back.run(stopping, path).equals(expected)
    assert torch.equal(read_back.model.weight, whole.model.weight)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_adam_is_that_of_the_formula_and_passes_all_weights_at_once_where_it_can(device: str) -> None:
    model = nn.Linear(3, 2).to(device)
    optimizer = network_training.adam(model, 0.1)
    assert optimizer.defaults["fused"] is (device == "cpu")
    if device == "meta":
        return
    start, slopes = model.weight.detach().clone(), [torch.full((2, 3), 2.0), torch.full((2, 3), -1.0)]
    for slope in slopes:
        model.weight.grad, model.bias.grad = slope.clone(), torch.zeros(2)
        optimizer.step()
    first, second = 0.1 * slopes[0], 0.001 * slopes[0] ** 2
    expected = start - 0.1 * (first / 0.1) / ((second / 0.001) ** 0.5 + 1e-8)
    first, second = 0.9 * first + 0.1 * slopes[1], 0.999 * second + 0.001 * slopes[1] ** 2
    expected -= 0.1 * (first / (1 - 0.9**2)) / ((second / (1 - 0.999**2)) ** 0.5 + 1e-8)
    torch.testing.assert_close(model.weight.detach(), expected)

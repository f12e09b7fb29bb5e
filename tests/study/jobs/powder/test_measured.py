import json

import numpy as np
import pytest
import torch

from matgan import files
from matgan.powder.measured.answers import SymmetryEnsemble
from matgan.powder.measured.material import MeasuredMaterial
from matgan.powder.measured.preparation import reflection_lists
from matgan.study.jobs.powder import measured


@pytest.fixture(scope="module")
def given(crystals):
    """Some structures, and patterns of them in the place of measured ones."""
    lists = reflection_lists(crystals.take(np.arange(0, 48_000, 1200)))
    n = len(lists)
    rng = np.random.default_rng(0)
    split = np.where(np.arange(n) % 8 == 0, 2, 0).astype(np.int8)
    return MeasuredMaterial(
        lists,
        split,
        np.zeros(n, bool),
        rng.integers(0, 256, (12, 1700)).astype(np.uint8),
        (lists.classes[:12, 2] + 1).astype(np.int16),
        np.repeat([0, 1], 6).astype(np.int8),
        np.full(12, 0.1, np.float32),
        np.full(12, 0.01, np.float32),
        np.zeros(12, bool),
    )


def test_a_training_leaves_a_curve_and_goes_on(given, tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "device", lambda: "cpu")
    choice = measured.replace(measured.CHOICES["new"], batch_size=16)
    whole, curve = measured.learn(choice, 70, 0, given)
    assert [row["step"] for row in curve] == [1, 2, 3]  # of 4; the last is for the mean weights
    assert {"tenth_crystal_system", "test_space_group", "loss"} <= set(curve[0])
    measured.learn(choice, 70, 0, given, tmp_path / "a", last_step=2)
    kept = json.loads((tmp_path / "a" / "curve.json").read_text())
    assert [row["step"] for row in kept] == [1, 2]
    again, _ = measured.learn(choice, 70, 0, given)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_are_kept_and_read(given, tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "material", lambda: given)
    monkeypatch.setattr(measured, "device", lambda: "cpu")
    monkeypatch.setattr(measured, "FINAL", measured.CHOICES["new"])
    rows = measured.final_piece(3, tmp_path, n_patterns=40)
    assert rows[-1]["seed"] == 3
    tensors, facts = files.load(tmp_path / "network.safetensors")
    assert facts["seed"] == "3" and any(array.dtype == np.float16 for array in tensors.values())
    path = tmp_path / "network.safetensors"
    network = measured.kept_network(path, measured.FINAL, given.lists.members)
    rows = measured.look_rows(SymmetryEnsemble([network], given.lists.members), given, "one")
    assert rows[0]["kind"] == "all" and rows[0]["patterns"] == 6
    assert all(np.isfinite(row["crystal_system"]) for row in rows)


def test_the_look_waits_for_the_final_training(given, tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "material", lambda: given)
    monkeypatch.setattr(measured, "WORK", tmp_path)
    with pytest.raises(FileNotFoundError, match="measured-final first"):
        measured.look_piece(tmp_path)


def test_every_choice_has_its_pieces():
    jobs = {job.name: job.pieces() for job in measured.JOBS}
    assert len(jobs["measured-choices"]) == len(measured.CHOICES) * len(measured.CHOICE_SEEDS)
    assert len(jobs["measured-final"]) == len(measured.FINAL_SEEDS)
    assert len(set(measured.CHOICES.values())) == len(measured.CHOICES)

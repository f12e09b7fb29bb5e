"""The encoder's jobs on a few hundred compounds: every choice runs, none sees a test compound."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from matgan.data.splits import compositions
from matgan.representation.encoder.routes import read_compounds
from matgan.representation.encoder.sources import OQMD, joint_labels
from matgan.study.jobs.compositions import encoders
from matgan.study.jobs.compositions.encoders import (
    CHOICES,
    HELD_COMPOUNDS,
    JOBS,
    REFERENCE,
    EncoderChoice,
)
from matgan.study.run import RunError


@pytest.fixture(scope="module")
def kept(wheel):
    """Every 500th compound of each of the four tables."""
    return {task: encoders.load_task_fold(task)[::500].reset_index(drop=True) for task in OQMD}


@pytest.fixture
def few(kept, monkeypatch):
    """The compounds, where the job finds no others."""
    monkeypatch.setattr(encoders, "load_task_fold", kept.__getitem__)
    compounds = read_compounds(kept[OQMD[0]])
    monkeypatch.setattr(encoders, "published_parts", lambda: compounds)
    return compounds


def test_every_choice_changes_one_thing():
    for name, choice in CHOICES.items():
        changed = [
            field for field in vars(choice) if getattr(choice, field) != getattr(REFERENCE, field)
        ]
        assert len(changed) == (name != "reference"), name
    search, final, mean = (job.pieces() for job in JOBS)
    assert len(search) == len(CHOICES) and list(final) == [
        *(f"seed-{seed}" for seed in range(5)),
        "seed-0-twice",
    ]
    assert list(mean) == ["mean"]


def test_what_lowers_the_validation_error_is_taken_into_the_long_trainings():
    errors = dict.fromkeys(CHOICES, 0.05)
    errors |= {"five layers": 0.045, "learning rate 1e-2": 0.048, "learning rate 2e-3": 0.049}
    errors |= {"T": 0.0496, "twice the epochs": 0.03, "dropout 0.1": 0.06}
    table = pd.DataFrame({"choice": list(errors), "mae_val": list(errors.values())})
    expected = EncoderChoice(layers=5, learning_rate=1e-2, weight_decay=0.1, epochs=60)
    assert encoders.chosen(table) == expected
    assert encoders.chosen(table[::-1]) == expected
    with pytest.raises(RunError, match="not tried yet: T; run the job encoder-search"):
        encoders.chosen(table[table["choice"] != "T"])


def test_a_long_training_says_what_it_was_given(few, tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "LONG", tmp_path)
    with pytest.raises(RunError, match=r"no choices yet.*jobs run encoder-search"):
        encoders.final_piece(0, 1, tmp_path / "seed-0")
    errors = {name: 0.04 + 0.02 * (name != "four properties") for name in CHOICES}
    table = pd.DataFrame({"choice": list(errors), "mae_val": list(errors.values())})
    table.to_csv(tmp_path / "encoder-search.csv", index=False)
    whole = encoders.encoder_piece

    def small(name, choice, seed, folder):
        return whole(name, replace(choice, width=32, layers=1), seed, folder)

    monkeypatch.setattr(encoders, "encoder_piece", small)
    (row,) = encoders.final_piece(0, 1, tmp_path / "seed-0")
    assert "targets all four" in row["settings"] and "weight_decay 0.1" in row["settings"]
    assert row["epochs"] == 1 and 0 < row["mae_test"] < 5


def test_no_property_of_a_held_compound_is_learned(few):
    labels = joint_labels(OQMD, [HELD_COMPOUNDS], encoders._table)
    held = few.amounts[np.concatenate([few.rows["val"], few.rows["test"]])]
    codes = compositions(np.concatenate([labels.amounts, held]))
    assert not set(codes[: len(labels.amounts)]) & set(codes[len(labels.amounts) :])
    assert labels.targets.shape[1] == 4 and np.isfinite(labels.targets[:, 0]).sum() >= 470


@pytest.mark.parametrize(
    "name", ["reference", "permuted T", "masked elements first", "four properties"]
)
def test_a_choice_leaves_errors_of_all_parts(few, tmp_path, name):
    choice = replace(CHOICES[name], width=32, layers=1, epochs=1)
    (row,) = encoders.encoder_piece(name, choice, 0, tmp_path / "seed-0")
    assert all(0 < row[f"mae_{part}"] < 5 for part in ("train", "val", "test"))
    assert row["choice"] == name and row["parameters"] > 1000
    predicted = np.load(tmp_path / "seed-0" / "predicted.npy")
    target = few.target[few.rows["test"]]
    assert np.abs(predicted - target).mean() == pytest.approx(row["mae_test"], rel=1e-3)


def test_the_mean_of_the_seeds_by_hand(few, tmp_path):
    own = tmp_path / "encoder-oqmd-mean" / "mean"
    with pytest.raises(RunError, match=r"seed-0.*jobs run encoder-oqmd"):
        encoders.means_of_seeds(own)
    target = few.target[few.rows["test"]]
    for seed, away in enumerate((-1.0, 0.0, 4.0, 0.0, 0.0)):
        (tmp_path / "encoder-oqmd" / f"seed-{seed}").mkdir(parents=True)
        np.save(tmp_path / "encoder-oqmd" / f"seed-{seed}" / "predicted.npy", target + away)
    errors = {row["seeds"]: row["mae_test"] for row in encoders.means_of_seeds(own)}
    assert len(errors) == 10
    assert errors["0 1 2"] == pytest.approx(1.0) and errors["1 3 4"] == pytest.approx(0.0)
    assert errors["0 1 3"] == pytest.approx(1 / 3) and errors["2 3 4"] == pytest.approx(4 / 3)

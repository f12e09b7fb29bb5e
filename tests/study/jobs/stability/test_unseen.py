"""The encoder on systems that it never saw: a few hundred compounds, the mean of its trainings."""

from dataclasses import replace

import numpy as np
import pytest

from matgan.chemistry.composition import amounts_matrix
from matgan.data.splits import chemical_systems, grouped_parts
from matgan.properties.training import Labelled
from matgan.study.jobs.compositions.encoders import REFERENCE
from matgan.study.jobs.runner import known_jobs
from matgan.study.jobs.stability import unseen as jobs
from matgan.study.jobs.stability.stable import ALL, LEARNED
from matgan.study.run import RunError


@pytest.fixture
def few(oqmd, monkeypatch):
    """500 compounds, whole systems held out, and an encoder that hardly learns."""
    rows = oqmd.sample(500, random_state=0)
    amounts, energies = amounts_matrix(rows["formula"]), rows["target"].to_numpy()
    part = grouped_parts(chemical_systems(amounts), seed=0, largest=0.01)
    data = Labelled(amounts, energies, np.ones(500, dtype=bool), part)
    monkeypatch.setattr(jobs.training, "labelled", lambda name: data)
    monkeypatch.setattr(jobs, "final_choice", lambda: replace(REFERENCE, width=32, epochs=2))
    monkeypatch.setattr(jobs, "hull_energies", lambda asked: np.full(len(asked), -0.5))
    jobs.held_back.cache_clear()
    yield data
    jobs.held_back.cache_clear()


def test_no_compound_of_a_tested_system_is_learned(few, tmp_path, monkeypatch):
    learned = []
    whole = jobs.encoder_of

    def watched(*given):
        encoder = whole(*given)
        fit = encoder.fit
        encoder.fit = lambda X, y: learned.append(X) or fit(X, y)
        return encoder

    monkeypatch.setattr(jobs, "encoder_of", watched)
    rows = jobs.unseen_piece(0, tmp_path / "seed-0")
    tested = chemical_systems(few.amounts[few.part != "train"])
    assert not set(chemical_systems(learned[0])) & set(tested)
    assert [row["hull"] for row in rows] == [ALL, LEARNED]
    assert all(row["training compounds"] == len(learned[0]) for row in rows)
    # the distance is off by as much as the energy
    predicted = np.load(tmp_path / "seed-0" / "predicted.npy")
    off = np.abs(predicted - few.target[few.part == "test"]).mean()
    assert rows[0]["mae"] == pytest.approx(off, rel=1e-5)
    jobs.unseen_piece(0, tmp_path / "seed-0")
    assert len(learned) == 1  # the encoder that is there is only measured


def test_the_mean_is_of_all_trainings(few, tmp_path):
    true = few.target[few.part == "test"]
    with pytest.raises(RunError, match=r"seed-0.*jobs run encoder-unseen"):
        jobs.unseen_mean_piece(tmp_path / "mean")
    for seed, away in enumerate((-0.3, 0.1, 0.5, 0.2, 0.0)):
        (tmp_path / f"seed-{seed}").mkdir()
        np.save(tmp_path / f"seed-{seed}" / "predicted.npy", true + away)
    row = jobs.unseen_mean_piece(tmp_path / "mean")[0]
    assert row["mae"] == pytest.approx(0.1, abs=1e-6)
    assert list(known_jobs()[jobs.NAME].pieces()) == [
        *(f"seed-{seed}" for seed in range(5)), "mean",
    ]  # fmt: skip

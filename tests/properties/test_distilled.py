import shutil

import numpy as np
import pytest
import torch

from matgan.chemistry.composition import amounts_matrix, formulas
from matgan.files import PRETRAINED, WeightsError
from matgan.properties import distilled
from matgan.properties.distilled import (
    Counts,
    DistilledEnergy,
    Lessons,
    SmallNetwork,
    balanced_sample,
    load_distilled,
    taught,
)
from matgan.properties.training import Labelled
from matgan.stability.enumeration import Enumeration


@pytest.fixture(scope="module")
def sample():
    return balanced_sample(3000, seed=7)


def test_the_compiled_way_is_the_network(sample):
    """Against torch's own layers on all 170 inputs; more rows than one part."""
    torch.manual_seed(0)
    network = SmallNetwork((48, 16, 8))
    network.centre.fill_(-1.5)
    network.scale.fill_(0.7)
    rows = np.resize(np.arange(len(sample)), 5000)
    counts = sample.take(rows).counts()
    (x,), _ = Counts(counts, np.zeros(5000)).batch(np.arange(5000), [0])
    with torch.no_grad():
        expected = network(x)["value"][:, 0].numpy() * 0.7 - 1.5
    found = DistilledEnergy(network).energies(sample.elements[rows], sample.amounts[rows])
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.std() > 1e-3
    assert len(DistilledEnergy(network).energies(sample.elements[:0], sample.amounts[:0])) == 0


def test_a_sum_over_elements_is_learned(sample):
    weights = np.random.default_rng(0).normal(size=85)
    counts = sample.counts()
    energies = counts / counts.sum(axis=1, keepdims=True) @ weights
    lessons = Lessons(epochs=30, batch_size=100, hidden=(32, 16))
    network, facts = taught(counts[:2500], energies[:2500], lessons)
    rest = sample.take(np.arange(2500, 3000))
    error = np.abs(network.energies(rest.elements, rest.amounts) - energies[2500:]).mean()
    assert error < 0.3 * energies.std()
    assert facts["seed"] == "0" and "epochs" in facts["lessons"]


def test_a_network_is_written_and_read(tmp_path, sample):
    torch.manual_seed(1)
    made = DistilledEnergy(SmallNetwork((12, 5)))
    made.save(tmp_path / "small.safetensors", {"seed": "1"})
    again = load_distilled(tmp_path / "small.safetensors")
    np.testing.assert_array_equal(
        again.energies(sample.elements, sample.amounts),
        made.energies(sample.elements, sample.amounts),
    )


def test_a_file_of_something_else_is_named(tmp_path):
    other = tmp_path / "other.safetensors"
    shutil.copy(PRETRAINED / "predict-band-gap.safetensors", other)
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_distilled(other)
    DistilledEnergy(SmallNetwork((12, 5))).save(other, {})
    other.write_bytes(other.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"other\.safetensors"):
        load_distilled(other)


def test_the_sample_is_balanced_and_without_elements(sample):
    assert sample.balanced.all() and ((sample.amounts > 0).sum(axis=1) > 1).all()
    assert len(np.unique(sample.number)) == 3000
    four = ((sample.amounts > 0).sum(axis=1) == 4).mean()
    assert four > 0.95  # as in the enumeration
    np.testing.assert_array_equal(balanced_sample(3000, seed=7).number, sample.number)
    assert sample.number.max() < len(Enumeration())


def test_examples_have_the_labels_or_the_answers(oqmd, monkeypatch):
    some = oqmd[:900]
    part = np.array(["train", "val", "test"])[np.arange(900) % 3]
    data = Labelled(
        amounts_matrix(some["formula"]), some["target"].to_numpy(), np.ones(900, dtype=bool), part
    )
    monkeypatch.setattr(distilled, "labelled", lambda name: data)
    monkeypatch.setattr(distilled, "teacher", lambda counts: np.full(len(counts), -9.0))
    counts, energies = distilled.examples("answers", 500)
    labelled, labels = distilled.examples("labels", 500)
    assert len(labelled) == 300 and len(counts) == 300 + 500 and (energies == -9).all()
    np.testing.assert_array_equal(counts[:-500], labelled)
    assert list(formulas(labelled)) == some["formula"][::3].tolist()
    assert labels.tolist() == some["target"][::3].tolist()
    with pytest.raises(ValueError, match="answers or labels, not 'rumours'"):
        distilled.examples("rumours", 5)

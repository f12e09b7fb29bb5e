"""Pretexts: what is hidden, what may be learned from it, and what it is afterwards."""

import numpy as np
import pytest
import torch

from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import ELEMENT_INDEX
from matgan.learning.fit import Fit
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.encoder.network import CompositionNetwork
from matgan.representation.encoder.pretraining import (
    Guesser,
    Spoiled,
    pretext_loss,
    pretrained_encoder,
)

SIZES = {"width": 16, "layers": 1, "heads": 2, "dropout": 0.0}
# a cation tells its anion: Na goes with Cl, Mg with O, Ga with N
ROWS = amounts_matrix(["NaCl", "MgO", "GaN", "Na2Cl", "Mg2O", "Ga2N"] * 40)


def test_one_token_of_each_composition_is_spoiled():
    source = Spoiled(amounts_matrix(["NaCl", "Li", "LiFePO4", "GaN"]))
    rows = np.array([0, 1, 2, 3])
    (elements, _, groups, place, spoiled, others), targets = source.batch(rows, [0, 1])
    assert groups.tolist() == [[1, 1], [2, 2], [4, 1]]
    starts = [0, 1, 3, 5, 9]  # Li; NaCl; GaN; LiFePO4
    for i in range(4):
        assert starts[i] <= spoiled[i] < starts[i + 1]
    assert torch.equal(targets, elements[spoiled]) and place.tolist() == [1, 0, 3, 2]
    drawn = [source.batch(rows, [0, 1, step])[0] for step in range(300)]
    places = {int(inputs[4][3]) for inputs in drawn}
    assert places == {5, 6, 7, 8}
    counts = np.bincount(np.concatenate([inputs[5] for inputs in drawn]), minlength=85)
    assert counts[ELEMENT_INDEX["Li"]] / counts.sum() == pytest.approx(2 / 9, abs=0.04)
    again = source.batch(rows, [0, 1])
    assert torch.equal(again[0][4], spoiled) and torch.equal(again[0][5], others)


def test_what_is_hidden_does_not_leak():
    network = Guesser(CompositionNetwork(1, **SIZES).eval(), "masked")
    (elements, *rest), _ = Spoiled(ROWS[:6]).batch(np.arange(6), [0])
    changed = elements.index_put((rest[3],), torch.tensor(ELEMENT_INDEX["U"]))
    with torch.no_grad():
        same = network(elements, *rest)["element"], network(changed, *rest)["element"]
    torch.testing.assert_close(*same)


# blind: log 6 of six elements; the entropy of one strange token in two is log 2. Of two tokens that
# do not belong together either may be the strange one, so that half of it stays
@pytest.mark.parametrize(("pretext", "best"), [("masked", 0.9), ("replaced", 0.5)])
def test_pairs_are_learned_and_another_training_begins_there(tmp_path, pretext, best):
    fit = Fit(epochs=40, batch_size=40, learning_rate=1e-2, average=0.9)
    encoder, losses = pretrained_encoder(ROWS, pretext, SIZES, fit)
    assert losses[-1] < best < losses[0]
    encoder.save(tmp_path / "encoder.safetensors")
    options = {"epochs": 1, "learning_rate": 1e-9, "average": 0.0, "weight_decay": 0.0}
    begun = CompositionEncoder(**SIZES, **options, start=tmp_path / "encoder.safetensors")
    begun.fit(ROWS[:10], np.arange(10.0))
    np.testing.assert_allclose(begun.transform(ROWS[:6]), encoder.transform(ROWS[:6]), atol=1e-5)


def test_an_element_that_replaces_itself_belongs():
    (_, _, _, _, spoiled, others), targets = Spoiled(ROWS[:3]).batch(np.arange(3), [0])
    strange = {"strange": torch.full((6,), -20.0)}  # nothing is strange
    assert pretext_loss(strange, targets, (None, spoiled, targets)) < 1e-6
    other = torch.where(others == targets, (others + 1) % 85, others)
    assert pretext_loss(strange, targets, (None, spoiled, other)) == pytest.approx(10.0)

"""Routes: what is lost is counted, a permuted source is the same numbers, combinations by hand."""

import numpy as np
import pandas as pd
import pytest

from matgan.chemistry.elements import ELEMENTS
from matgan.representation.encoder import routes
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder

SMALL = {"width": 16, "layers": 1, "heads": 2, "epochs": 2, "batch_size": 32, "device": "cpu"}
FOLD = pd.DataFrame(
    {
        "formula": ["NaCl", "KrF2", "GaN", "MgO", "HeF", "ZnO", "KCl"],
        "target": [1.0, 9.0, 2.0, 3.0, 9.0, 4.0, 5.0],
        "split": ["train", "train", "train", "val", "val", "test", "test"],
    }
)


def test_a_test_compound_of_another_element_gets_the_median():
    fold = pd.concat([FOLD, pd.DataFrame({"formula": ["KrF"], "target": [4.5], "split": "test"})])
    compounds = routes.read_compounds(fold)
    assert compounds.target.tolist() == [1, 2, 3, 4, 5] and compounds.amounts.shape == (5, 85)
    assert {part: rows.tolist() for part, rows in compounds.rows.items()} == {
        "train": [0, 1], "val": [2], "test": [3, 4],
    }  # fmt: skip
    predicted = np.array([0, 0, 3.5, 4.5, 5.0])
    assert compounds.error(predicted, "val") == 0.5
    assert compounds.error(predicted, "test") == pytest.approx((0.5 + 0 + 3.0) / 3)


@pytest.mark.parametrize("elements", [None, "mat2vec"])
def test_a_permuted_source_has_the_same_numbers(tmp_path, elements):
    names = ["NaCl", "GaN", "MgO", "ZnO"]
    source = CompositionEncoder(**SMALL, elements=elements).fit(names, [1.0, 2.0, 3.0, 4.0])
    before = source.predict(names)
    mixed = routes.permuted(source, tmp_path / "mixed.safetensors", seed=1)
    np.testing.assert_array_equal(source.predict(names), before)
    for key, weights in source.network_.state_dict().items():
        others = mixed.network_.state_dict()[key]
        if key.startswith("embed") and len(weights) == 85:
            assert not np.array_equal(weights, others)
            order = np.lexsort(weights.numpy().T), np.lexsort(others.numpy().T)
            np.testing.assert_array_equal(weights[order[0]], others[order[1]])
        else:
            np.testing.assert_array_equal(weights, others)
    again = load_encoder(tmp_path / "mixed.safetensors")
    np.testing.assert_array_equal(again.predict(names), mixed.predict(names))
    features = routes.source_features(source, np.eye(85)[:3])
    assert features.shape == (3, 1 + 1 + 16)


def test_features_hold_fractions_magpie_and_the_number_of_atoms():
    features = routes.plain_features(routes.read_compounds(FOLD).amounts * 2)
    assert features.shape == (5, 85 + 132 + 1)
    np.testing.assert_allclose(features[:, :85].sum(axis=1), 1)
    assert features[:, -1].tolist() == [4] * 5


def test_a_combination_by_hand():
    target = np.array([1.0, 2.0, 3.0])
    right, high, low = target, target + 1, target - 3
    weights = routes.combination(np.stack([right, high, low]), target, picks=1)
    # begun with one of each (mean error -2/3): adding `high` gives -1/4, `right` -1/2
    np.testing.assert_allclose(weights, [1 / 4, 2 / 4, 1 / 4])
    weights = routes.combination(np.stack([right, high, low]), target, picks=50)
    assert np.abs(weights @ np.stack([right, high, low]) - target).max() < 0.02


def test_fewer_labels_are_some_of_those_there_and_a_fifth_validates():
    rows = {"train": np.arange(0, 40), "val": np.arange(40, 50), "test": np.arange(50, 60)}
    compounds = routes.Compounds(np.eye(85)[:60], np.arange(60.0), rows, np.empty(0))
    few, more = compounds.fewer(20, 3), compounds.fewer(30, 3)
    assert (len(few.rows["train"]), len(few.rows["val"])) == (16, 4)
    chosen = [set(of.rows["train"]) | set(of.rows["val"]) for of in (few, more)]
    assert chosen[0] < chosen[1] <= set(range(50)) and len(chosen[1]) == 30
    assert not set(few.rows["train"]) & set(few.rows["val"])
    np.testing.assert_array_equal(few.rows["test"], rows["test"])
    assert set(compounds.fewer(20, 4).rows["train"]) != set(few.rows["train"])
    for labels in (4, 51):
        with pytest.raises(ValueError, match=rf"from 5 to 50, all there are, not {labels}"):
            compounds.fewer(labels, 0)


def test_a_table_stands_beside_the_plain_features():
    amounts = routes.read_compounds(FOLD).amounts
    table = pd.DataFrame({"Z": np.arange(1.0, 86)}, index=list(ELEMENTS))
    features = routes.with_table(amounts, table)
    np.testing.assert_array_equal(features[:, :-1], routes.plain_features(amounts))
    by_hand = amounts @ np.arange(1.0, 86) / amounts.sum(axis=1)
    np.testing.assert_allclose(features[:, -1], by_hand, rtol=1e-6)

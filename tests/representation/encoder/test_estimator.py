import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor

from matgan import files
from matgan.chemistry.parsing import CompositionError
from matgan.representation.encoder import estimator
from matgan.representation.encoder.estimator import CompositionEncoder, load_encoder, of_elements
from matgan.representation.tables import load_embedding

SMALL = {"width": 16, "layers": 1, "heads": 2, "epochs": 2, "batch_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def gaps(mp_gap):
    return mp_gap.sample(1200, random_state=0).reset_index(drop=True)


def test_it_learns_and_its_vectors_hold_what_was_learned(gaps):
    learn, test = gaps[:1000], gaps[1000:]
    model = CompositionEncoder(**SMALL | {"epochs": 25, "learning_rate": 3e-3})
    model.fit(learn["formula"], learn["target"])
    error = np.abs(model.predict(test["formula"]) - test["target"]).mean()
    median = DummyRegressor(strategy="median").fit(learn["formula"], learn["target"])
    blind = np.abs(median.predict(test["formula"]) - test["target"]).mean()
    assert error < 0.75 * blind, (error, blind)
    vectors = model.transform(test["formula"])
    assert vectors.shape == (200, 16) and vectors.dtype == np.float32
    head = model.network_.head
    read = vectors @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(
        read[:, 0] * model.spread_[0] + model.middle_[0],
        model.predict(test["formula"]),
        rtol=1e-4,
        atol=1e-4,
    )
    value, scale = model.predict(test["formula"], return_scale=True)
    miss = np.abs(value - test["target"]).to_numpy()
    order = np.argsort(scale)
    assert miss[order[100:]].mean() > miss[order[:100]].mean()  # it says where it is unsure


def test_the_same_seed_gives_the_same_and_formulas_are_amounts(gaps):
    from matgan.chemistry.composition import amounts_matrix

    few = gaps[:200]
    first = CompositionEncoder(**SMALL).fit(few["formula"], few["target"])
    again = clone(first).fit(amounts_matrix(few["formula"]), few["target"])
    np.testing.assert_array_equal(first.predict(few["formula"]), again.predict(few["formula"]))
    other = CompositionEncoder(**SMALL | {"random_state": 1}).fit(few["formula"], few["target"])
    assert np.abs(first.predict(few["formula"]) - other.predict(few["formula"])).max() > 1e-3


def test_several_targets_some_of_them_unknown(gaps):
    few = gaps[:200]
    y = np.stack([few["target"], 100 - 5 * few["target"]], axis=1)
    y[::2, 1] = np.nan
    model = CompositionEncoder(**SMALL).fit(few["formula"], y)
    found, scale = model.predict(few["formula"], return_scale=True)
    assert found.shape == scale.shape == (200, 2) and np.isfinite(found).all()
    assert model.middle_[1] == pytest.approx(np.nanmean(y[:, 1]))
    assert abs(found[:, 1].mean() - model.middle_[1]) < 3 * model.spread_[1]  # in its unit
    changed = y.copy()
    changed[0, 0] += 1
    assert not np.array_equal(clone(model).fit(few["formula"], changed).predict(["NaCl"]), found)


def test_it_starts_from_an_element_table_by_symbol(gaps):
    few = gaps[:100]
    table = load_embedding("mat2vec")
    by_name = CompositionEncoder(**SMALL, elements="mat2vec").fit(few["formula"], few["target"])
    shuffled = table.sample(frac=1, random_state=0)  # the rows' order means nothing
    by_table = CompositionEncoder(**SMALL, elements=shuffled).fit(few["formula"], few["target"])
    np.testing.assert_array_equal(by_name.predict(["NaCl"]), by_table.predict(["NaCl"]))
    with pytest.raises(KeyError, match="lacks Na"):
        of_elements(table.drop(index="Na"))


@pytest.mark.parametrize(
    ("changes", "y", "message"),
    [
        ({}, [1.0, 2.0, 3.0], "2 compositions but 3 targets"),
        ({}, 1.0, r"\(n,\) or \(n, m\) with m targets, not \(\)"),
        ({}, [[[1.0, 2.0]], [[3.0, 4.0]]], r"not \(2, 1, 2\)"),
        ({}, [[], []], r"not \(2, 0\)"),
        ({}, [1.0, np.inf], "infinite in row 1"),
        ({}, [[1.0, np.nan], [2.0, np.nan]], "column 1 of y is NaN throughout"),
        ({"width": 15}, [1.0, 2.0], "width = 15 must be a multiple of heads = 2"),
        ({"heads": 0}, [1.0, 2.0], "width = 16 must be a multiple of heads = 0"),
        ({"average": 1.0}, [1.0, 2.0], r"average must be in \[0, 1\), not 1"),
        ({"precision": "half"}, [1.0, 2.0], "precision must be one of float32, bfloat16"),
    ],
)
def test_what_makes_no_sense_is_named(changes, y, message):
    with pytest.raises(ValueError, match=message):
        CompositionEncoder(**SMALL | changes).fit(["NaCl", "GaN"], y)


def test_it_learns_in_what_is_faster_here(monkeypatch):
    seen = []

    def trained(network, source, loss, fit, checkpoint, progress, device, same_shapes):
        seen.append((device, fit.precision))
        return []

    monkeypatch.setattr(estimator, "train", trained)
    monkeypatch.setattr(estimator.compute, "fast_precision", lambda where: "bfloat16")
    for where in ("cpu", "cuda"):
        monkeypatch.setattr(estimator.compute, "device", lambda asked, where=where: where)
        CompositionEncoder(**SMALL, precision="auto").fit(["NaCl", "GaN"], [1.0, 2.0])
    assert seen == [("cpu", "bfloat16"), ("cuda", "float32")]


@pytest.mark.parametrize("y", [[], np.zeros((0, 2))])
def test_without_compositions_there_is_nothing_to_learn_from(y):
    with pytest.raises(ValueError, match="no compositions to learn from"):
        CompositionEncoder(**SMALL).fit([], y)
    with pytest.raises(ValueError, match="no compositions to learn from"):
        CompositionEncoder(**SMALL, on_error="drop").fit(["Xx2"], [1.0])
    with pytest.raises(ValueError, match="0 compositions but 1 targets"):
        CompositionEncoder(**SMALL).fit([], [1.0])


def test_a_bad_formula_is_named():
    with pytest.raises(CompositionError, match="Xx"):
        CompositionEncoder(**SMALL).fit(["NaCl", "Xx2"], [1.0, 2.0])


@pytest.mark.parametrize("elements", [None, "mat2vec"])
def test_a_file_keeps_it_and_another_training_starts_from_it(gaps, tmp_path, elements):
    few, path = gaps[:200], tmp_path / "encoder.safetensors"
    y = np.stack([few["target"], -few["target"]], axis=1)
    first = CompositionEncoder(**SMALL, elements=elements).fit(few["formula"], y)
    first.save(path)
    again = load_encoder(path)
    np.testing.assert_array_equal(again.predict(few["formula"]), first.predict(few["formula"]))
    np.testing.assert_array_equal(again.transform(few["formula"]), first.transform(few["formula"]))

    still = SMALL | {"epochs": 1, "learning_rate": 1e-9, "average": 0.0, "weight_decay": 0.0}
    begun = CompositionEncoder(**still, start=path).fit(few["formula"], few["target"])
    np.testing.assert_allclose(
        begun.transform(few["formula"]), first.transform(few["formula"]), atol=1e-4
    )
    assert begun.predict(few["formula"]).shape == (200,)  # with a head of its own
    with pytest.raises(ValueError, match=r"width = 32, but .*encoder\.safetensors has 16"):
        CompositionEncoder(**SMALL | {"width": 32}, start=path).fit(few["formula"], few["target"])
    with pytest.raises(ValueError, match="elements and start exclude each other"):
        CompositionEncoder(**SMALL, elements="magpie", start=path).fit(few["formula"], y)


def test_a_file_that_holds_no_encoder_is_named(gaps, tmp_path):
    path = tmp_path / "encoder.safetensors"
    CompositionEncoder(**SMALL).fit(gaps["formula"][:50], gaps["target"][:50]).save(path)
    tensors, facts = files.load(path)
    stated = json.loads(facts["encoder"])
    lacking = {k: v for k, v in tensors.items() if k != "network.head.bias"}
    for arrays, changes, message in (
        (lacking, {}, "lacks network.head.bias"),
        (tensors, {"layers": 10**9}, "holds no encoder: .*1000000000 layers"),
        (tensors, {"width": 32}, "network.* has the shape"),
        (tensors, {"heads": 0}, "holds no encoder: .* 0 heads"),
        (tensors | {"spread": np.array([np.nan])}, {}, "NaN or infinite numbers in spread"),
        ({"x": np.zeros(1)}, {}, "holds no encoder: KeyError"),
    ):
        files.save(path, arrays, {"encoder": json.dumps(stated | changes)})
        with pytest.raises(files.WeightsError, match=message):
            load_encoder(path)


def test_one_composition_or_none_is_predicted(gaps):
    model = CompositionEncoder(**SMALL).fit(gaps["formula"][:50], gaps["target"][:50])
    assert model.predict(["GaN"]).shape == (1,)
    assert model.predict(pd.Series(["GaN"])).shape == (1,)
    assert model.predict([]).shape == (0,) and model.transform([]).shape == (0, 16)

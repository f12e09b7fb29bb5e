import json

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import log_loss

from matgan import files
from matgan.chemistry.composition import amounts_matrix
from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.properties import models
from matgan.properties.models import PROPERTIES, Calibration, PropertyModel, PropertyNetwork
from matgan.representation.encoder.estimator import CompositionEncoder
from matgan.representation.features import Magpie

FORMULAS = ["NaCl", "Fe2O3", "YBa2Cu3O7", "La1.85Sr0.15CuO4"]


def constant(median, log_scale, logit=None):
    """A network that says the same of every composition."""
    network = PropertyNetwork((4,), gate=logit is not None)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        said = [median, log_scale] + ([] if logit is None else [logit])
        network.layers[-1].bias.copy_(torch.tensor(said))
    return network


def test_the_loss_is_the_error_with_the_likelihoods_of_its_scale_and_of_the_gate():
    random = np.random.default_rng(0)
    value, there = random.normal(size=50), random.random(50) < 0.7
    median, log_scale, logit = random.normal(size=(3, 50))
    output = dict(zip(("median", "log_scale", "logit"), (median, log_scale, logit), strict=True))
    output = {
        name: torch.tensor(column[:, None], requires_grad=True) for name, column in output.items()
    }
    found = models.laplace_loss(output, torch.tensor(np.column_stack([value, there])), ())
    error = np.abs(value - median)[there].mean()
    density = stats.laplace.logpdf(value, median, np.exp(log_scale))[there]
    expected = error - density.mean() - np.log(2) + log_loss(there, 1 / (1 + np.exp(-logit)))
    assert float(found.detach()) == pytest.approx(expected)
    found.backward()  # the median feels the absolute error alone, whatever the scale
    gradient = np.where(there, np.sign(median - value), 0) / there.sum()
    np.testing.assert_allclose(output["median"].grad[:, 0], gradient)


def test_inputs_are_fractions_and_magpie():
    x = models.inputs(amounts_matrix(FORMULAS))
    assert x.dtype == np.float32 and x.shape == (4, 217)
    np.testing.assert_allclose(x[:, :85].sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(x[:, 85:], Magpie().fit_transform(FORMULAS), rtol=1e-6)


def test_several_networks_make_one_interval():
    """By hand: medians 1 and 3 give 2, scales 1 and 1 plus a deviation of 1 give 2."""
    at = Calibration(mean=10.0, deviation=5.0, factors=(1.5, 2.5, 3.5))
    never = np.zeros((N_ELEMENTS, N_ELEMENTS))
    energy = PropertyModel(
        PROPERTIES["formation_energy"], [constant(1.0, 0.0), constant(3.0, 0.0)], at, never
    )
    found = energy.predict(amounts_matrix(["NaCl"]))
    assert (found.value, found.low, found.high) == (20.0, 20 - 1.5 * 2 * 5, 20 + 1.5 * 2 * 5)
    assert found.probability == 1 and found.outside
    wide = energy.predict(amounts_matrix(["LiFePO4", "LiFeO2", "Na"]))
    np.testing.assert_allclose(wide.high - wide.value, [3.5 * 10, 2.5 * 10, 1.5 * 10])


def test_a_gate_has_its_scale_and_values_their_least():
    at = Calibration(mean=0.0, deviation=1.0, factors=(3.0, 0.0, 0.0), slope=0.5, shift=-1.0)
    never = np.zeros((N_ELEMENTS, N_ELEMENTS))
    gap = PropertyModel(PROPERTIES["band_gap"], [constant(1.0, 0.0, 4.0)], at, never)
    found = gap.predict(amounts_matrix(["NaCl"]))
    assert (found.low, found.value, found.high) == (0, 1, 4)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-(0.5 * 4 - 1))))
    tc = PropertyModel(PROPERTIES["critical_temperature"], [constant(2.0, 0.0, 0.0)], at, never)
    found = tc.predict(amounts_matrix(["NaCl"]))
    np.testing.assert_allclose(found.value, np.expm1(2))
    np.testing.assert_allclose(found.high, np.expm1(5))
    assert found.low == 0


def test_outside_is_a_rare_element_or_a_pair_never_seen():
    seen = amounts_matrix(["NaCl"] * 30 + ["KBr"] * 30 + ["NaBr"] + ["CsI"] * 3)
    model = PropertyModel(
        PROPERTIES["formation_energy"], [constant(0, 0)], Calibration(0, 1),
        models.pair_counts(seen),
    )  # fmt: skip
    asked = ["Na2Cl", "NaBr", "KCl", "KBrCl", "CsI", "Na", "Xe"]
    assert model.outside(amounts_matrix(asked)).tolist() == [False, False, *[True] * 3, False, True]


def test_pairs_are_counted_by_composition():
    pairs = models.pair_counts(amounts_matrix(["NaCl", "Na3Cl", "NaKCl2"]))
    na, cl, k = (ELEMENT_INDEX[s] for s in ("Na", "Cl", "K"))
    assert (pairs[na, na], pairs[na, cl], pairs[cl, na], pairs[k, k], pairs[k, cl]) == (
        3,
        3,
        3,
        1,
        1,
    )
    assert pairs.sum() == 3 + 3 + 1 + 2 * (3 + 1 + 1)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    networks = [models.rounded(PropertyNetwork((8, 4), gate=True)) for _ in range(2)]
    model = PropertyModel(
        PROPERTIES["band_gap"], networks, Calibration(1.0, 2.0), np.eye(85), {"seed": "0"}
    )
    model.save(tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


def test_what_is_saved_is_what_is_read(saved):
    model, path = saved
    again = models.load_model(path)
    assert again.of == model.of and again.calibration == model.calibration
    assert again.facts["seed"] == "0"
    amounts = amounts_matrix(FORMULAS)
    for one, other in zip(model.raw(amounts), again.raw(amounts), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(model.outside(amounts), again.outside(amounts))


def test_encoders_give_their_medians_and_scales(tmp_path):
    """As `CompositionEncoder` itself says them, before and after half precision and a file."""
    amounts, y = amounts_matrix(FORMULAS * 3), np.arange(12) / 3.0
    encoders = [
        CompositionEncoder(16, 2, 2, epochs=2, batch_size=4, random_state=seed).fit(amounts, y)
        for seed in range(2)
    ]
    networks = [models.rounded(encoder.network_) for encoder in encoders]
    at = Calibration(float(y.mean()), float(y.std()))
    model = PropertyModel(PROPERTIES["formation_energy"], networks, at, np.eye(85))
    medians, scales = np.array([e.predict(amounts, return_scale=True) for e in encoders]).swapaxes(
        0, 1
    )
    median, scale, logit = model.raw(amounts)
    np.testing.assert_allclose(median, medians.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, scales.mean(0) + medians.std(0), rtol=1e-5)
    assert not logit.any() and scale.min() > 0
    path = tmp_path / "encoders.safetensors"
    model.save(path)
    again = models.load_model(path)
    np.testing.assert_array_equal(again.raw(amounts), model.raw(amounts))
    tensors, facts = files.load(path)
    assert tensors["1.layers.0.tokens.0.weight"].dtype == np.float16
    for sizes in ({"width": 16, "layers": 0, "heads": 2}, {"width": 16, "layers": 2, "heads": 3}):
        files.save(path, tensors, facts | {"encoder": json.dumps(sizes)})
        with pytest.raises(files.WeightsError, match="holds no model of a property"):
            models.load_model(path)


def test_networks_of_two_sizes_are_no_model():
    """A file states one size for all."""
    networks = [PropertyNetwork((units,), gate=False) for units in (4, 5)]
    with pytest.raises(ValueError, match="of the same sizes"):
        PropertyModel(PROPERTIES["formation_energy"], networks, Calibration(0, 1), np.eye(85))


def test_parts_do_not_matter(saved, monkeypatch):
    model, amounts = saved[0], amounts_matrix(FORMULAS)
    whole = model.raw(amounts)
    monkeypatch.setattr(models, "_PART", 3)
    np.testing.assert_allclose(np.array(model.raw(amounts)), np.array(whole), rtol=1e-5)
    assert model.predict(amounts[:0]).value.shape == (0,)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"property": "colour"}, "holds no model of a property"),
        ({"networks": "0"}, "holds no model of a property"),
        ({"hidden": "[100000, 100000]"}, "does not fit its network"),
        ({"hidden": "[8]"}, "does not fit its network"),
        ({"calibration": '{"colour": 1}'}, "holds no model of a property"),
        ({"calibration": '{"mean": 1, "deviation": 1, "factors": [1]}'}, "holds no model"),
        ({"calibration": "[]"}, "holds no model of a property"),
        ({"calibration": '{"mean": NaN, "deviation": 1, "factors": [1, 1, 1]}'}, "not finite"),
        ({"calibration": '{"mean": "x", "deviation": 1, "factors": [1, 1, 1]}'}, "'x'"),
        ({"hidden": "[Infinity]"}, "holds no model of a property"),
    ],
)
def test_a_file_of_something_else_is_refused(saved, change, why):
    path = saved[1]
    tensors, facts = files.load(path)
    files.save(path, tensors, facts | change)
    with pytest.raises(files.WeightsError, match=why):
        models.load_model(path)


def test_a_damaged_number_is_refused(saved):
    path = saved[1]
    tensors, facts = files.load(path)
    tensors["0.layers.0.weight"][0, 0] = np.nan
    files.save(path, tensors, facts)
    with pytest.raises(files.WeightsError, match="NaN or infinite numbers in 0"):
        models.load_model(path)


def test_an_unknown_property_is_named():
    with pytest.raises(ValueError, match=r"formation_energy.*not 'colour'"):
        models.pretrained("colour")


def test_shipped_models_know_textbook_compounds():
    """Formation energies of OQMD's own compounds, an insulator, a metal, two superconductors."""
    energy = models.pretrained("formation_energy").predict(
        amounts_matrix(["NaCl", "NiAl", "CaTiO3"])
    )
    measured = np.array([-2.13, -0.61, -3.44])  # eV/atom, from enthalpies of formation at 298 K
    assert np.abs(energy.value - measured).max() < 0.2
    gap = models.pretrained("band_gap").predict(amounts_matrix(["MgO", "Cu3Au"]))
    assert gap.probability[0] > 0.9 and gap.probability[1] < 0.1 and 3 < gap.value[0] < 7
    tc = models.pretrained("critical_temperature").predict(
        amounts_matrix(["YBa2Cu3O7", "Nb3Sn", "MgB2"])
    )
    assert tc.value[0] > 70 and 5 < tc.value[1] < 25 and (tc.probability > 0.5).all()


def test_shipped_models_say_what_they_are():
    for name, of in PROPERTIES.items():
        facts = models.load_model(of.file).facts
        assert facts["property"] == name and int(facts["training compositions"]) > 50_000
        assert json.loads(facts["recipe"])["epochs"] >= 25

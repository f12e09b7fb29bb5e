import numpy as np
import pytest

from matgan.crystals import two_descriptors as two
from matgan.crystals.perovskites import cations_of, descriptors, elements_of_sites
from matgan.data.sources import SourceUnavailable


@pytest.fixture(scope="module")
def tables():
    try:
        return {name: two.load_family(name, None) for name in (two.UNMIXED, two.MIXED)}
    except SourceUnavailable as error:
        pytest.skip(f"not run: {error}")


def test_the_unmixed_ones_have_an_element_a_site(tables):
    unmixed, mixed = tables[two.UNMIXED], tables[two.MIXED]
    assert len(unmixed) == 213 and len(mixed) == 582
    assert (cations_of(unmixed)[0].sum(1) == 2).all()
    assert set(unmixed["formula"]) < set(mixed["formula"])
    with pytest.raises(ValueError, match="not 'spinels'"):
        two.load_family("spinels", None)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_the_networks_are_as_small_as_the_papers(tables):
    table = tables[two.UNMIXED]
    for sites, shape in ((2, [(4, 12), (12, 1)]), (3, [(6, 24), (24, 1)])):
        X = np.random.default_rng(0).normal(size=(40, 2 * sites))
        network = two.models(sites, epochs=1)[two.NETWORK].fit(X, X[:, 0])
        starts = [start.regressor_[-1].coefs_ for start in network.best_estimator_.estimators_]
        assert all([w.shape for w in coefs] == shape for coefs in starts)
        assert len({float(coefs[0][0, 0]) for coefs in starts}) == two.STARTS
    assert descriptors(table).shape == (213, 4)


def test_no_composition_is_on_both_sides(tables):
    table = tables[two.MIXED]
    for split in two.family_splits(table, "random", 3):
        formulas = [set(table["formula"].iloc[rows]) for rows in (split.train, split.test)]
        assert not formulas[0] & formulas[1]
        assert len(split.test) == pytest.approx(0.2 * len(table), abs=3)
    with pytest.raises(ValueError, match="not 'by size'"):
        two.family_splits(table, "by size")


def test_each_compound_tested_holds_an_element_that_was_left_out(tables):
    table = tables[two.UNMIXED]
    held = cations_of(table)[0]
    for split in two.family_splits(table, "elements left out", 5):
        trained = held[np.concatenate([split.train, split.validation])].any(0)
        assert (held[split.test] & ~trained).any(1).all()


def test_each_control_finds_what_it_can_express(tables):
    """Energies linear in the descriptors, and additive over the sites: one model each is exact."""
    table = tables[two.UNMIXED]
    names = (two.LINEAR, two.ONE_HOT, two.MEAN)
    linear = descriptors(table) @ [0.3, -0.2, 0.1, 0.4]
    shares, _ = elements_of_sites(table)
    additive = shares @ np.random.default_rng(0).normal(size=shares.shape[1])
    errors = {}
    for name, energy in {"linear": linear, "additive": additive}.items():
        rows = two.errors_of(table.assign(energy=energy), name, "random", 3, names=names)
        errors[name] = rows.groupby("features")["mae"].mean() / energy.std()
    assert errors["linear"][two.LINEAR] < 1e-9 < errors["additive"][two.LINEAR]
    assert errors["additive"][two.ONE_HOT] < 0.2 * errors["additive"][two.LINEAR]
    assert all(errors[name][two.MEAN] > 0.5 for name in errors)


def test_scores_name_the_epochs_of_the_network_only(tables):
    rows = two.errors_of(
        tables[two.UNMIXED], two.UNMIXED, "random", 2, epochs=2, names=(two.NETWORK, two.MEAN)
    )
    assert set(rows.loc[rows["features"] == two.NETWORK, "epochs"]) == {2}
    assert rows.loc[rows["features"] == two.MEAN, "epochs"].isna().all()
    assert len(rows) == 4 and set(rows["split"]) == {"random"}

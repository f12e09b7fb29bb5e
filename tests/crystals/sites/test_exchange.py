import numpy as np
import pytest
from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability

from matgan.crystals.sites.exchange import exchange_distances


@pytest.fixture(scope="module")
def table():
    return exchange_distances().numpy()


def test_rows_are_probabilities_given_the_column(table):
    np.testing.assert_allclose(np.exp(-table.astype(float)).sum(0), 1, atol=1e-5)


def test_an_element_of_one_state_has_pymatgens_own_probability(table):
    """Sodium and potassium are ions of one charge in the table: nothing is summed."""
    published = SubstitutionProbability()
    one = {s.Z: s for s in published.species}
    alone = [z for z in (11, 19, 37) if sum(z == s.Z for s in published.species) == 1]
    assert len(alone) >= 2
    a, b = alone[:2]
    ratio = published.cond_prob(one[a], one[b]) / published.cond_prob(one[b], one[b])
    assert np.exp(table[b, b] - table[a, b]) == pytest.approx(ratio, rel=1e-4)


def test_like_takes_the_place_of_like(table):
    assert table[11, 19] < table[11, 26]  # Na for K rather than for Fe
    assert table[17, 35] < table[17, 11]  # Cl for Br rather than for Na

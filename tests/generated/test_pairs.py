"""Which elements occur together: by hand, and nothing where elements are drawn at random."""

import numpy as np
import pytest
from scipy import stats

from matgan.chemistry.composition import amounts_matrix, whole_counts
from matgan.chemistry.elements import ELEMENT_INDEX, N_ELEMENTS
from matgan.generated import pairs
from matgan.generated.controls import stoichiometry_shuffled


def counts(*formulas):
    return whole_counts(amounts_matrix(formulas))


def test_every_element_is_in_one_group():
    members = np.concatenate(list(pairs.ELEMENT_GROUPS.values()))
    assert sorted(members) == list(range(N_ELEMENTS))


def test_element_pairs_by_hand():
    found = pairs.element_pairs(counts("BaTiO3", "BaO", "NaCl"))
    ba, ti, o, na = (ELEMENT_INDEX[s] for s in ("Ba", "Ti", "O", "Na"))
    assert (found == found.T).all()
    assert (found[ba, o], found[ba, ti], found[ba, na], found[ba, ba]) == (2, 1, 0, 0)
    assert found.sum() == 2 * (3 + 1 + 1)


def test_pair_enrichment_by_hand():
    li, na, cl, br = ([ELEMENT_INDEX[s]] for s in ("Li", "Na", "Cl", "Br"))
    drawn = counts(*["LiCl"] * 300, *["NaBr"] * 300)
    excess = pairs.pair_enrichment(drawn, [li, na, cl + br])
    # four elements of 300 pairs each: by chance 100 pairs of each of the six kinds
    assert excess[0, 1] == excess[1, 0] == pytest.approx(np.log2(1 / 101))
    assert excess[0, 2] == pytest.approx(np.log2(301 / 201))
    # within a group every pair is counted from both sides
    assert excess[2, 2] == pytest.approx(np.log2(1 / 201))
    assert np.isnan(excess[0, 0])  # no pair is expected
    assert np.isnan(pairs.pair_enrichment(drawn, [li, na], least=101)[0, 1])


def test_pair_enrichment_of_random_elements_is_none():
    rng = np.random.default_rng(0)
    drawn = np.zeros((20_000, 85), dtype=np.uint8)
    drawn[:, :20] = np.argsort(rng.random((20_000, 20)), axis=1) < 3
    groups = [np.arange(5), np.arange(5, 12), np.arange(12, 20)]
    assert np.abs(pairs.pair_enrichment(drawn, groups)).max() < 0.03


def test_map_likeness_is_pearsons_over_what_both_hold():
    rng = np.random.default_rng(0)
    one, noise = rng.normal(size=(2, 6, 6))
    other = one + noise
    one[0, 1] = other[2, 3] = np.nan
    upper = np.triu_indices(6)
    kept = ~(np.isnan(one[upper]) | np.isnan(other[upper]))
    expected = stats.pearsonr(one[upper][kept], other[upper][kept]).statistic
    assert pairs.map_likeness(one, other) == pytest.approx(expected)
    assert kept.sum() == 19
    assert np.isnan(pairs.map_likeness(one[:4, :4], other[:4, :4]))  # 8 entries


def test_halogens_seek_alkali_metals_in_real_compounds_only(oqmd):
    real = counts(*oqmd["formula"].sample(20_000, random_state=0))
    shuffled = stoichiometry_shuffled(real, 20_000, np.random.default_rng(0))
    names = list(pairs.ELEMENT_GROUPS)
    place = names.index("halogen"), names.index("alkali")
    assert pairs.pair_enrichment(real)[place] > 0.8  # 1.2 in all of OQMD
    assert abs(pairs.pair_enrichment(shuffled)[place]) < 0.2

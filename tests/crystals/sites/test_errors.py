import numpy as np
import pytest

from matgan.crystals.sites.errors import elements_alike, error_scores, reasonable


def test_elements_share_what_the_periodic_table_says():
    group, block, row = (elements_alike(kind) for kind in ("group", "block", "block and period"))
    assert group[11, 19] and not group[11, 12]  # Na and K, Na and Mg
    assert block[11, 12] and row[25, 26] and not row[25, 43]  # Mn and Fe are 3d, Tc is not
    assert group[58, 66] and not group[58, 92]  # lanthanides; U is an actinide
    assert not block[2].any()  # helium is none of the 85
    with pytest.raises(ValueError, match="not a 'period'"):
        elements_alike("period")


def test_what_shuffled_answers_would_share():
    """The closed form against shuffles drawn, those that hit the true element left out."""
    random = np.random.default_rng(0)
    true, predicted = random.integers(3, 40, 4000), random.integers(3, 40, 4000)
    near = random.random(4000) < 0.5
    predicted[near] = np.where(true[near] + 8 < 90, true[near] + 8, true[near])
    found = reasonable(true, predicted, elements_alike("block"))
    wrong, shares = true != predicted, []
    for _ in range(50):
        drawn = random.permutation(predicted[wrong])
        other = drawn != true[wrong]
        shares.append(elements_alike("block")[true[wrong][other], drawn[other]].mean())
    assert found["expected"] == pytest.approx(np.mean(shares), abs=0.005)
    assert found["share"] == pytest.approx(elements_alike("block")[true, predicted][wrong].mean())
    assert np.isnan(reasonable(true, true, elements_alike("block"))["share"])


def test_errors_of_blocks_are_of_their_own_sites():
    true, predicted = np.array([8, 8, 11, 26, 60]), np.array([8, 9, 12, 26, 61])
    found = error_scores(true, predicted)
    assert [found[f"error_{b}"] for b in "spdf"] == [1, 0.5, 0, 1]
    assert found["error"] == 0.6 and found["block, share"] == 1

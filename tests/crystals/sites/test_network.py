import numpy as np
import pytest
import torch

from matgan.crystals.prototypes import N_Z
from matgan.crystals.sites import network as nw
from matgan.crystals.sites.fingerprints import WIDTH, site_fingerprints
from matgan.learning.fit import Fit


@pytest.fixture(scope="module")
def sites(crystals):
    return site_fingerprints(crystals.take(crystals.rows("train")[:400]))


def test_a_view_shows_what_it_says(sites):
    """Widths, and the shares of the elements column by column."""
    for view in nw.SITE_VIEWS.values():
        assert nw.site_inputs(sites, view).shape == (len(sites), view.width)
    seen = nw.site_inputs(sites, nw.COPIES)[:, WIDTH:].reshape(-1, 2, N_Z)
    for row in range(0, len(sites), 97):
        expected = np.zeros((2, N_Z))
        for k, z in enumerate(sites.species[sites.structure[row]]):
            expected[:, z] += sites.share[row, :, k]
        np.testing.assert_allclose(seen[row], expected, atol=1e-6)
    held = nw.site_inputs(sites, nw.COMPOSITION)
    np.testing.assert_allclose(held.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("view", [nw.SHAPE, nw.BESIDE, nw.SIZED_BESIDE, nw.COMPOSITION])
def test_the_own_element_is_hidden(view, sites):
    """Another element on all sites of a species changes nothing that is seen of them."""
    species = sites.species[sites.structure].copy()
    own = (species == sites.number[:, None]).argmax(1)
    free = np.array([next(z for z in range(1, N_Z) if z not in row) for row in species])
    species[np.arange(len(sites)), own] = free
    changed = nw.site_inputs(sites, view, free, species)
    np.testing.assert_array_equal(changed, nw.site_inputs(sites, view))
    # the view that sees its own element does change
    assert (
        nw.site_inputs(sites, nw.COPIES, free, species) != nw.site_inputs(sites, nw.COPIES)
    ).any()


def test_a_short_training_beats_the_majority_and_says_nothing_of_other_elements(sites):
    torch.manual_seed(0)
    model = nw.learn_sites(sites, nw.BESIDE, Fit(15, 128, 3e-3, seed=1))
    likely = model.log_likelihood(sites)
    np.testing.assert_allclose(np.exp(likely.astype(float)).sum(1), 1, atol=1e-4)
    absent = np.bincount(sites.number, minlength=N_Z) == 0
    assert np.isneginf(likely[:, absent]).all()
    right = (likely.argmax(1) == sites.number).mean()
    assert right > 1.3 * np.bincount(sites.number).max() / len(sites)
    again = nw.learn_sites(sites, nw.BESIDE, Fit(15, 128, 3e-3, seed=1))
    np.testing.assert_array_equal(likely, again.log_likelihood(sites))
    assert model.network.element_vectors().shape[0] == N_Z


def test_the_loss_is_what_it_is_made_of():
    """Both cross-entropies and the bound, by hand, for one site of two numbers."""
    found = {
        "mean": torch.tensor([[1.0, 0.0]]),
        "log_variance": torch.tensor([[0.0, 0.0]]),
        "each": torch.zeros(1, N_Z),
        "one": torch.zeros(1, N_Z),
        "rebuilt": torch.tensor([[1.0, 3.0]]),
    }
    given = torch.tensor([[1.0, 1.0]])
    expected = np.log(N_Z) + N_Z * np.log(2) + 0.1 * 2.0 + 0.01 * 0.5 / nw.LATENT
    assert float(nw.site_loss(found, torch.tensor([8]), (given,))) == pytest.approx(expected)

import numpy as np
import pytest

from matgan.crystals import prototypes as pt
from matgan.crystals.sites import network as nw
from matgan.crystals.sites.fingerprints import site_fingerprints
from matgan.crystals.sites.ranking import likelihood_scores, templates_of
from matgan.crystals.structures import from_pymatgen
from matgan.learning.fit import Fit


@pytest.fixture(scope="module")
def known(crystals):
    """Structures, their sites, the templates of AB2 and a model of the sites."""
    structures = crystals.take(crystals.rows("train")[:700])
    sites = site_fingerprints(structures)
    groups = pt.group_templates(structures, np.arange(len(structures)))
    model = nw.learn_sites(sites, nw.BESIDE, Fit(5, 128, 3e-3))
    return structures, sites, groups[1, 2], model


def test_templates_hold_some_of_each_type_and_all_of_their_atoms(known):
    _, sites, group, _ = known
    templates = templates_of(sites, group, most=2)
    kinds = np.bincount(group.prototype[templates.members], minlength=len(group.names))
    assert (kinds == np.minimum(group.counts, 2)).all()
    atoms = np.bincount(templates.member, templates.weight)
    np.testing.assert_allclose(atoms, 3)  # of a formula unit AB2
    numbers, species = templates.placed(np.array([22, 8]))
    assert set(numbers) == {8, 22}
    per_slot = np.bincount(templates.member, templates.weight * (numbers == 8))
    np.testing.assert_allclose(per_slot, 2)
    assert (np.sort(species, 1)[:, -2:] == [8, 22]).all()


@pytest.mark.parametrize("view", [nw.BESIDE, nw.SHAPE])
def test_the_product_is_that_of_a_structure_built_with_pymatgen(known, view):
    """Elements replaced in pymatgen's structure, new fingerprints, the best order of AB2."""
    structures, sites, group, model = known
    if view == nw.SHAPE:
        model = nw.learn_sites(sites, view, Fit(2, 128, 3e-3))
    asked = np.array([[22, 8], [25, 32]])
    scores = likelihood_scores(model, templates_of(sites, group, most=1, seed=3), asked)
    members = templates_of(sites, group, most=1, seed=3).members
    for row, elements in enumerate(asked):
        for member in members[:4]:
            structure = structures.structure(int(group.rows[member]))
            new = dict(zip(group.elements[member].tolist(), elements.tolist(), strict=True))
            for i, site in enumerate(structure):
                structure[i] = new_symbol(new[site.specie.Z]), site.frac_coords
            own = site_fingerprints(from_pymatgen([structure]))
            likely = model.log_likelihood(own)[np.arange(len(own)), own.number]
            expected = (np.maximum(likely, -30) * own.atoms).sum() / own.atoms.sum() * 3
            found = scores[row, group.prototype[member]]
            assert found == pytest.approx(expected, abs=0.05)


def new_symbol(z):
    from pymatgen.core import Element

    return Element.from_Z(z).symbol

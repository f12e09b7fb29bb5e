import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from matgan import CompositionError, predict_structures
from matgan.crystals import substitution as sb
from matgan.crystals.structures import StructureError


@pytest.fixture(scope="module")
def predicted(crystals):
    return predict_structures("BaZrSe3", n=5)


def test_every_structure_is_its_template_with_other_elements(predicted, crystals):
    assert len(predicted) == 5
    assert [p.share for p in predicted] == sorted((p.share for p in predicted), reverse=True)
    for one in predicted:
        assert one.structure.composition.reduced_formula == "BaZrSe3"
        assert len(one.structure) == int(one.prototype.split("-")[2])
        template = crystals.structure(int(np.flatnonzero(crystals.table["id"] == one.template)[0]))
        assert template.composition.reduced_formula == one.nearest
        assert StructureMatcher().fit_anonymous(template, one.structure)


def test_a_known_structure_comes_back(crystals):
    """Its own composition is among the templates: distance 0, first, and the volume unchanged."""
    row = int(np.flatnonzero(crystals.table["id"] == "mp-3050")[0])  # Y3Al5O12
    first = predict_structures("Y3Al5O12", n=1)[0]
    assert first.distance == 0
    assert StructureMatcher(scale=False).fit(first.structure, crystals.structure(row))


def test_an_obvious_analogue_is_found(crystals):
    """Rock salt, as a chemist would say."""
    names = [p.prototype for p in predict_structures("NaCl", n=3)]
    assert "AB-225-2" in names[:1]


def test_elements_go_where_those_like_them_are(crystals):
    """Perovskites: strontium in the hole between the octahedra, titanium inside of one."""
    cubic = next(p for p in predict_structures("SrTiO3") if p.prototype == "ABC3-221-5")
    near = {s.specie.symbol: len(cubic.structure.get_neighbors(s, 2.6)) for s in cubic.structure}
    assert near["Ti"] == 6 and near["Sr"] == 0


def test_volumes_follow_the_elements(crystals):
    volumes = sb.element_volumes(crystals.take(np.arange(3000)))
    rows = np.arange(3000, 3300)
    sizes = np.diff(crystals.first)[rows]
    true = np.array([crystals.structure(i).volume for i in rows]) / sizes
    estimated = np.array([volumes[crystals[i][1]].mean() for i in rows])
    assert np.median(np.abs(estimated / true - 1)) < 0.12
    assert np.median(np.abs(true.mean() / true - 1)) > 0.2  # the mean volume, as a control
    row = int(np.flatnonzero(crystals.table["id"] == "mp-3050")[0])
    template = crystals.structure(row)
    made = sb.substituted(crystals, row, {39: 21, 13: 13, 8: 8}, volumes)  # Sc for Y
    own = [volumes[[s.specie.Z for s in structure]].sum() for structure in (made, template)]
    assert made.volume / template.volume == pytest.approx(own[0] / own[1])


def test_cif_files_are_read_back(predicted, tmp_path):
    paths = sb.write_cifs(predicted[:2], tmp_path / "new")
    assert [path.name[:3] for path in paths] == ["01_", "02_"]
    for path, one in zip(paths, predicted, strict=False):
        assert StructureMatcher(scale=False).fit(Structure.from_file(path), one.structure)


def test_bad_requests_are_named(crystals):
    with pytest.raises(ValueError, match="n must be a whole number, 1 or more, not 0"):
        predict_structures("NaCl", n=0)
    with pytest.raises(ValueError, match=r"whole number, 1 or more, not 2\.5"):
        predict_structures("NaCl", n=2.5)
    with pytest.raises(StructureError, match="in the ratio 1:97"):
        predict_structures("NaCl97")
    with pytest.raises(CompositionError):
        predict_structures("Xy2")

"""What the phase diagrams show: points, hull, tie lines, labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from matgan.stability.diagrams import Diagram
from matgan.stability.figures import binary_hulls, subscripted, ternary_diagrams

OXIDES = ["Li2O", "LiO", "LiO3"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_formulas_have_subscripts():
    assert subscripted("Fe2O3") == "Fe$_{2}$O$_{3}$"
    assert subscripted("Li0.5CoO2") == "Li$_{0.5}$CoO$_{2}$"


def _points(axes, name):
    (drawn,) = [part for part in axes.collections if part.get_label() == name]
    return np.round(np.asarray(drawn.get_offsets()), 6).tolist()


def test_a_binary_figure_shows_the_hull_and_what_is_found():
    """Li2O and LiO are stable; a prediction finds the first, misses the second, adds LiO3."""
    true = Diagram(["Li", "O"], OXIDES, [-2.0, -1.6, -0.7])
    guess = Diagram(["Li", "O"], OXIDES, [-2.0, -1.2, -1.0])
    left, right = binary_hulls({"true": true, "guess": guess}).axes
    assert _points(left, "stable") == [[round(1 / 3, 6), -2.0], [0.5, -1.6]]
    assert _points(left, "not stable") == [[0.75, -0.7]]
    assert _points(right, "stable, found") == [[round(1 / 3, 6), -2.0]]
    assert _points(right, "stable, missed") == [[0.5, -1.2]]
    assert _points(right, "falsely stable") == [[0.75, -1.0]]
    np.testing.assert_allclose(right.lines[0].get_xydata()[:, 1], [0, -2.0, -1.0, 0])
    assert {text.get_text() for text in left.texts} == {"Li$_{2}$O", "LiO"}
    assert left.get_title() == "true" and left.get_ylim()[0] < -2


def test_labels_of_near_compounds_are_moved_apart():
    near = ["Ti3O5", "Ti4O7", "Ti5O9", "Ti6O11", "TiO2"]
    x = np.array([5 / 8, 7 / 11, 9 / 14, 11 / 17, 2 / 3])
    oxides = Diagram(["Ti", "O"], near, 30 * (x - 0.667) ** 2 - 3.3)  # all on a bowl
    (axes,) = binary_hulls({"oxides": oxides}).axes
    at = sorted(text.get_position()[0] for text in axes.texts)
    assert len(at) == 5 and np.diff(at).min() > 0.05


def test_a_ternary_figure_has_its_triangles():
    """One ternary compound below all mixtures: three triangles, all with it as a corner."""
    diagram = Diagram(["Li", "Fe", "O"], ["LiFeO", "Li2FeO"], [-2.0, -1.0])
    axes, bar = ternary_diagrams({"one": diagram}).axes
    assert len(axes.lines) == 9
    centre = [0.5, round(np.sqrt(3) / 6, 6)]
    assert _points(axes, "stable") == [centre]
    ends = [tuple(map(tuple, line.get_xydata().round(6))) for line in axes.lines]
    assert sum(tuple(centre) in both for both in ends) == 6
    assert "energy above the hull" in bar.get_ylabel()
    corners = {t.get_text(): t.xy for t in axes.texts}
    assert corners["O"] == pytest.approx((0.5, np.sqrt(0.75)))

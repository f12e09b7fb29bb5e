"""Absorption of films against closed formulas, invariants, and two packages where they are here."""

import numpy as np
import pytest

from matgan.microstructure import optics
from matgan.microstructure.generation import Morphology, microstructure
from matgan.microstructure.optics import Film, absorbed, balance

FILM = Film(1.46, 4.0 + 0.2j, 640, 150, 600, 1.0, 1.5)
PATTERN = microstructure(Morphology("gaussian", (16, 16), 0.5, (2.0, 2.0)), [0])


def uniform(index, film):
    """Shares of a uniform film by the textbook's characteristic matrix (Born and Wolf)."""
    phase = 2 * np.pi * index * film.thickness / film.wavelength
    b = np.cos(phase) - 1j * np.sin(phase) * film.below / index
    c = film.below * np.cos(phase) - 1j * index * np.sin(phase)
    reflected = abs((film.above * b - c) / (film.above * b + c)) ** 2
    transmitted = 4 * film.above * film.below / abs(film.above * b + c) ** 2
    return np.array([reflected, transmitted, 1 - reflected - transmitted])


@pytest.mark.parametrize("thickness", [10, 150, 2000])
def test_a_uniform_film_is_that_of_the_characteristic_matrix(thickness):
    film = Film(FILM.first, FILM.second, 640, thickness, 600, 1.0, 1.5)
    for phases, index in ((True, film.second), (False, film.first)):
        found = balance(np.full((8, 8), phases), film, 2)
        np.testing.assert_allclose(found, np.stack([uniform(index, film)] * 2, 1), atol=1e-9)


def test_lines_much_finer_than_the_wavelength_are_an_anisotropic_film():
    film = Film(FILM.first, FILM.second, 4.0, 150, 600)
    lines = np.zeros((8, 8), dtype=bool)
    lines[:4] = True  # along the second axis
    found = balance(lines, film, 3, corners=True)
    squares = np.array([film.first, film.second]) ** 2
    across, along = 1 / np.mean(1 / squares), np.mean(squares)
    expected = np.stack([uniform(np.sqrt(e), film) for e in (across, along)], 1)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    np.testing.assert_allclose(balance(lines.T, film, 3, corners=True), found[:, ::-1], atol=1e-9)


def test_what_does_not_absorb_gives_all_light_back():
    film = Film(1.46, 3.0, 900, 300, 600)  # with diffracted waves on both sides
    found = balance(PATTERN, film, 3)
    np.testing.assert_allclose(found[2], 0, atol=1e-10)
    assert (found[:2] > 0.02).all()


@pytest.mark.parametrize("corners", [True, False])
def test_shifts_change_nothing_and_exchanged_axes_exchange_polarisations(corners):
    found = balance(PATTERN, FILM, 3, corners)
    moved = np.roll(PATTERN, (3, 5), (0, 1))
    np.testing.assert_allclose(balance(moved, FILM, 3, corners), found, atol=1e-10)
    np.testing.assert_allclose(balance(PATTERN[::-1], FILM, 3, corners), found, atol=1e-10)
    np.testing.assert_allclose(balance(PATTERN.T, FILM, 3, corners), found[:, ::-1], atol=1e-10)
    assert absorbed(PATTERN, FILM, 3) == pytest.approx(balance(PATTERN, FILM, 3)[2].mean())


def test_more_orders_change_less_and_less():
    found = [absorbed(PATTERN, FILM, orders) for orders in (2, 3, 4, 5)]
    steps = np.abs(np.diff(found))
    assert (steps[1:] < steps[:-1] / 2).all() and steps[-1] < 0.02


def test_at_an_edge_of_diffraction_the_answer_is_a_number():
    film = Film(1.46, 4.0 + 0.2j, 400, 150, 600, 1.0, 1.5)  # a wave along the lower face
    near = Film(1.46, 4.0 + 0.2j, 400.0001, 150, 600, 1.0, 1.5)
    np.testing.assert_allclose(balance(PATTERN, film, 2), balance(PATTERN, near, 2), atol=5e-3)


def test_what_makes_no_sense_is_named():
    with pytest.raises(ValueError, match=r"square, not \(3, 4\)"):
        balance(np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match="orders must be 0 or more, not -1"):
        balance(PATTERN, FILM, -1)
    with pytest.raises(ValueError, match="thickness must be above 0, not 0"):
        Film(thickness=0)
    with pytest.raises(ValueError, match="second must be finite, its imaginary part"):
        Film(second=2 - 1j)
    with pytest.raises(ValueError, match="first must be finite"):
        Film(first=complex("nan"))


def test_meent_gives_the_same_with_its_own_matrices():
    pytest.importorskip("meent")
    from meent import call_mee
    from meent.on_numpy.emsolver.convolution_matrix import to_conv_mat_raster_continuous

    orders, index = 3, np.where(PATTERN, FILM.second, FILM.first).conj()[None]
    solver = call_mee(
        backend=0, n_top=FILM.above, n_bot=FILM.below, theta=0, phi=0, psi=0, pol=0,
        period=[FILM.period] * 2, wavelength=FILM.wavelength, ucell=index,
        thickness=[FILM.thickness], fto=[orders] * 2, fourier_type=1,
    )  # fmt: skip
    result = solver.conv_solve()
    both = result.res_tm_inc, result.res_te_inc  # along the second and the first of its axes
    peer = [[getattr(one, name).sum() for one in both] for name in ("de_ri", "de_ti")]
    matrices = to_conv_mat_raster_continuous(index, orders, orders)
    first, second, inverse = (m[0].conj() for m in matrices)
    waves = optics.wave_vectors(orders)[:, ::-1] * FILM.wavelength / FILM.period
    found = optics.coupled_waves(first, second, np.linalg.inv(inverse), waves, FILM)
    np.testing.assert_allclose(found[:2], peer, atol=1e-6)


def test_grcwa_gives_the_same_by_laurents_rule():
    grcwa = pytest.importorskip("grcwa")
    solver = grcwa.obj(49, [FILM.period, 0], [0, FILM.period], 1 / FILM.wavelength, 0, 0, verbose=0)
    solver.Add_LayerUniform(0, FILM.above**2)
    solver.Add_LayerGrid(FILM.thickness, 512, 512)
    solver.Add_LayerUniform(0, FILM.below**2)
    solver.Init_Setup()
    fine = PATTERN.repeat(32, 0).repeat(32, 1)
    solver.GridLayer_geteps(np.where(fine, FILM.second, FILM.first).ravel() ** 2)
    shares = []
    for p, s in ((1, 0), (0, 1)):
        solver.MakeExcitationPlanewave(p, 0, s, 0)
        shares.append(solver.RT_Solve(normalize=1))
    waves = optics.wave_vectors(8)
    place = [int(np.flatnonzero((waves == one).all(1))[0]) for one in solver.G]  # its set of waves
    index = np.where(PATTERN, FILM.second, FILM.first)
    product = optics.permittivity_matrices(index**2, 8)[2][np.ix_(place, place)]
    vectors = waves[place] * FILM.wavelength / FILM.period
    found = optics.coupled_waves(product, product, product, vectors, FILM)
    np.testing.assert_allclose(found[:2].sum(1), np.sum(shares, 0), atol=1e-3)

"""Unit cells and the lines of a powder pattern: from a guessed cell to the one that fits.

A line at the spacing d has q = 1/d², which is linear in the six numbers of the reciprocal metric:
q(hkl) = A h² + B k² + C l² + D kl + E hl + F hk. So a guessed cell is refined by turns: give each
line the planes that lie nearest, then solve for the six numbers; the first lines, whose planes are
few, come before the others (as in indexing by hand; Coelho 2003 iterates likewise).
"""

from __future__ import annotations

import numpy as np

from matgan.crystals.structures import StructureError, Structures
from matgan.crystals.symmetry import SYMPREC

N_LINES = 20  # as indexing programs ask for
_STAGES = (5, 7, 10, 14, 20)  # lines that are fitted, one after the other
_TURNS = 8  # at most, in each stage
_MOST_PLANES = 20_000  # a guess whose lines need more is given up
ACCURACY = 5e-4  # relative, of q: 0.01° at a 2θ of 40°
EQUAL = 0.003  # relative difference of q up to which two lattices have a line in common


def niggli_cells(structures: Structures) -> np.ndarray:
    """Niggli-reduced primitive cell of each structure: (n, 6), rising edges in Å, then degrees.

    Where spglib finds no smaller cell, or cannot reduce it, the cell that is given is kept.
    """
    import spglib

    found = np.array(structures.cell, dtype=float)
    for i, (cell, numbers, frac) in enumerate(structures):
        basis = np.linalg.inv(reciprocal_basis(cell)).T
        given = (basis.tolist(), frac.tolist(), numbers.tolist())
        primitive = spglib.find_primitive(given, symprec=SYMPREC)
        reduced = spglib.niggli_reduce(primitive[0] if primitive else basis)
        found[i] = _cell_of(reduced if reduced is not None else basis)
    return found


def _cell_of(basis: np.ndarray) -> np.ndarray:
    """(6,) edges and angles of the rows of a basis."""
    edges = np.linalg.norm(basis, axis=1)
    unit = basis / edges[:, None]
    cosines = [unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]
    return np.concatenate([edges, np.degrees(np.arccos(np.clip(cosines, -1, 1)))])


def reciprocal_basis(cell: np.ndarray) -> np.ndarray:
    """(3, 3) array: rows a*, b*, c* in 1/Å (without 2π) of a cell (a, b, c, α, β, γ).

    Raises
    ------
    StructureError
        A length or angle that is not positive, or angles that span no volume.
    """
    cell = np.asarray(cell, dtype=float)
    if cell.shape != (6,) or not (np.isfinite(cell) & (cell > 0)).all():
        raise StructureError(
            f"the cell is {cell.tolist()}; it needs three lengths (Å) and three angles (degrees), "
            "all positive"
        )
    a, b, c = cell[:3]
    cos_a, cos_b, cos_g = np.cos(np.radians(cell[3:]))
    sin_g = np.sin(np.radians(cell[5]))
    height = (cos_a - cos_b * cos_g) / sin_g
    volume_squared = 1 - cos_b**2 - height**2
    if volume_squared <= 1e-12 or (cell[3:] >= 180).any():
        raise StructureError(f"the angles {cell[3:].tolist()} span no cell")
    direct = [
        [a, 0, 0],
        [b * cos_g, b * sin_g, 0],
        [c * cos_b, c * height, c * np.sqrt(volume_squared)],
    ]
    return np.linalg.inv(np.array(direct)).T


# --- refinement -----------------------------------------------------------------------------------


def figure_of_merit(cell: np.ndarray, lines: np.ndarray, accuracy: float = 0.0) -> float:
    """de Wolff's M of n lines: q_n / (2 mean |Δq| N), N lines being possible up to q_n.

    J. Appl. Cryst. 1, 108 (1968). Above 10 a cell of 20 lines is usually right; 0 of no lattice.

    Parameters
    ----------
    cell, lines : as `refined_cell` takes them
    accuracy : relative, of q; no line counts as nearer, so that of the cells that fit the one with
        the fewest possible lines wins, not the one with the most numbers to fit

    Raises
    ------
    ValueError
        No lines, or such as do not rise.
    """
    if not len(lines) or (np.diff(lines) < 0).any():
        raise ValueError("lines must be rising numbers, one at least")
    numbers = _metric(cell)
    planes = _planes(numbers, 1.05 * lines[-1])
    if planes is None or not len(planes):
        return 0.0
    q = np.sort(planes @ numbers)
    possible = 1 + (np.diff(q[q <= lines[-1]]) > 1e-6).sum()
    off = np.maximum(np.abs(q[:, None] - lines).min(0), accuracy * lines).mean()
    return float(lines[-1] / (2 * max(off, 1e-9) * possible))


def indexed_cell(
    guess: np.ndarray, lines: np.ndarray, spread: float = 0.03, tries: int = 30, seed: int = 0
) -> np.ndarray | None:
    """The cell of highest figure of merit that guesses around a first one lead to, or None.

    Parameters
    ----------
    guess : (6,) cell; refined itself first
    lines : (m,) q of observed lines, rising, in 1/Å²
    spread : relative standard deviation of the edges and, half of it, of the angles
    tries : guesses in all
    seed : of the guesses
    """
    rng, best, merit = np.random.default_rng(seed), None, 0.0
    for n in range(tries):
        away = rng.normal(0, spread, 6) * [1, 1, 1, 0.5, 0.5, 0.5] * (n > 0)
        for widely in (True, False):
            found = refined_cell(guess * np.exp(away), lines, widely)
            if found is None:
                continue
            if (own := figure_of_merit(found, lines, ACCURACY)) > merit:
                best, merit = found, own
    return best


def refined_cell(guess: np.ndarray, lines: np.ndarray, widely: bool = True) -> np.ndarray | None:
    """The cell whose lines fit, reached from a guess by turns; None where the guess is lost.

    Parameters
    ----------
    guess : (6,) edges in Å and angles in degrees
    lines : (m,) q of observed lines, rising, in 1/Å²
    widely : whether all planes count at first, also those that no line may belong to: this leads
        further, but where many planes are extinct away from a good guess
    """
    try:
        numbers = _metric(guess)
    except StructureError:
        return None
    stages = sorted({min(n, len(lines)) for n in _STAGES})
    rounds = [(n, not widely) for n in stages] + [(stages[-1], True)]
    for n, narrow in rounds:
        for _ in range(_TURNS):
            before = numbers
            numbers = _turn(before, lines[:n], narrow)
            if numbers is None:
                return None
            if np.abs(numbers - before).max() < 1e-9 * np.abs(before).max():
                break
    return _of_metric(numbers)


def _metric(cell: np.ndarray) -> np.ndarray:
    """(6,) A to F of a cell."""
    g = reciprocal_basis(cell)
    g = g @ g.T
    return np.array([g[0, 0], g[1, 1], g[2, 2], 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]])


def _of_metric(numbers: np.ndarray) -> np.ndarray | None:
    """(6,) edges and angles; None where the numbers are those of no lattice."""
    a, b, c, d, e, f = numbers
    g = np.array([[a, f / 2, e / 2], [f / 2, b, d / 2], [e / 2, d / 2, c]])
    if np.linalg.eigvalsh(g)[0] <= 1e-7:
        return None
    return _cell_of(np.linalg.cholesky(np.linalg.inv(g)))


def _planes(numbers: np.ndarray, most: float) -> np.ndarray | None:
    """(m, 6) h², k², l², kl, hl, hk of one half of the planes with q up to `most`."""
    cell = _of_metric(numbers)
    if cell is None:
        return None
    reach = np.floor(cell[:3] * np.sqrt(most)).astype(int)
    if (2 * reach + 1).prod() > 2 * _MOST_PLANES:
        return None
    h, k, l = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")  # noqa: E741
    hkl = np.stack([h, k, l], -1).reshape(-1, 3)[(2 * reach + 1).prod() // 2 + 1 :]
    h, k, l = hkl.T  # noqa: E741
    return np.stack([h * h, k * k, l * l, k * l, h * l, h * k], 1).astype(float)


def _turn(numbers: np.ndarray, lines: np.ndarray, narrow: bool) -> np.ndarray | None:
    """Numbers that fit the lines best with the planes that lie nearest now.

    Of the planes some are extinct, so that none of the lines is theirs: at last (`narrow`) what
    lies further from a line than lines usually lie from a plane counts little.
    """
    planes = _planes(numbers, 1.1 * lines[-1])
    if planes is None or not len(planes):
        return None
    q = planes @ numbers
    inside = q <= lines[-1] + (lines[-1] - lines[-2]) / 2 if len(lines) > 1 else q > 0
    to_line = np.abs(q[:, None] - lines).argmin(1)[inside]  # planes without a line are rare
    to_plane = np.abs(q[:, None] - lines).argmin(0)
    X = np.concatenate([planes[inside], planes[to_plane]])
    y = np.concatenate([lines[to_line], lines])
    off = np.abs(y - X @ numbers) / y
    usual = np.median(off[-len(lines) :] if narrow else off)
    weight = 1 / (y * (1 + (off / (2 * usual + 1e-6)) ** 2))
    # what the lines do not tell stays: a small price on the change of each number
    price = 1e-3 / numbers[:3].mean() * np.eye(6)
    wanted = np.concatenate([(y - X @ numbers) * weight, np.zeros(6)])
    change, *_ = np.linalg.lstsq(np.concatenate([X * weight[:, None], price]), wanted)
    return numbers + change


def same_lattice(cell: np.ndarray, other: np.ndarray, n: int = N_LINES) -> bool:
    """Whether two cells are of one lattice, however they are chosen: by volume and planes.

    Parameters
    ----------
    cell, other : (6,)
    n : of the first 2 n planes of one half, extinct ones included, the q must be equal to `EQUAL`
    """
    both = []
    for one in (cell, other):
        numbers = _metric(one)
        volume = 1 / abs(np.linalg.det(reciprocal_basis(one)))
        planes = _planes(numbers, (4 * n / volume) ** (2 / 3))  # some 8 n planes of one half
        if planes is None:
            return False
        q = np.sort(planes @ numbers)
        both.append((volume, q[: 2 * n]))
    (volume, q), (other_volume, other_q) = both
    m = min(len(q), len(other_q))
    near = np.abs(q[:m] - other_q[:m]) <= EQUAL * other_q[:m]
    return bool(abs(volume / other_volume - 1) <= 3 * EQUAL and near.all())

"""The job of notebook 23: the unit cell from a pattern, and whether it is near enough to index.

The rules, written before the run. A cell is near enough when `indexed_cell`, from it and guesses
around it, finds the true lattice of `ASKED` test structures' first 20 lines, each line off by a
random 0.01° (`LINE_ERROR`). The network's share is compared with that of the nearest training
pattern's cell on the same structures and splits; it is converged when twice the passes change the
mean error of the edges by less than 2%.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from matgan.crystals import cells
from matgan.crystals.symmetry import SYSTEMS
from matgan.learning.fit import Fit, Subset, outputs, regression_loss
from matgan.powder import baselines, patterns
from matgan.powder.networks import FCN, Regressor
from matgan.powder.reflections import reflections
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.powder.material import Setting, material
from matgan.study.jobs.powder.patterns import TRAININGS, fitted
from matgan.study.jobs.runner import Job

NAME = "pattern-lattice"
MEDIAN, SYSTEM, NEAREST = "median cell", "median of its crystal system", "nearest pattern"
NETWORK = "FCN"
UNLEARNED = (MEDIAN, SYSTEM, NEAREST)
ASKED = 200  # test structures whose lines are indexed
TRIES, SPREAD = 20, 0.05  # guesses, and their relative standard deviation
LINE_ERROR = 0.01  # degrees 2θ
WEAKEST = 0.005  # area of a line over that of the strongest, to be seen
RESOLVED = 0.05  # degrees 2θ; nearer lines are one
STARTS = (0.0, 0.01, 0.02, 0.05, 0.1)  # relative errors of cells that are guessed from the true one
PASSES = 30


@lru_cache(maxsize=1)
def reduced_cells(setting: Setting) -> np.ndarray:
    """(n, 6) Niggli cells of the structures of a setting."""
    return cells.niggli_cells(material(setting).crystals)


def as_targets(of: np.ndarray) -> np.ndarray:
    """What a network learns of (n, 6) cells: logarithms of the edges, cosines of the angles."""
    return np.concatenate([np.log(of[:, :3]), np.cos(np.radians(of[:, 3:]))], axis=1)


def as_cells(targets: np.ndarray) -> np.ndarray:
    """The cells again; (n, 6)."""
    angles = np.degrees(np.arccos(np.clip(targets[:, 3:], -0.95, 0.95)))
    return np.concatenate([np.exp(targets[:, :3]), angles], axis=1)


def volumes(of: np.ndarray) -> np.ndarray:
    """(n,) volumes of (n, 6) cells in Å³; 0 of angles that span none."""
    cosines = np.cos(np.radians(of[:, 3:]))
    squared = 1 - (cosines**2).sum(1) + 2 * cosines.prod(1)
    return of[:, :3].prod(1) * np.sqrt(squared.clip(min=0))


def control_cells(method: str, setting: Setting) -> np.ndarray:
    """The cell that a method without a network gives each test structure: (m, 6)."""
    one, known = material(setting), reduced_cells(setting)
    test = one.test["MEGNet"]
    systems, train = one.classes[:, 0], known[~test]
    if method == MEDIAN:
        return np.tile(np.median(train, axis=0), (test.sum(), 1))
    if method == SYSTEM:
        middle = {s: np.median(train[systems[~test] == s], axis=0) for s in set(systems[~test])}
        return np.array([middle.get(s, np.median(train, axis=0)) for s in systems[test]])
    x = baselines.coarse(one.codes, round(0.3 / setting.step))
    return train[baselines.most_similar(x[~test], x[test], 1)[:, 0]]


def network_cells(
    setting: Setting, passes: int, seed: int, checkpoint=None, progress=None
) -> np.ndarray:
    """The cell that an FCN reads from each test pattern: (m, 6)."""
    one, y = material(setting), as_targets(reduced_cells(setting))
    test = one.test["MEGNet"]
    mean, deviation = y[~test].mean(0), y[~test].std(0)
    nothing = np.zeros((len(y), 0), np.float32)
    source = patterns.Stored(one.codes, ((y - mean) / deviation).astype(np.float32), nothing)
    make = partial(_reader, one.codes.shape[1], y.shape[1])
    fit = Fit(passes, setting.batch_size, seed=seed)
    learn = np.flatnonzero(~test)
    network = fitted(make, source, learn, fit, regression_loss, checkpoint, progress)
    found = outputs(network, Subset(source, np.flatnonzero(test)))["value"]
    return as_cells(found * deviation + mean)


def _reader(points: int, targets: int) -> Regressor:
    return Regressor(FCN(points, {}), 0, targets)


# --- what a cell is worth -------------------------------------------------------------------------


def first_lines(
    cell: np.ndarray,
    numbers: np.ndarray,
    frac: np.ndarray,
    n: int = cells.N_LINES,
    instrument: patterns.Instrument = patterns.Instrument(),  # noqa: B008  frozen
) -> np.ndarray:
    """q = 1/d² (1/Å²) of the first lines that a pattern shows, rising: (up to n,).

    Places are exact; what is weaker than `WEAKEST` of the strongest line is not seen, and lines
    nearer than `RESOLVED` are one, at the place of the stronger.

    Parameters
    ----------
    cell, numbers, frac : of the structure, as `matgan.powder.patterns.pattern` takes them
    n : lines at most
    instrument : its range and wavelength
    """
    found = reflections(cell, numbers, frac, *patterns.spacing_range(instrument))
    angles, areas = patterns.peaks(found, instrument)
    inside = (angles >= instrument.start) & (angles <= instrument.stop)
    angles, areas = angles[inside], areas[inside]
    order = np.argsort(angles)
    angles, areas = angles[order], areas[order]
    groups = np.cumsum(np.diff(angles, prepend=-np.inf) > RESOLVED) - 1
    total = np.bincount(groups, areas)
    strongest = np.lexsort([-areas, groups])[np.searchsorted(groups, np.arange(len(total)))]
    seen = angles[strongest][total > WEAKEST * total.max()][:n]
    return (2 * np.sin(np.radians(seen / 2)) / float(instrument.wavelength)) ** 2


@lru_cache(maxsize=1)
def questions(setting: Setting, n: int = ASKED) -> tuple[np.ndarray, list[np.ndarray]]:
    """Some test structures, as places among them, and the first lines that each shows."""
    one = material(setting)
    test = one.crystals.take(one.test["MEGNet"])
    rng = np.random.default_rng([setting.seed, 23])
    chosen = np.sort(rng.permutation(len(test))[:n])
    wavelength = float(patterns.Instrument().wavelength)
    lines = []
    for i in chosen:
        q = first_lines(*test[i])
        theta = np.degrees(np.arcsin(np.sqrt(q) * wavelength / 2)) * 2
        theta += rng.normal(0, LINE_ERROR, len(q))
        lines.append(np.sort((2 * np.sin(np.radians(theta / 2)) / wavelength) ** 2))
    return chosen, lines


def cell_rows(
    found: np.ndarray, setting: Setting, facts: dict, n: int = ASKED, tries: int = TRIES
) -> Rows:
    """Errors of cells, over all test structures and by crystal system: a row each.

    Parameters
    ----------
    found : (m, 6) of the test structures
    setting, facts : what was learned from; more columns
    n, tries : test structures that are indexed, and guesses for each

    Returns
    -------
    rows with system, edges_percent (mean over a, b, c), volume_percent, angles (degrees), near (the
    share with all edges within 5%) and indexed (the share of `asked` structures)
    """
    one = material(setting)
    test = one.test["MEGNet"]
    true, systems = reduced_cells(setting)[test], np.array(SYSTEMS)[one.classes[test, 0]]
    off = np.abs(found[:, :3] / true[:, :3] - 1)
    chosen, lines = questions(setting, n)
    right = np.array(
        [_indexed(found[i], true[i], q, tries) for i, q in zip(chosen, lines, strict=True)]
    )
    rows = []
    for system in ("all", *SYSTEMS):
        here = (systems == system) | (system == "all")
        asked = here[chosen]
        row = {**facts, "system": system, "n_train": int((~test).sum()), "n_test": int(here.sum())}
        if not here.any():
            continue
        row["edges_percent"] = float(100 * off[here].mean())
        away = np.abs(volumes(found[here]) / volumes(true[here]) - 1)
        row["volume_percent"] = float(100 * away.mean())
        row["angles"] = float(np.abs(found[here, 3:] - true[here, 3:]).mean())
        row["near"] = float((off[here] < 0.05).all(1).mean())
        row |= {"asked": int(asked.sum()), "tries": tries}
        row["indexed"] = float(right[asked].mean()) if asked.any() else float("nan")
        rows.append(row)
    return rows


def _indexed(guess: np.ndarray, true: np.ndarray, lines: np.ndarray, tries: int) -> bool:
    best = cells.indexed_cell(guess, lines, SPREAD, tries)
    return best is not None and cells.same_lattice(best, true)


def start_rows(setting: Setting, error: float, n: int = ASKED, tries: int = TRIES) -> Rows:
    """How often a cell that is off by some relative error is near enough, by system and tries."""
    one = material(setting)
    test = one.test["MEGNet"]
    true, rng = reduced_cells(setting)[test], np.random.default_rng([setting.seed, 29])
    off = rng.normal(0, error, true.shape) * [1, 1, 1, 0.5, 0.5, 0.5]
    rows = []
    for attempts in (1, tries):
        facts = {"method": "true cell, disturbed", "seed": 0, "passes": 0, "start": error}
        rows += cell_rows(true * np.exp(off), setting, facts, n, attempts)
    return rows


# --- pieces ---------------------------------------------------------------------------------------


def control_piece(method: str, folder: Path) -> Rows:
    """A method without a network."""
    facts = {"method": method, "seed": 0, "passes": 0}
    return cell_rows(control_cells(method, Setting()), Setting(), facts)


def start_piece(error: float, folder: Path) -> Rows:
    """Cells that are off by one error."""
    return start_rows(Setting(), error)


def network_piece(passes: int, seed: int, folder: Path) -> Rows:
    """One training."""
    found = network_cells(Setting(), passes, seed, folder / "checkpoint.safetensors")
    return cell_rows(found, Setting(), {"method": NETWORK, "seed": seed, "passes": passes})


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {
        f"off-by-{100 * s:.0f}-percent": partial(start_piece, s) for s in STARTS
    }
    pieces |= {m.replace(" ", "-"): partial(control_piece, m) for m in UNLEARNED}
    run: Callable[[int], Piece] = partial(partial, network_piece, PASSES)
    pieces |= {f"network-{seed}": run(seed) for seed in TRAININGS}
    # one training twice as long says whether the others have converged
    return pieces | {"network-0-longer": partial(network_piece, 2 * PASSES, 0)}


JOBS = [
    Job(NAME, "unit cells from patterns, and whether they are near enough to index", 5, _pieces)
]

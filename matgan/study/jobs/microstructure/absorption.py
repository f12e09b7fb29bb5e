"""The job of notebook 43's absorption: orders, other codes, the length of the fields, labels."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.microstructure.optics import (
    FINER_ORDERS,
    WAVE_ORDERS,
    Film,
    absorbed,
    coupled_waves,
    permittivity_matrices,
    wave_vectors,
)
from matgan.study.jobs.microstructure.fields import field
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG, NotYetMade

NAME = "absorption"
FIELD_LENGTHS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # pixels: lengths of the fields
FIELDS_EACH = 60  # fields of each length
LABELLED = 500  # fields of any length, for regressions
ORDERS_TRIED = range(2, 9)  # of waves, on two fields of three lengths
FILM = Film()


def is_complete(table: pd.DataFrame) -> bool:
    """Whether the table of the job has all its parts: comparisons mix them."""
    parts = {"length": len(FIELD_LENGTHS) * FIELDS_EACH, "label": LABELLED}
    parts |= {"finer label": LABELLED, "orders": len(ORDERS_TRIED) * 6, "peer": 9}
    counts = table["what"].value_counts()
    return all(counts.get(part, 0) >= n for part, n in parts.items())


def length_rows() -> Rows:
    """Absorption of several fields of each length."""
    return [
        {"what": "length", "length": length, "number": i, "absorbed": absorbed(image, FILM)}
        for length in FIELD_LENGTHS
        for i in range(FIELDS_EACH)
        for image in [field(i, length=length, seed=3)]
    ]


def order_rows() -> Rows:
    """Absorption of the same fields with more and more orders."""
    rows = []
    for length in (2.0, 4.0, 8.0):
        for number in range(2):
            image = field(number, length=length, seed=3)
            for orders in ORDERS_TRIED:
                row = {"what": "orders", "length": length, "number": number, "orders": orders}
                rows.append(row | {"absorbed": absorbed(image, FILM, orders)})
    return rows


def peer_rows() -> Rows:
    """meent and grcwa on the same fields, beside ours by their own rules of factorisation.

    meent mixes two of Li's nestings, grcwa takes Laurent's rule: with its matrices and set of waves
    ours must give what the other code gives. Times are those of one thread.
    """
    rows = []
    for length, orders in ((3.0, 3), (5.0, 4), (8.0, 4)):
        image = field(0, length=length, seed=3)
        facts = {"what": "peer", "length": length, "orders": orders}
        for name, pair in (("meent", _meent), ("grcwa", _grcwa)):
            theirs, ours, seconds = pair(image, orders)
            rows.append(facts | {"code": name, "absorbed": theirs, "seconds": seconds})
            rows[-1]["ours by its rule"] = ours
        started = time.process_time()
        rows.append(facts | {"code": "ours", "absorbed": absorbed(image, FILM, orders)})
        rows[-1]["seconds"] = time.process_time() - started
    return rows


def _meent(image: np.ndarray, orders: int) -> tuple[float, float, float]:
    from meent import call_mee
    from meent.on_numpy.emsolver.convolution_matrix import to_conv_mat_raster_continuous

    index = np.where(image, FILM.second, FILM.first).conj()[None]
    started = time.process_time()
    result = call_mee(
        backend=0, n_top=FILM.above, n_bot=FILM.below, theta=0, phi=0, psi=0, pol=0,
        period=[FILM.period] * 2, wavelength=FILM.wavelength, ucell=index,
        thickness=[FILM.thickness], fto=[orders] * 2, fourier_type=1,
    ).conv_solve()  # fmt: skip
    seconds = time.process_time() - started
    both = result.res_te_inc, result.res_tm_inc
    theirs = np.mean([1 - one.de_ri.sum() - one.de_ti.sum() for one in both])
    matrices = to_conv_mat_raster_continuous(index, orders, orders)
    first, second, inverse = (m[0].conj() for m in matrices)
    waves = wave_vectors(orders)[:, ::-1] * FILM.wavelength / FILM.period
    ours = coupled_waves(first, second, np.linalg.inv(inverse), waves, FILM)[2].mean()
    return float(theirs), float(ours), seconds


def _grcwa(image: np.ndarray, orders: int) -> tuple[float, float, float]:
    import grcwa

    fine = image.repeat(8, 0).repeat(8, 1)  # its Fourier sums want a fine grid
    count = int(((wave_vectors(orders) ** 2).sum(1) <= orders**2).sum())
    started, n = time.process_time(), len(fine)
    solver = grcwa.obj(
        count, [FILM.period, 0], [0, FILM.period], 1 / FILM.wavelength, 0, 0, verbose=0
    )
    solver.Add_LayerUniform(0, FILM.above**2)
    solver.Add_LayerGrid(FILM.thickness, n, n)
    solver.Add_LayerUniform(0, FILM.below**2)
    solver.Init_Setup()
    solver.GridLayer_geteps(np.where(fine, FILM.second, FILM.first).ravel() ** 2)
    shares = []
    for p, s in ((1, 0), (0, 1)):
        solver.MakeExcitationPlanewave(p, 0, s, 0)
        shares.append(1 - sum(solver.RT_Solve(normalize=1)))
    seconds = time.process_time() - started
    waves = wave_vectors(2 * orders)
    place = [int(np.flatnonzero((waves == one).all(1))[0]) for one in solver.G]
    index = np.where(image, FILM.second, FILM.first)
    product = permittivity_matrices(index**2, 2 * orders)[2][np.ix_(place, place)]
    vectors = waves[place] * FILM.wavelength / FILM.period
    ours = coupled_waves(product, product, product, vectors, FILM)[2].mean()
    return float(np.mean(shares)), float(ours), seconds


def label_rows(start: int, stop: int) -> Rows:
    """Absorption of numbered fields of any length."""
    return [
        {"what": "label", "number": i, "orders": WAVE_ORDERS, "absorbed": absorbed(field(i), FILM)}
        for i in range(start, stop)
    ]


def finer_rows(start: int, stop: int) -> Rows:
    """The same with the orders of the searches' winners: what their gain is over."""
    return [
        {"what": "finer label", "number": i, "orders": FINER_ORDERS}
        | {"absorbed": absorbed(field(i), FILM, FINER_ORDERS)}
        for i in range(start, stop)
    ]


def kept_absorption(n: int = LABELLED) -> np.ndarray:
    """(n,) absorption of the fields 0 to n - 1, from the job's table.

    Raises
    ------
    NotYetMade
        The job has not run.
    """
    path = LONG / f"{NAME}.csv"
    if not path.is_file():
        raise NotYetMade(f"there is no {path.name}: `python -m matgan jobs run {NAME}` makes it")
    table = pd.read_csv(path)
    labels = table[table["what"] == "label"].sort_values("number")["absorbed"].to_numpy()
    if len(labels) < n:
        raise NotYetMade(f"{path.name} holds {len(labels)} labels, not {n}: run the job {NAME}")
    return labels[:n]


def _ignoring_folder(function, arguments: tuple, folder: Path) -> Rows:
    return function(*arguments)


def _pieces() -> dict[str, Piece]:
    pieces: dict[str, Piece] = {
        "lengths": partial(_ignoring_folder, length_rows, ()),
        "orders": partial(_ignoring_folder, order_rows, ()),
        "peers": partial(_ignoring_folder, peer_rows, ()),
    }
    for start in range(0, LABELLED, 100):
        stop = min(start + 100, LABELLED)
        pieces[f"labels-{start:03}"] = partial(_ignoring_folder, label_rows, (start, stop))
    return pieces | {"labels-finer": partial(_ignoring_folder, finer_rows, (0, LABELLED))}


JOBS = [Job(NAME, "absorption of films: orders, peers, length scale, 500 labels", 0.1, _pieces)]

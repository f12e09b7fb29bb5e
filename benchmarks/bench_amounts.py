"""Amounts of real OQMD formulas: formulas per second against pymatgen, on one core.

    python benchmarks/bench_amounts.py [formulas for pymatgen]

Both in one process with one thread, turn by turn, best of five passes, in processor time (others
may use the machine too). pymatgen only has to make its Composition objects (it remembers its last
512 formulas, too few to help here); matgan fills the matrix. Before pymatgen is imported, all
formulas of the set are parsed once: time and peak memory.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import sys
import time

import numpy as np

from matgan import ELEMENTS
from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import read_oqmd


def rate(function, formulas: list[str]) -> float:
    """Formulas per second of processor time."""
    start = time.process_time()
    function(formulas)
    return len(formulas) / (time.process_time() - start)


def main(n: int = 20_000) -> None:
    formulas = read_oqmd()["formula"].tolist()
    start, start_wall = time.process_time(), time.perf_counter()
    rows = amounts_matrix(formulas, on_error="drop")  # krypton is outside the 85
    seconds, wall = time.process_time() - start, time.perf_counter() - start_wall
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"all {len(formulas):,} formulas -> {rows.shape}: {seconds:.2f} s of processor time, ",
        end="",
    )
    print(f"{wall:.2f} s by the clock; peak memory of the process {memory:,.0f} MB")
    del rows

    from pymatgen.core import Composition

    some = [f for f in formulas if "Kr" not in f]
    some = [some[i] for i in np.linspace(0, len(some) - 1, n).astype(int)]
    spaced = [f"{f} " for f in some]  # white space: no fast path
    ours = slow = theirs = 0.0
    for _ in range(5):
        ours = max(ours, rate(amounts_matrix, some))
        slow = max(slow, rate(amounts_matrix, spaced))
        theirs = max(theirs, rate(lambda fs: [Composition(f) for f in fs], some))
    expected = [[c[s] for s in ELEMENTS] for c in map(Composition, some[:2000])]
    agree = np.array_equal(amounts_matrix(some[:2000]), expected)
    print(f"matgan   {ours:10,.0f} formulas/s  ({slow:,.0f} with white space)")
    print(f"pymatgen {theirs:10,.0f} formulas/s")
    print(
        f"ratio {ours / theirs:.1f} ({slow / theirs:.1f} with white space); same amounts: {agree}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Magpie features of real OQMD formulas: formulas per second against matminer, on one core.

    python benchmarks/bench_magpie.py [formulas for matgan] [formulas for matminer]

Both in one process with one thread, turn by turn, best of five passes, in processor time (others
may use the machine too). matgan starts from strings. matminer gets parsed pymatgen compositions
for nothing (the ratio to quote), and is also timed with parsing.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import sys
import time

import numpy as np
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition

from matgan.data.sources import wheel_table
from matgan.representation.features import Magpie


def rate(function, formulas) -> float:
    """Formulas per second of processor time."""
    start = time.process_time()
    function(formulas)
    return len(formulas) / (time.process_time() - start)


def main(n_ours: int = 200_000, n_theirs: int = 500) -> None:
    column = wheel_table("benchmark_data/OQMD_Formation_Enthalpy/train")["formula"]
    formulas = [f for f in column.head(n_ours).tolist() if "Kr" not in f]  # outside the 85
    some = [formulas[i] for i in np.linspace(0, len(formulas) - 1, n_theirs).astype(int)]
    parsed = [Composition(f) for f in some]
    peer = ElementProperty.from_preset("magpie", impute_nan=True)
    magpie = Magpie(dtype=np.float32)

    ours = theirs = strings = 0.0
    for _ in range(5):
        ours = max(ours, rate(magpie.fit_transform, formulas))
        theirs = max(theirs, rate(lambda cs: [peer.featurize(c) for c in cs], parsed))
        strings = max(strings, rate(lambda fs: [peer.featurize(Composition(f)) for f in fs], some))
    expected = np.array([peer.featurize(c) for c in parsed])
    agree = np.allclose(Magpie().fit_transform(some), expected, rtol=1e-9, atol=1e-9)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    print(f"matgan   {ours:12,.0f} formulas/s  ({len(formulas):,} strings, float32)")
    print(f"matminer {theirs:12,.0f} formulas/s  ({len(some)} compositions, parsed beforehand)")
    print(f"matminer {strings:12,.0f} formulas/s  ({len(some)} strings)")
    print(f"ratio {ours / theirs:,.0f} (parsed beforehand), {ours / strings:,.0f} (from strings)")
    print(f"same numbers: {agree}; peak memory of the process {memory:,.0f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

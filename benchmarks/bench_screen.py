"""Enumeration with charge balance against SMACT's screening, in one run on one core.

    python benchmarks/bench_screen.py [--systems 20]

Compositions per second of processor time. SMACT goes through systems of four elements drawn at
random: `smact_filter` with the same largest amount, which makes all ratios itself, and
`smact_validity` of our ratios, parsed beforehand.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import product
from math import gcd

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from pymatgen.core import Composition
from smact import element_dictionary
from smact.screening import smact_filter, smact_validity

from matgan.chemistry.composition import formulas
from matgan.chemistry.elements import ELEMENTS
from matgan.stability.enumeration import Enumeration

LARGEST = 7  # atoms of one element beside three others, of ten


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=20, help="for SMACT (default: 20)")
    n_systems = parser.parse_args().systems
    everything = Enumeration()
    everything.block(0)  # compiles
    rates = []
    for index in range(1, 6):
        start = time.process_time()
        block = everything.block(index)
        rates.append(len(block) / (time.process_time() - start))
    ours = max(rates)
    print(
        f"matgan: {ours:,.0f} of {len(everything):,} compositions a second (best of 5 blocks, "
        f"slowest {min(rates):,.0f}); {block.neutral.mean():.1%} neutral, "
        f"{block.balanced.mean():.1%} balanced too"
    )
    rng = np.random.default_rng(0)
    objects = element_dictionary(ELEMENTS)
    able = [e for e, s in enumerate(ELEMENTS) if objects[s].oxidation_states_smact14]  # filter asks
    chosen = [rng.choice(able, 4, replace=False) for _ in range(n_systems)]
    options = {"oxidation_states_set": "smact14"}
    smact_filter([objects[s] for s in ("Li", "Fe", "P", "O")], 2, **options)  # reads its tables
    ratios = sum(gcd(*n) == 1 for n in product(range(1, LARGEST + 1), repeat=4))
    start = time.process_time()
    for system in chosen:
        smact_filter([objects[ELEMENTS[e]] for e in system], LARGEST, **options)
    filtered = ratios * n_systems / (time.process_time() - start)
    print(f"smact_filter: {filtered:,.0f} a second, ratio {ours / filtered:,.0f}")

    blocks = [Enumeration(4, 10, [ELEMENTS[e] for e in system]).block(0) for system in chosen]
    some = [block.take((block.amounts > 0).all(axis=1)) for block in blocks]
    parsed = [[Composition(f) for f in formulas(part.counts())] for part in some]
    start, agree = time.process_time(), []
    for part, compositions in zip(some, parsed, strict=True):
        theirs = [smact_validity(c, include_alloys=False, **options) for c in compositions]
        agree.append((part.balanced == theirs).mean())
    judged = sum(map(len, parsed)) / (time.process_time() - start)
    print(
        f"smact_validity: {judged:,.0f} a second, ratio {ours / judged:,.0f}; "
        f"{np.mean(agree):.2%} of {sum(map(len, parsed)):,} verdicts agree"
    )


if __name__ == "__main__":
    main()

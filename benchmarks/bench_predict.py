"""Speed of `matgan.predict`, and of its search for known compositions against SciPy's k-d tree.

    python benchmarks/bench_predict.py [--n 20000]

Compositions come from the generator wgan-mp. Times are CPU seconds of one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy.spatial import cKDTree

from matgan import load_generator, predict
from matgan.chemistry.composition import fractions
from matgan.properties.known import all_known


def seconds(work, *arguments, **options):
    """CPU seconds of a call, and what it gives."""
    start = time.process_time()
    found = work(*arguments, **options)
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="compositions (default: 20,000)")
    n = parser.parse_args().n
    torch.set_num_threads(1)
    drawn = load_generator("wgan-mp").sample(n, seed=0)
    predict(drawn[:10])  # compiles, reads data and weights

    took, _ = seconds(predict, drawn)
    print(
        f"predict: {took / n * 1e5:.0f} s for 100,000 compositions, {n / took * 60:,.0f} a minute"
    )
    took, _ = seconds(predict, drawn, nearest=0)
    print(f"without neighbours: {took / n * 1e5:.0f} s for 100,000")

    known, few = all_known(), drawn.counts[:200]
    tree = cKDTree(fractions(known.formulas(np.arange(len(known)))))
    ours, (_, distance) = seconds(known.nearest, few, 3)
    theirs, (twice, _) = seconds(tree.query, fractions(few), k=3, p=1)
    assert np.allclose(twice / 2, distance, atol=1e-5)
    print(
        f"three nearest of {len(known):,}: {ours / len(few) * 1e3:.2f} ms, scipy's cKDTree "
        f"{theirs / len(few) * 1e3:.2f} ms, ratio {theirs / ours:.0f}"
    )


if __name__ == "__main__":
    main()

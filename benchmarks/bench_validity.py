"""Charge neutrality and electronegativity balance against `smact_validity`, in one run on one core.

    python benchmarks/bench_validity.py [--large]

Prints compositions per second of both and their ratio, on OQMD compounds and on random
compositions. SMACT gets pymatgen compositions, parsed beforehand, matgan an array of counts.
--large judges 10 million compositions and prints the peak memory of the process.
"""

import argparse
import os
import resource
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from pymatgen.core import Composition
from smact.screening import smact_validity

from matgan.chemistry.composition import amounts_matrix, formulas, whole_counts
from matgan.chemistry.validity import charge_neutral, electronegativity_balanced
from matgan.data.compounds import load_oqmd

N_SMACT = 5000  # compositions that SMACT judges


def per_second(function, argument, repeats):
    """Compositions judged in a second of processor time: the best of some runs."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        verdict = function(argument)
        best = min(best, time.process_time() - start)
    return len(verdict) / best, verdict


def random_counts(n, seed=0):
    """2 to 5 elements of any kind, 1 to 8 atoms of each."""
    rng = np.random.default_rng(seed)
    rank = rng.random((n, 85)).argsort(axis=1)
    return ((rank < rng.integers(2, 6, (n, 1))) * rng.integers(1, 9, (n, 85))).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="10 million compositions")
    options = parser.parse_args()
    oqmd = whole_counts(amounts_matrix(load_oqmd()["formula"]))
    judges = {"neutral": charge_neutral, "balanced": electronegativity_balanced}
    if options.large:
        many = np.tile(oqmd, (-(-10_000_000 // len(oqmd)), 1))[:10_000_000]
        for name, judge in judges.items():
            start = time.perf_counter()
            share = judge(many).mean()
            print(
                f"10,000,000 compositions, {name} {share:.1%}: {time.perf_counter() - start:.0f} s"
            )
        scale = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
        print(f"peak memory {peak / 2**30:.2f} GiB, the compositions themselves included")
        return
    rng = np.random.default_rng(0)
    print("compositions  verdict     SMACT /s   matgan /s   ratio    agree")
    for source, counts in {"OQMD": oqmd, "random": random_counts(300_000)}.items():
        chosen = rng.choice(len(counts), N_SMACT, replace=False)
        sample = [Composition(f) for f in formulas(counts[chosen])]
        for name, judge in judges.items():

            def smact(compositions, balanced=name == "balanced"):
                return [
                    smact_validity(
                        c,
                        use_pauling_test=balanced,
                        include_alloys=False,
                        oxidation_states_set="smact14",
                    )
                    for c in compositions
                ]

            smact(sample[:10])  # reads its tables
            slow, theirs = per_second(smact, sample, 1)
            fast, ours = per_second(judge, counts, 3)
            agree = (ours[chosen] == theirs).mean()
            print(
                f"{source:14}{name:10}{slow:10,.0f}{fast:12,.0f}{fast / slow:8.0f}{agree:9.2%}",
                flush=True,
            )


if __name__ == "__main__":
    main()

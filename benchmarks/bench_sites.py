"""Speed of the fingerprints of sites beside matminer's and beside pymatgen's neighbour lists.

    python benchmarks/bench_sites.py [--structures 2000] [--peer 20]

CPU seconds of one core. Matminer's: CrystalNNFingerprint.from_preset("ops"), order parameters of
the sites of a crystal, the usual choice where a local structure has to become numbers. Pymatgen's:
the neighbours alone, within the same farthest distance.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from matgan.crystals.sites.fingerprints import site_fingerprints
from matgan.crystals.sites.neighbours import REACH, find_neighbours
from matgan.crystals.structures import load_structures


def main() -> None:
    from matminer.featurizers.site import CrystalNNFingerprint

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=2000, help="for ours (default: 2000)")
    parser.add_argument("--peer", type=int, default=20, help="for the others (default: 20)")
    options = parser.parse_args()
    structures = load_structures()
    rows = np.random.default_rng(0).permutation(len(structures))
    some = structures.take(rows[: options.structures])
    site_fingerprints(some.take(np.arange(2)))  # compiles
    find_neighbours(some, 0)

    start = time.process_time()
    sites = site_fingerprints(some)
    ours = (time.process_time() - start) / len(some.numbers)
    whole = ours * len(structures.numbers)
    print(f"{len(some.numbers):,} sites, {len(sites):,} distinct: {ours * 1e6:.1f} µs a site")
    print(f"all {len(structures.numbers):,} sites: {whole:.0f} s")

    few = some.take(np.arange(options.peer))
    own = [few.structure(i) for i in range(len(few))]
    start = time.process_time()
    lengths = [find_neighbours(few, i).length.max() for i in range(len(few))]
    mine = time.process_time() - start
    start = time.process_time()
    for structure, length in zip(own, lengths, strict=True):
        structure.get_all_neighbors(REACH * length)
    listed = time.process_time() - start
    print(f"neighbours: pymatgen {listed / mine:.1f} times our time")

    peer = CrystalNNFingerprint.from_preset("ops")
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for structure in own:
            for i in range(len(structure)):
                peer.featurize(structure, i)
    theirs = (time.process_time() - start) / len(few.numbers)
    print(f"matminer: {theirs * 1e3:.1f} ms a site, {theirs / ours:,.0f} times our time")


if __name__ == "__main__":
    main()

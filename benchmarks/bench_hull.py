"""Distances to the convex hull: all of OQMD, and the time a compound against pymatgen's.

    python benchmarks/bench_hull.py [--compounds 100]

CPU seconds of one core. pymatgen builds a PhaseDiagram of the other compounds of the same elements
for each compound, which is what a distance that leaves the compound out asks for.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from matgan import hull_distance
from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import read_oqmd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compounds", type=int, default=100, help="for pymatgen (default: 100)")
    compounds = parser.parse_args().compounds
    raw = read_oqmd()
    raw = raw[raw["target"].abs() <= 5]
    amounts, bad = amounts_matrix(raw["formula"], on_error="drop", report=True)
    raw = raw.drop(index=bad["index"])
    formulas, energies = raw["formula"].tolist(), raw["target"].to_numpy()
    hull_distance(amounts[:10], energies[:10])  # compiles

    start = time.process_time()
    distances = hull_distance(amounts, energies)
    ours = time.process_time() - start
    print(f"{len(energies):,} compounds of OQMD: {ours:.1f} s, {(distances < 0).mean():.2%} stable")

    rows = np.random.default_rng(0).choice(len(energies), compounds, replace=False)
    systems = []
    for row in rows:
        near = np.flatnonzero((amounts[:, amounts[row] == 0] == 0).all(axis=1))
        systems.append([(Composition(formulas[i]), energies[i]) for i in near if i != row])
    start, worst = time.process_time(), 0.0
    for row, others in zip(rows, systems, strict=True):
        own = Composition(formulas[row])
        entries = [PDEntry(Composition({element: 1}), 0.0) for element in own.elements]
        entries += [PDEntry(other, energy * other.num_atoms) for other, energy in others]
        found = energies[row] - PhaseDiagram(entries).get_hull_energy_per_atom(own)
        worst = max(worst, abs(found - distances[row]))
    theirs = (time.process_time() - start) / compounds
    print(
        f"a compound: {ours / len(energies) * 1e6:.1f} µs, pymatgen {theirs * 1e3:.1f} ms, "
        f"ratio {theirs / (ours / len(energies)):,.0f}, largest difference {worst:.0e} eV/atom"
    )


if __name__ == "__main__":
    main()

"""Speed of simulated patterns against pymatgen's XRDCalculator, broadened by the same code.

    python benchmarks/bench_diffraction.py [STRUCTURES]

Both in one run, one process, the same random structures; prints processor times, their ratio, the
largest difference, and what all structures would take.
"""

import sys
import time

import numpy as np
from pymatgen.analysis.diffraction.xrd import XRDCalculator

from matgan.crystals.structures import load_structures
from matgan.powder.patterns import Instrument, broaden, pattern


def main(n: int) -> None:
    crystals = load_structures()
    rows = np.random.default_rng(0).choice(len(crystals), n, replace=False)
    instrument, calculator = Instrument(), XRDCalculator(Instrument().wavelength)
    structures = [crystals.structure(i) for i in rows]
    pattern(*crystals[rows[0]], instrument)  # the tables of scattering factors are read once

    started = time.process_time()
    ours = [pattern(*crystals[i], instrument) for i in rows]
    our_time = time.process_time() - started

    theirs, in_pymatgen, in_broadening = [], 0.0, 0.0
    for structure in structures:
        started = time.process_time()
        peaks = calculator.get_pattern(structure, two_theta_range=(4, 91))
        found = time.process_time()
        theirs.append(broaden(np.array(peaks.x), np.array(peaks.y), instrument))
        in_pymatgen += found - started
        in_broadening += time.process_time() - found

    difference = max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
    print(f"{n} random structures of {len(crystals)}, grid {instrument}")
    print(f"matgan     {our_time / n * 1e3:8.2f} ms a pattern, broadening included")
    print(f"pymatgen   {in_pymatgen / n * 1e3:8.2f} ms a list of peaks, without broadening")
    print(
        f"ratio      {in_pymatgen / our_time:8.1f} without, "
        f"{(in_pymatgen + in_broadening) / our_time:.1f} with broadening on both sides"
    )
    print(f"difference {difference:8.1e} of the maximum, the largest")
    print(f"all        {our_time / n * len(crystals):8.0f} s for {len(crystals)} patterns")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)

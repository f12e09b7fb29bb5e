"""Crystal structures that several tests share."""

import pandas as pd
from pymatgen.core import Lattice, Structure

from matgan.crystals.structures import from_pymatgen

NACL = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]]
)
QUARTZ = Structure.from_spacegroup(
    "P3_221",
    Lattice.hexagonal(4.913, 5.405),
    ["Si", "O"],
    [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]],
)
KNOWN = {"NaCl": (NACL, 225), "rutile": (RUTILE, 136), "quartz": (QUARTZ, 154)}


def some(structures=(NACL, RUTILE, QUARTZ), groups=(225, 136, 154)):
    n = len(structures)
    table = pd.DataFrame(
        {
            "id": [f"mp-{i + 1}" for i in range(n)],
            "space_group": groups,
            "split": ["train", "val", "test"][:n],
            "e_form": [-2.1, -3.3, -3.2][:n],
            "gap": [5.0, 1.8, 5.7][:n],
        }
    )
    return from_pymatgen(structures, table)

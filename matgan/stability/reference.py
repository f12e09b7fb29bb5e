"""What predictions are compared with: the hull of all compounds of OQMD, and its systems."""

from __future__ import annotations

from functools import lru_cache

from matgan.chemistry.composition import amounts_matrix
from matgan.data.compounds import read_oqmd
from matgan.stability.hull import Hull
from matgan.stability.quality import KnownSystems

LARGEST_ENERGY = 5.0  # eV/atom; beyond it no formation energy of OQMD can be right


@lru_cache(maxsize=1)
def oqmd_hull() -> Hull:
    """The hull of OQMD's compounds of the 85 elements, made once.

    Not curated, since every compound competes; the 86 with a formation energy beyond 5 eV/atom to
    either side are left out.

    Raises
    ------
    SourceUnavailable
        OQMD is not to hand and cannot be downloaded.
    """
    raw = read_oqmd()
    raw = raw[raw["target"].abs() <= LARGEST_ENERGY]
    amounts, bad = amounts_matrix(raw["formula"], on_error="drop", report=True)
    return Hull(amounts, raw["target"].drop(index=bad["index"]))


@lru_cache(maxsize=1)
def oqmd_systems() -> KnownSystems:
    """How many compounds that hull has in each chemical system, counted once."""
    return KnownSystems(oqmd_hull().amounts)

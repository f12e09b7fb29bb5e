"""How a pattern is taken, drawn at random: sample, instrument, background, noise and range.

The ranges are what powder diffractometry calls usual, but for the narrowest lines of an instrument:
half of the lines of the measured patterns, all of them looked at, are narrower than 0.081°.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Å, Kα1 of the anodes in use, copper first, and Kα2 over Kα1: pymatgen's table (XRDCalculator)
ANODES = (1.54056, 1.78896, 0.7093, 1.93604, 2.2897)  # Cu, Co, Mo, Fe, Cr
KA2_OVER_KA1 = (1.002486, 1.002186, 1.006048, 1.002035, 1.001707)


@dataclass(frozen=True)
class Variation:
    """Ranges that the conditions of each pattern are drawn from; angles are degrees 2θ."""

    strain_mean: float = -0.01  # isotropic change of length; relaxed cells are 1% large
    strain: float = 0.009  # its standard deviation
    shape: float = 0.006  # standard deviation of each strain that the symmetry allows
    most_strain: float = 0.03  # no strain is larger
    width: tuple[float, float] = (0.03, 0.35)  # of the instrument, log-uniform
    size: float = 1.2  # up to this width at θ = 0 by small crystallites, mostly little
    microstrain: float = 0.8  # up to this width at tan θ = 1
    anisotropy: float = 0.5  # up to this part of both more, by direction
    eta: tuple[float, float] = (0.0, 1.0)  # share of the Lorentzian in the profile
    ka2: float = 0.6  # probability of Kα2 beside Kα1
    other_anode: float = 0.15  # probability of another anode than copper's
    zero: float = 0.04  # standard deviation of the zero shift
    displacement: float = 0.06  # of the shift by the sample's height at θ = 0
    texture: float = 0.35  # standard deviation of log r (March and Dollase)
    thermal: float = 2.5  # Å², up to this B factor
    site: float = 0.2  # standard deviation of log |F|², as other atoms on a site would give
    impurity: float = 0.25  # probability of a second phase
    most_impurity: float = 0.15  # its largest maximum, that of the first phase 1
    background: float = 0.6  # up to this height, mostly less: constant, falling, humps
    counts: tuple[float, float] = (100.0, 1e5)  # at the maximum in a step of 0.05°, log-uniform
    electronic: tuple[float, float] = (1e-5, 5e-3)  # Gaussian noise over the maximum, log-uniform
    cut: float = 0.35  # probability that the ends were not measured
    # whether the background is removed again, as `matgan.powder.background` does before it is asked
    removed: bool = True


UNVARIED = Variation(
    strain_mean=0, strain=0, shape=0, width=(0.2, 0.2), size=0, microstrain=0, anisotropy=0,
    eta=(0.5, 0.5), ka2=0, other_anode=0, zero=0, displacement=0, texture=0, thermal=0, site=0,
    impurity=0, background=0, counts=(math.inf, math.inf), electronic=(0, 0), cut=0, removed=False,
)  # fmt: skip


@dataclass
class Conditions:
    """Those of B patterns; every attribute is a (B,) tensor where nothing else is said.

    Attributes
    ----------
    strain : (B, 3, 3), symmetric, of the direct lattice, before the symmetry averages it
    wavelength, ka2_ratio, ka2 : Å of Kα1; wavelength of Kα2 over it; intensity of Kα2 over Kα1
    width, size, micro : degrees 2θ, full widths at half maximum; of `Variation`
    flat : share of the size broadening along the axis of the texture more, or less
    spread : (B, 3, 3), symmetric, strains of other crystallites; widens by direction
    eta : share of the Lorentzian
    zero, displacement : degrees 2θ
    axis : (B, 3), direction hkl of the texture; r : March and Dollase's
    thermal, site : Å²; standard deviation of the logarithm
    impurity : maximum of the second phase, which is the pattern before it in the batch
    level, slope, decay, humps, centre, hump_width : backgrounds, heights over the maximum of the
        lines and places as shares of the range; the last three (B, 2)
    counts, electronic : of the noise; counts may be infinite
    low, high : first and last measured share of the range
    """

    strain: Tensor
    wavelength: Tensor
    ka2_ratio: Tensor
    ka2: Tensor
    width: Tensor
    size: Tensor
    micro: Tensor
    flat: Tensor
    spread: Tensor
    eta: Tensor
    zero: Tensor
    displacement: Tensor
    axis: Tensor
    r: Tensor
    thermal: Tensor
    site: Tensor
    impurity: Tensor
    level: Tensor
    slope: Tensor
    decay: Tensor
    humps: Tensor
    centre: Tensor
    hump_width: Tensor
    counts: Tensor
    electronic: Tensor
    low: Tensor
    high: Tensor


def draw_conditions(n: int, variation: Variation, rng: torch.Generator) -> Conditions:
    """Conditions of n patterns, on the device of the generator.

    Parameters
    ----------
    n : how many
    variation : the ranges
    rng : every random number comes from it
    """
    device, v = rng.device, variation

    def uniform(low: float = 0.0, high: float = 1.0, *more: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *more, generator=rng, device=device)

    def normal(*more: int) -> Tensor:
        return torch.randn(n, *more, generator=rng, device=device)

    def log_uniform(ends: tuple[float, float]) -> Tensor:
        if ends[0] == ends[1]:  # of nothing or infinity, too
            return torch.full((n,), float(ends[0]), device=device)
        return uniform(math.log(ends[0]), math.log(ends[1])).exp()

    identity = torch.eye(3, device=device)
    isotropic = v.strain_mean + v.strain * normal()
    strain = isotropic[:, None, None] * identity + v.shape * _symmetric(normal(3, 3))
    anode = torch.randint(1, len(ANODES), (n,), generator=rng, device=device)
    anode = torch.where(uniform() < v.other_anode, anode, 0)
    alone = uniform() < v.ka2
    cut = uniform() < v.cut
    return Conditions(
        strain=strain.clamp(-v.most_strain, v.most_strain),
        wavelength=torch.tensor(ANODES, device=device)[anode],
        ka2_ratio=torch.tensor(KA2_OVER_KA1, device=device)[anode],
        ka2=0.5 * alone,
        width=log_uniform(v.width),
        size=v.size * uniform() ** 4,
        micro=v.microstrain * uniform() ** 3,
        flat=v.anisotropy * uniform(-1, 1),
        spread=v.anisotropy * uniform()[:, None, None] * _symmetric(normal(3, 3)),
        eta=uniform(*v.eta),
        zero=v.zero * normal(),
        displacement=v.displacement * normal(),
        axis=_axes(n, rng),
        r=(v.texture * normal()).exp(),
        thermal=v.thermal * uniform() ** 2,
        site=v.site * uniform(),
        impurity=v.most_impurity * uniform() * (uniform() < v.impurity),
        level=v.background * uniform() ** 4,
        slope=v.background * uniform() ** 3,
        decay=uniform(0.05, 0.5),
        humps=v.background * uniform(0, 1, 2) ** 4,
        centre=uniform(0.1, 0.7, 2),
        hump_width=uniform(0.06, 0.3, 2),
        counts=log_uniform(v.counts),
        electronic=log_uniform(v.electronic),
        low=cut * uniform(0, 0.15),
        high=torch.where(cut, uniform(0.65, 1), 1.0),
    )


def _axes(n: int, rng: torch.Generator) -> Tensor:
    """(n, 3) directions hkl with indices from -2 to 2, none of them 0 0 0."""
    axis = torch.randint(-2, 3, (n, 3), generator=rng, device=rng.device).float()
    axis[:, 2] += (axis == 0).all(1)
    return axis


def _symmetric(matrix: Tensor) -> Tensor:
    """Symmetric (…, 3, 3) of standard normal numbers: the same deviation in every element."""
    lower = torch.tril(matrix)
    return lower + torch.tril(matrix, -1).mT

"""Batches of patterns from reflection lists, as torch operations: on a processor or a CUDA device.

Every shape is fixed by the number of patterns, nothing waits for the device, and all that is random
comes from one generator. Reflections become sticks on a grid of 0.025°; each is shared between two
of a few widths, and profiles are multiplied in Fourier space, where they have a formula.
`benchmarks/bench_measured.py` counts patterns a second.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from matgan.powder.measured.conditions import Conditions, Variation, draw_conditions
from matgan.powder.measured.lists import ReflectionLists

COPPER = 1.54056  # Å, Kα1: patterns of other anodes are converted to its angles
START, STEP, POINTS = 5.0, 0.05, 1700  # degrees 2θ: the grid of `background.INSTRUMENT`
_FINE = 2  # sticks have steps of STEP / _FINE
_PAD = 120  # fine points (3°) beyond both ends in which reflections still count
_SIZE = 4096  # fine points; what is left over keeps the ends apart
_LEVELS = 5  # widths that profiles are mixed of, from a pattern's narrowest to its broadest
_NARROWEST, _BROADEST = 0.04, 3.0  # degrees 2θ
WINDOW = 80  # points of 0.05° to each side that the background is wider than


class Simulator:
    """Draws patterns of the structures of reflection lists.

    Parameters
    ----------
    lists : of n structures; they are copied to the device once
    variation : how patterns vary
    device : "cpu" or "cuda"
    """

    def __init__(self, lists: ReflectionLists, variation: Variation, device: str = "cpu"):
        self.variation, self.device = variation, torch.device(device)

        def moved(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        self.hkl, self.basis = moved(lists.hkl), moved(lists.basis)
        scale = lists.strength.max(1, keepdims=True)
        self.strength = moved(lists.strength / np.maximum(scale, 1e-30))
        self.laue, self.operations = moved(lists.laue.astype(np.int64)), moved(lists.operations)

    def __len__(self) -> int:
        return len(self.hkl)

    def patterns(self, rows: np.ndarray, seed: int) -> Tensor:
        """(B, 1700) float32 patterns of some structures, maxima 1, on the device.

        Parameters
        ----------
        rows : (B,) numbers of structures
        seed : of all that is drawn
        """
        rng = torch.Generator(self.device).manual_seed(seed)
        where = torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self.device)
        taken = draw_conditions(len(rows), self.variation, rng)
        return as_taken(self.lines(where, taken, rng), taken, rng, self.variation.removed)

    def lines(self, rows: Tensor, taken: Conditions, rng: torch.Generator) -> Tensor:
        """(B, 1700) intensities without background and noise, maxima 1.

        Parameters
        ----------
        rows : (B,) int64 tensor
        taken : their conditions
        rng : of the strengths that other atoms on a site would change
        """
        angles, areas, widths = self._sticks(rows, taken, rng)
        intensity = profiles(angles, areas, widths, taken.eta)
        intensity = intensity / intensity.amax(1, keepdim=True).clamp_min(1e-12)
        mixed = intensity + taken.impurity[:, None] * intensity.roll(1, 0)
        return mixed / mixed.amax(1, keepdim=True).clamp_min(1e-12)

    def _sticks(self, rows, taken: Conditions, rng) -> tuple[Tensor, Tensor, Tensor]:
        """Angles, areas and widths (B, 2m) of reflections in copper's degrees 2θ; Kα2's last."""
        hkl, strength = self.hkl[rows].float(), self.strength[rows]
        rotations = self.operations[self.laue[rows]].float()  # (B, 24, 3, 3)
        identity = torch.eye(3, device=self.device)
        axes = self.basis[rows] @ torch.linalg.inv_ex(identity + taken.strain)[0]
        metric = _averaged(axes @ axes.mT, rotations)
        moved = hkl @ metric
        length = (moved * hkl).sum(2).clamp_min(1e-8).sqrt()  # 1/d in 1/Å

        sine = taken.wavelength[:, None] * length / 2
        there = (strength > 0) & (sine < 0.999)
        sine = sine.clamp(1e-3, 0.999)
        cosine = (1 - sine**2).sqrt()
        lorentz = (1 + (1 - 2 * sine**2) ** 2) / (sine**2 * cosine)
        along = self._along(hkl, length, metric, rotations, taken.axis)  # (B, m, 24) cos²
        texture = march_dollase(along, taken.r[:, None, None]).mean(2)
        other = torch.randn(strength.shape, generator=rng, device=self.device)
        vibration = -taken.thermal[:, None] * length**2 / 2  # exp(-2B s²)
        areas = strength * lorentz * texture * (vibration + taken.site[:, None] * other).exp()

        strained = _averaged(axes @ taken.spread @ axes.mT, rotations)
        uneven = ((hkl @ strained) * hkl).sum(2) / length**2
        size = taken.size[:, None] / cosine * (1 + taken.flat[:, None] * (2 * along.mean(2) - 1))
        micro = taken.micro[:, None] * (1 + uneven.abs()) * sine / cosine
        widths = (taken.width[:, None] ** 2 + size**2 + micro**2).sqrt()

        shift = taken.zero[:, None] + taken.displacement[:, None] * cosine
        found = []
        for ratio, weight in ((1.0, 1.0), (taken.ka2_ratio[:, None], taken.ka2[:, None])):
            copper = COPPER * length / 2 * ratio
            inside = there & (copper < 0.999)
            copper = copper.clamp(1e-3, 0.999)
            # a degree of the anode's in degrees of copper's
            stretch = COPPER / taken.wavelength[:, None] * cosine / (1 - copper**2).sqrt()
            angle = 2 * copper.asin() * (180 / math.pi) + shift * stretch
            found.append((angle, areas * weight * stretch * inside, widths * stretch))
        angles, areas, widths = (torch.cat(part, 1) for part in zip(*found, strict=True))
        return angles, areas, widths.clamp(_NARROWEST, _BROADEST)

    def _along(self, hkl, length, metric, rotations, axis) -> Tensor:
        """cos² of the angle between the axis and each of the 24 images of a plane's normal."""
        direction = (metric @ axis[:, :, None])[:, None]  # (B, 1, 3, 1)
        images = (rotations @ direction)[..., 0]  # (B, 24, 3)
        norm = (axis[:, None] @ direction[:, 0]).clamp_min(1e-12).sqrt()
        cosine = hkl @ images.mT / (length[:, :, None] * norm)
        return cosine.square().clamp_max(1)


def _averaged(metric: Tensor, rotations: Tensor) -> Tensor:
    """(B, 3, 3) mean over the Laue class of the images of a form on hkl."""
    return (rotations @ metric[:, None] @ rotations.mT).mean(1)


def march_dollase(squared_cosine: Tensor, r: Tensor) -> Tensor:
    """(r² cos² α + sin² α / r)^(-3/2), the share of crystallites at α (Dollase 1986)."""
    inverse = (r**2 * squared_cosine + (1 - squared_cosine) / r).rsqrt()
    return inverse * inverse * inverse


def profiles(angles: Tensor, areas: Tensor, widths: Tensor, eta: Tensor) -> Tensor:
    """Sum of pseudo-Voigt profiles, averaged over the steps of the grid.

    Parameters
    ----------
    angles, areas, widths : (B, m), degrees 2θ; reflections of area 0 count for nothing
    eta : (B,), share of the Lorentzian

    Returns
    -------
    (B, 1700) float32 tensor
    """
    n, device = len(angles), angles.device
    used = areas > 0
    logs = widths.log()
    low = torch.where(used, logs, math.inf).amin(1, keepdim=True).clamp_max(10)
    high = torch.where(used, logs, -math.inf).amax(1, keepdim=True).clamp_min(-10)
    ratio = ((high - low).clamp_min(1e-3) / (_LEVELS - 1)).exp()  # from a width to the next
    level = ((logs - low) / ratio.log()).clamp(0, _LEVELS - 1.001).floor()
    below = low.exp() * ratio**level
    share = ((widths / below - 1) / (ratio - 1)).clamp(0, 1)  # of the broader one

    place = (angles - START) * (_FINE / STEP) + _PAD
    used = used & (place >= 1) & (place < POINTS * _FINE + 2 * _PAD)
    whole = torch.where(used, place, 1.0).floor()
    t = place - whole
    first = (level * _SIZE + whole).long()
    # four points each, so that the first three moments stay
    points = (
        (-1, -t * (t - 1) * (t - 2) / 6),
        (0, (t + 1) * (t - 1) * (t - 2) / 2),
        (1, -(t + 1) * t * (t - 2) / 2),
        (2, (t + 1) * t * (t - 1) / 6),
    )
    areas = torch.where(used, areas, 0.0)
    mixed = ((0, areas * (1 - share)), (_SIZE, areas * share))
    index = torch.cat([first + shift + up for up, _ in mixed for shift, _ in points], 1)
    value = torch.cat([area * torch.where(used, w, 0.0) for _, area in mixed for _, w in points], 1)
    sticks = torch.zeros(n, _LEVELS * _SIZE, device=device).scatter_add_(1, index, value)
    spectrum = torch.fft.rfft(sticks.view(n, _LEVELS, _SIZE))

    k = torch.fft.rfftfreq(_SIZE, STEP / _FINE, device=device)  # cycles in a degree
    fwhm = low.exp() * ratio ** torch.arange(_LEVELS, device=device)  # (B, levels)
    x = math.pi * fwhm[:, :, None] * k
    share = eta[:, None, None]
    kernel = share * (-x).exp() + (1 - share) * (-(x**2) / (4 * math.log(2))).exp()
    total = (spectrum * kernel).sum(1) * torch.sinc(STEP * k)
    fine = torch.fft.irfft(total, _SIZE)[:, _PAD : _PAD + POINTS * _FINE : _FINE]
    return fine.clamp_min(0) * (_FINE / STEP)  # a stick's area lies in one fine step


def as_taken(lines: Tensor, taken: Conditions, rng: torch.Generator, removed: bool) -> Tensor:
    """(B, 1700) patterns with background, noise and range, maxima 1; 0 where not measured.

    Parameters
    ----------
    lines : (B, 1700), maxima 1
    taken : their conditions
    rng : of the noise
    removed : whether the background is removed again
    """
    x = torch.linspace(0, 1, POINTS, device=lines.device)
    under = taken.level[:, None] + taken.slope[:, None] * (-x / taken.decay[:, None]).exp()
    for i in range(taken.humps.shape[1]):
        off = (x - taken.centre[:, i, None]) / taken.hump_width[:, i, None]
        under = under + taken.humps[:, i, None] * (-(off**2)).exp()
    counted = lines + under
    counts = taken.counts[:, None]
    finite = counts.clamp_max(1e9)
    drawn = torch.poisson(counted * finite, generator=rng) / finite
    counted = torch.where(counts.isfinite(), drawn, counted)
    noise = torch.randn(lines.shape, generator=rng, device=lines.device)
    counted = counted + noise * taken.electronic[:, None]
    place = torch.arange(POINTS, device=lines.device)
    first = (taken.low[:, None] * POINTS).ceil().long()
    last = (taken.high[:, None] * POINTS).ceil().long() - 1
    if removed:
        counted = counted - snip(counted, first, last)
    counted = torch.where((place >= first) & (place <= last), counted, 0.0).clamp_min(0)
    return counted / counted.amax(1, keepdim=True).clamp_min(1e-12)


def snip(counted: Tensor, first: Tensor, last: Tensor, window: int = WINDOW) -> Tensor:
    """(B, n) background: clipped to the mean of two neighbours, at distances that shrink.

    Morháč et al. 1997, as pybaselines does it for `matgan.powder.background`; beyond the ends of
    what was measured the line through the next points goes on.

    Parameters
    ----------
    counted : (B, n)
    first, last : (B, 1) int64, the first and last measured point
    window : points, the largest distance
    """
    n = counted.shape[1]
    near = torch.arange(window, device=counted.device)
    place = torch.arange(-window, n + window, device=counted.device)
    under = functional.pad(counted, (window, window))
    for end, direction in ((first, 1), (last, -1)):
        values = counted.gather(1, (end + direction * near).clamp(0, n - 1))
        middle = (window - 1) / 2
        slope = (values @ (near - middle))[:, None] / (window * (window**2 - 1) / 12)
        beyond = direction * (place - end)  # negative where nothing was measured
        line = values.mean(1, keepdim=True) + slope * (beyond - middle)
        under = torch.where(beyond < 0, line, under)
    for reach in range(window, 0, -1):
        sides = (under[:, : -2 * reach] + under[:, 2 * reach :]) / 2
        under[:, reach:-reach] = torch.minimum(under[:, reach:-reach], sides)
    return under[:, window:-window]

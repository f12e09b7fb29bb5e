"""Reflection lists made from structures, once for each: `lists` holds and keeps them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from matgan.crystals.cells import reciprocal_basis
from matgan.crystals.structures import SPLITS, Structures, load_structures
from matgan.powder.augmentation import families, point_group
from matgan.powder.background import INSTRUMENT, prepare
from matgan.powder.classifier import class_labels, doubts
from matgan.powder.measured.holdout import alike, read_parts
from matgan.powder.measured.lists import (
    FAINTEST,
    MOST,
    OPERATIONS,
    ReflectionLists,
    lorentz_factor,
)
from matgan.powder.measured.material import MEASURED_PARTS, MeasuredMaterial, write_material
from matgan.powder.minerals import Measured, load_measured
from matgan.powder.patterns import CU_KA1, encode_pattern, spacing_range
from matgan.powder.reflections import reflections

_MARGIN = 0.06  # of 1/d on both sides: what strain moves into the range


def experimental(ids: np.ndarray) -> np.ndarray:
    """(n,) bool array: Materials Project ids of ranges that were filled from ICSD.

    Below 200,000 and from 500,000 to 699,999 lie mostly entries that started from a measured
    structure; the later ranges are mostly substitutions (battery materials, Heusler compounds). A
    rule of thumb: the data name no origin.
    """
    numbers = np.array([int(str(name).rpartition("-")[2]) for name in ids])
    return (numbers < 200_000) | ((numbers >= 500_000) & (numbers < 700_000))


def reflection_lists(structures: Structures, progress=None) -> ReflectionLists:
    """Reflection lists of structures that have a space group.

    Parameters
    ----------
    structures : n structures
    progress : called with the number that is done

    Returns
    -------
    ReflectionLists of n rows, at most 256 families each, for 2θ from 5 to 90° of copper's Kα1 and
    6% beyond

    Raises
    ------
    StructureError
        See `matgan.powder.reflections.reflections`.
    ValueError
        A space group that is none.
    """
    classes = class_labels(structures.table["space_group"].to_numpy())
    hkl = np.zeros((len(structures), MOST, 3), dtype=np.int8)
    strength = np.zeros((len(structures), MOST), dtype=np.float32)
    basis = np.zeros((len(structures), 3, 3), dtype=np.float32)
    laue = np.zeros(len(structures), dtype=np.int16)
    known: dict[bytes, tuple[int, np.ndarray]] = {}
    for i, (cell, numbers, frac) in enumerate(structures):
        rotations = point_group(cell, numbers, frac)
        indices, strengths, basis[i] = _families(cell, numbers, frac, rotations)
        hkl[i, : len(indices)], strength[i, : len(indices)] = indices, strengths
        half = _without_pairs(rotations)
        laue[i] = known.setdefault(half.tobytes(), (len(known), half))[0]
        if progress:
            progress(i + 1)
    return ReflectionLists(
        structures.table["id"].to_numpy(str),
        hkl,
        strength,
        basis,
        laue,
        np.stack([half for _, half in known.values()]),
        classes.astype(np.int16),
        experimental(structures.table["id"]),
        class_labels(np.arange(1, 231)).astype(np.int16),
    )


def _families(cell, numbers, frac, rotations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices and strengths of the strongest families, in order of h, k, l; reciprocal axes."""
    least, most = spacing_range(INSTRUMENT)
    found = reflections(cell, numbers, frac, least * (1 - _MARGIN), most * (1 + _MARGIN))
    axes = reciprocal_basis(cell)
    metric = np.einsum("rij,jk,rlk->il", rotations, axes @ axes.T, rotations) / len(rotations)
    basis = np.linalg.cholesky(metric)
    family = families(found.hkl, rotations)
    total = np.bincount(family, found.strength)
    _, first = np.unique(family, return_index=True)
    hkl = found.hkl[first]
    sine = np.linalg.norm(hkl @ basis, axis=1) * CU_KA1 / 2
    areas = total * lorentz_factor(np.clip(sine, 1e-3, 0.999))
    strongest = np.argsort(-areas, kind="stable")[:MOST]
    kept = np.sort(strongest[areas[strongest] > FAINTEST * areas.max()])
    fits = (np.abs(hkl[kept]) <= np.iinfo(np.int8).max).all(1)  # else an axis above 130 Å
    return hkl[kept][fits], total[kept][fits], basis


def _without_pairs(rotations: np.ndarray) -> np.ndarray:
    """(24, 3, 3) int8: rotations of the Laue class, of r and -r one, in a fixed order, repeated."""
    both = np.concatenate([rotations, -rotations])
    first = both.reshape(len(both), 9)
    sign = np.array([row[np.flatnonzero(row)[0]] for row in first])
    half = np.unique(both[sign > 0], axis=0)
    if OPERATIONS % len(half):  # no point group: distorted so that spglib lost some operations
        half = np.eye(3, dtype=int)[None]
    return np.tile(half, (OPERATIONS // len(half), 1, 1)).astype(np.int8)


def prepared_material(
    structures: Structures, minerals: Measured, progress=None
) -> MeasuredMaterial:
    """What a training for measured patterns needs, of structures and measured patterns.

    Parameters
    ----------
    structures : all that are at hand; those without a space group are left out
    minerals : all measured patterns
    progress : called with the number of structures done
    """
    chosen = structures.take(structures.table["space_group"].to_numpy() > 0)
    lists = reflection_lists(chosen, progress)
    prepared = [prepare(minerals.two_theta, y, CU_KA1, sharpened=False) for y in minerals.intensity]
    patterns = np.stack([p.intensity for p in prepared])
    widths = np.array([p.width for p in prepared])
    # what does not hang on the network or on sharpening
    refused = [any("range" in d or "no refl" in d for d in doubts(p, 1.0)) for p in prepared]
    return MeasuredMaterial(
        lists,
        chosen.table["split"].map(SPLITS.index).to_numpy(np.int8),
        alike(lists, patterns, minerals.space_group),
        encode_pattern(patterns),
        minerals.space_group.astype(np.int16),
        np.array([MEASURED_PARTS.index(part) for part in read_parts()], dtype=np.int8),
        widths.astype(np.float32),
        np.array([p.background for p in prepared], dtype=np.float32),
        np.array(refused),
    )


def prepare_command(words: list[str] | None = None) -> None:
    """The command `prepare-patterns`: the file that a training for measured patterns reads."""
    parser = argparse.ArgumentParser(
        prog="python -m matgan prepare-patterns",
        description="Reflection lists of all structures, and the measured patterns, in one file; "
        "a machine that has it needs neither the data nor pymatgen to train.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the file, .npz")
    out = parser.parse_args(words).out
    structures, minerals = load_structures(), load_measured()
    from tqdm.auto import tqdm

    with tqdm(total=len(structures), mininterval=5) as bar:
        material = prepared_material(structures, minerals, lambda done: bar.update(done - bar.n))
    write_material(out, material)
    print(
        f"{out}: {len(material.lists)} structures, {material.barred.sum()} of them barred, "
        f"{len(material.codes)} measured patterns, {out.stat().st_size / 1e6:.1f} MB"
    )

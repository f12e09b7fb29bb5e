"""What `screen` rests on and what it finds: the small network, P(stable), and the search itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from matgan.chemistry.composition import whole_counts
from matgan.data.compounds import load_oqmd
from matgan.properties import candidates, distilled, models, training
from matgan.properties.stability import evaluate_stability, hull_energies
from matgan.study.jobs.runner import Job, Piece, Rows

ENUMERATED = 300_000  # as in the command's default
ASKED = 100_000  # enumerated compositions that are tested on


def distilled_rows(network: distilled.DistilledEnergy, way: str) -> Rows:
    """Errors of a small network: a row for each part that neither it nor its teacher learned from.

    `mae` against the labels beside the teacher's `mae_teacher`, `away` from its answers; `kept`:
    of the thousandth of the compositions that the teacher puts lowest above the hull, the share
    that the network has in its lowest hundredth.
    """
    data = training.labelled("formation_energy")
    held = data.part == "test"  # chemical systems held out
    published = (load_oqmd(split="crabnet")["split"] == "test").to_numpy()
    parts = {
        "OQMD, systems held out": held,
        "OQMD, of these in the published test part": held & published,
    }
    rows = []
    for name, chosen in parts.items():
        rows.append(_row(network, whole_counts(data.amounts[chosen]), data.target[chosen]))
        rows[-1] |= {"part": name}
    sample = distilled.balanced_sample(ASKED, seed=1).counts()
    rows.append(_row(network, sample, None) | {"part": "enumerated, neutral and balanced"})
    return [{"learned from": way, "seed": 0} | row for row in rows]


def _row(
    network: distilled.DistilledEnergy, counts: np.ndarray, target: np.ndarray | None
) -> dict[str, object]:
    elements = np.argsort(counts == 0, axis=1, kind="stable")[:, : (counts > 0).sum(1).max()]
    small = network.energies(elements, np.take_along_axis(counts, elements, axis=1))
    large, below = distilled.teacher(counts), hull_energies(counts)
    best = np.argsort(large - below)[: max(1, len(counts) // 1000)]
    lowest = np.argsort(small - below)[: max(1, len(counts) // 100)]
    row: dict[str, object] = {"compositions": len(counts)}
    row["away"] = float(np.abs(small - large).mean())
    row["kept"] = float(np.isin(best, lowest).mean())
    if target is not None:
        row["mae"] = float(np.abs(small - target).mean())
        row["mae_teacher"] = float(np.abs(large - target).mean())
    return row


def distilled_piece(way: str, folder: Path) -> Rows:
    """Teach a small network one way, keep it and test it."""
    counts, energies = distilled.examples(way, ENUMERATED)
    lessons = distilled.Lessons()
    if way == "labels":  # as many steps as with the enumerated compositions
        lessons = distilled.Lessons(
            epochs=lessons.epochs * (len(counts) + ENUMERATED) // len(counts)
        )
    network, facts = distilled.taught(
        counts, energies, lessons, checkpoint=folder / "distilled.checkpoint"
    )
    network.save(folder / distilled.SMALL_FILE, facts | {"way": way})
    return distilled_rows(network, way)


def stable_piece(folder: Path) -> Rows:
    """What the probability of being stable is worth on the chemical systems held out."""
    data = training.labelled("formation_energy")
    test = data.part == "test"
    model = models.pretrained("formation_energy")
    return [evaluate_stability(model, data.amounts[test], data.target[test])]


def search_piece(start: int, stop: int, folder: Path) -> Rows:
    """The best candidates of some blocks of the search; its folder is that of all pieces."""
    shared = folder.parent / "search"
    candidates.begin(shared, candidates.Search())
    for index in range(start, stop):
        candidates.screen_block(shared, index)
    total = candidates.done_blocks(shared).loc[start : stop - 1].sum().to_dict()
    best = candidates.best_candidates(shared, 200, range(start, stop))
    return [row | {"blocks": f"{start}-{stop - 1}"} | total for row in best.to_dict("records")]


def _search(stop: int) -> Callable[[], dict[str, Piece]]:
    def pieces() -> dict[str, Piece]:
        steps = [(start, min(start + 10, stop)) for start in range(0, stop, 10)]
        return {f"blocks-{a:03d}": partial(search_piece, a, b) for a, b in steps}

    return pieces


JOBS = [
    Job(
        "distilled",
        "the small network of `screen` taught by answers, beside one that learned the labels",
        0.2,
        lambda: {way: partial(distilled_piece, way) for way in distilled.TEACHERS},
    ),
    Job(
        "predict-stable",
        "P(stable) of `predict` on chemical systems held out, against the hull of OQMD",
        0.02,
        lambda: {"formation_energy": stable_piece},
    ),
    Job(
        "stable-compounds",
        "the search for stable new compounds among 10⁸ compositions, 100 of the 426 blocks",
        0.4,
        _search(100),
    ),
    Job(
        "stable-compounds-all",
        "the same among all 425,957,610 compositions",
        1.7,
        _search(426),
    ),
]

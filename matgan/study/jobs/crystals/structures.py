"""Which structure type a new composition has: learned distances of elements beside controls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from matgan.crystals import prototypes as pt
from matgan.crystals.structures import load_structures
from matgan.crystals.substitution import WEIGHTS_FILE, element_volumes, save_weights
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

STRUCTURE_SEEDS = 5  # trainings of the distances
DISTANCE_STEPS = 600
TESTED_PARTS = ("val", "test")
# of given distances of elements in a ranking that sums over templates, as `SHARPNESS` of ours
SCALES = tuple(2.0**power for power in range(-4, 9))
Scorer = Callable[[pt.Group, np.ndarray], np.ndarray]


def best_scale(share: Callable[[float], float]) -> float:
    """The one of `SCALES` with the largest share of right answers on validation structures.

    Parameters
    ----------
    share : of a scale

    Raises
    ------
    ValueError
        The best lies at an end of what was tried.
    """
    found = [share(scale) for scale in SCALES]
    place = int(np.argmax(found))
    if place in (0, len(SCALES) - 1):
        raise ValueError(f"the best scale is {SCALES[place]}, at an end of {SCALES}")
    return SCALES[place]


def shares(method: str, scorer: Scorer, seed: int, groups: dict, asked: dict) -> Rows:
    """Shares of right prototypes among the first 1, 5 and 10 for new compositions.

    Of all, and of those whose prototype any training structure of the anonymous formula has.
    """
    rows = []
    for part, questions in asked.items():
        found = [
            pt.ranks_of(scorer(groups[q.amounts], q.elements), groups[q.amounts], q.right)
            if q.amounts in groups
            else np.full(len(q.right), np.inf)
            for q in questions
        ]
        ranks = np.concatenate(found)
        for which, chosen in (("all", ranks), ("known prototype", ranks[np.isfinite(ranks)])):
            row = {"method": method, "part": part, "of": which, "structures": len(chosen)}
            row |= {f"top_{k}": float((chosen <= k).mean()) for k in (1, 5, 10)}
            rows.append(row | {"seed": seed})
    return rows


def _material() -> tuple[dict, dict]:
    structures = load_structures()
    groups = pt.group_templates(structures, structures.rows("train"))
    asked = {
        part: list(pt.new_compositions_of(structures, structures.rows(part), groups))
        for part in TESTED_PARTS
    }
    return groups, asked


def learned_piece(seed: int, folder: Path) -> Rows:
    """Learn distances from the training structures, keep them and test two rankings with them."""
    import torch

    groups, asked = _material()
    table = pt.learn_distances(groups, DISTANCE_STEPS, seed)
    structures = load_structures()
    volumes = element_volumes(structures.take(structures.rows("train")))
    save_weights(
        folder / WEIGHTS_FILE, table, volumes, {"seed": str(seed), "steps": str(DISTANCE_STEPS)}
    )
    given = torch.tensor(table)
    methods: dict[str, Scorer] = {
        "ours": lambda group, elements: group.scores(elements, given),
        "nearest composition, learned": lambda group, elements: group.nearest(elements, given),
    }
    return [row for name, way in methods.items() for row in shares(name, way, seed, groups, asked)]


def controls_piece(folder: Path) -> Rows:
    """Rankings that learn no distances; the scale of Pettifor's is chosen on validation."""
    groups, asked = _material()
    pettifor = pt.pettifor_distances()
    both = "popularity and Pettifor"

    def beside(scale: float) -> Scorer:
        return lambda group, elements: group.scores(elements, scale * pettifor)

    def share(scale: float) -> float:
        return shares(both, beside(scale), 0, groups, {"val": asked["val"]})[0]["top_1"]

    scale = best_scale(share)
    methods: dict[str, Scorer] = {
        "popularity": lambda group, elements: np.tile(np.log(group.counts), (len(elements), 1)),
        "nearest composition, Pettifor": lambda group, e: group.nearest(e, pettifor),
        both: beside(scale),
    }
    rows = [row for name, way in methods.items() for row in shares(name, way, 0, groups, asked)]
    return [row | ({"scale": scale} if row["method"] == both else {}) for row in rows]


def _pieces() -> dict[str, Piece]:
    learned = {f"seed{seed}": partial(learned_piece, seed) for seed in range(STRUCTURE_SEEDS)}
    return {"controls": controls_piece, **learned}


JOBS = [
    Job(
        "structure-prediction",
        "the structure type of new compositions by learned distances of elements, beside controls",
        0.05,
        _pieces,
    )
]

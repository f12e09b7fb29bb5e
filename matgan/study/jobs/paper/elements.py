"""Where T should help: errors on compounds of elements that no labelled compound holds.

T is learned from compositions alone, and those of every element are known; so here, if anywhere, it
knows something that the labels do not say. Ten folds of the elements; training k of T stands in the
folds r with k = r modulo the number of trainings, as do a permutation of its rows and a random T.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from matgan.data.splits import Split, unseen_elements
from matgan.representation import benchmark
from matgan.representation.benchmark import ENERGY, GAP, TC, Task
from matgan.representation.features import Magpie, OneHot, PooledEmbedding
from matgan.representation.tables import (
    list_embeddings,
    load_embedding,
    permuted_embedding,
    random_embedding,
)
from matgan.study.jobs.runner import Job, Piece, Rows

SEED, FOLDS = 0, 10
SIZES, STEPS, TESTED = (300, 1000, 3000, 10_000, 30_000), 4000, 20_000
DATA = {"energies": ENERGY, "gaps": GAP, "tc": TC}
EPOCHS = {ENERGY: 20, GAP: 60, TC: 150}


def trainings(data: str) -> list[str]:
    """Names of the trainings of ours on "oqmd" or "mp"."""
    first = f"wgan-{data}"
    names = list_embeddings()["name"]
    return sorted(name for name in names if name == first or name.startswith(f"{first}-seed"))


def features_of_fold(task: Task, fold: int) -> dict[str, np.ndarray]:
    """(n, d) float32 features of the task's compounds by their name; all pooled by the mean."""

    def pooled(table: pd.DataFrame | str) -> np.ndarray:
        return task.described(PooledEmbedding(table, "mean", dtype=np.float32))

    out = {
        "fractions": task.described(OneHot(fractions=True, dtype=np.float32)),
        "Magpie": task.described(Magpie(dtype=np.float32)),
        "mat2vec": pooled("mat2vec"),
        "SkipAtom": pooled("skipatom"),
    }
    for data in ("oqmd", "mp"):
        names = trainings(data)
        T = load_embedding(names[fold % len(names)])
        out[f"T ({data})"] = pooled(T)
        out[f"permuted T ({data})"] = pooled(permuted_embedding(T, fold))
        out[f"random T ({data})"] = pooled(random_embedding(T, fold))
    out["T (oqmd and mp)"] = np.concatenate([out["T (oqmd)"], out["T (mp)"]], 1)
    out["T (mp) and Magpie"] = np.concatenate([out["T (mp)"], out["Magpie"]], 1)
    out["permuted T (mp) and Magpie"] = np.concatenate([out["permuted T (mp)"], out["Magpie"]], 1)
    return out


def fold_piece(dataset: str, fold: int, folder: Path) -> Rows:
    """Learning curves of every feature set on one fold; a random sample of it is tested on."""
    task = benchmark.load_task(dataset, seed=SEED, epochs=EPOCHS[dataset])
    split = unseen_elements(task.amounts, FOLDS, SEED)[fold]
    split = Split(split.train, split.validation, split.test[:TESTED])
    model = task.network(SEED, "auto").set_params(input_scaling="standard")
    curves = [
        benchmark.learning_curve(task, features, X, [split], model, SIZES, STEPS)
        for features, X in features_of_fold(task, fold).items()
    ]
    table = pd.concat(curves, ignore_index=True)
    return table.assign(split="unseen elements", repeat=fold, seed=SEED).to_dict("records")


def _pieces() -> dict[str, Piece]:
    return {
        f"fold-{fold}-{key}": partial(fold_piece, dataset, fold)
        for fold, (key, dataset) in product(range(FOLDS), DATA.items())
    }


JOBS = [
    Job(
        "unseen-elements",
        "errors on elements without labels, from 300 to 30,000 compounds: T and its controls",
        9.0,
        _pieces,
    ),
]

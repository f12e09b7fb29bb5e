"""The paper's last proposal: learning from generated compositions without labels.

Hu et al. (Symmetry 2020, 12, 1889, Section 5) propose semi-supervised learning from generated
materials. A pair of networks, on fractions and on Magpie, learns from 300 to 30,000 labels, and
then anew from these and from what the pair says of compositions without labels, see
`matgan.learning.semi_supervised`. Written before the run: the recipe of each source is the one with
the lowest validation error at 1,000 labels, on a split that is tested nowhere; generated
compositions help where the pair's error is lower than without any, and the GAN has a part in it
where it is lower than with as many shuffled ones, by Holm's p over the sizes; ten repeats, each
with another training of the GAN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from matgan.chemistry.composition import whole_counts
from matgan.data.splits import Split
from matgan.generated.controls import stoichiometry_shuffled
from matgan.learning.evaluation import as_planned, convergence, is_converged
from matgan.learning.semi_supervised import (
    Networks,
    Teacher,
    Teaching,
    students,
    teachers,
    together,
)
from matgan.learning.statistics import compare, scores
from matgan.representation import benchmark, published
from matgan.representation.benchmark import ENERGY, GAP, RANDOM, Task
from matgan.representation.features import Magpie, OneHot
from matgan.study.jobs.compositions.benchmark import SETTINGS_SEARCH, searched_network
from matgan.study.jobs.paper.elements import trainings
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.study.run import LONG, NotYetMade
from matgan.wgan.generator import load_generator

SEED, REPEATS = 0, 10
CHECKED = 2  # repeats that are trained for four times as long where twice changes much
FOURFOLD = (("energies", 30_000),)
DATA = {"energies": (ENERGY, "oqmd"), "gaps": (GAP, "mp")}  # the task, whose generator
SIZES = {"energies": (300, 1000, 3000, 10_000, 30_000), "gaps": (300, 1000, 3000, 10_000)}
NONE, GENERATED, SHUFFLED, REAL = "none", "generated", "shuffled", "real"
MOST_TESTED = 20_000
MOST_EPOCHS = 200
CONTRASTS = ((GENERATED, NONE), (GENERATED, SHUFFLED), (GENERATED, REAL), (REAL, NONE))
CHOICE = "semi-supervised-choice"
CHOICE_SIZE, CHOICE_REPEAT = 1000, REPEATS
TEACHINGS = tuple(
    Teaching(teacher, labelled, surest)
    for teacher, labelled, surest in product(get_args(Teacher), (0.5, 0.8), (1.0, 0.5))
)
TRANSFORMERS = {"fractions": OneHot(fractions=True, dtype=np.float32)}
TRANSFORMERS |= {"Magpie": Magpie(dtype=np.float32)}


@dataclass(frozen=True)
class Effort:
    """How much is drawn and trained."""

    unlabelled: int = 20_000  # compositions of each source, at most
    steps: int = 2000  # of a network, unless they were more than 200 epochs
    times: int = 1  # multiple of that


def load_data(data: str, repeat: int) -> tuple[Task, Split]:
    """A task and its split: OQMD's published one; of band gaps that of the repeat."""
    if data == "energies":
        task, split = published.published_tasks(1)[0][published.OQMD_SPLIT]
        order = np.random.default_rng([SEED, repeat]).permutation(split.train)
        return task, Split(order, split.validation[:MOST_TESTED], split.test[:MOST_TESTED])
    task = benchmark.load_task(GAP, seed=SEED)
    return task, task.splits(RANDOM, REPEATS + 1, SEED)[repeat]


def described(amounts: np.ndarray) -> dict[str, np.ndarray]:
    """The two views of some compositions."""
    return {name: view.fit_transform(amounts) for name, view in TRANSFORMERS.items()}


def unlabelled(data: str, source: str, others: np.ndarray, repeat: int, n: int) -> np.ndarray:
    """Compositions without labels.

    Parameters
    ----------
    data : in `DATA`
    source : GENERATED (distinct draws of the repeat's generator), SHUFFLED (stoichiometries of
        compounds with elements drawn by frequency) or REAL
    others : (n, 85) compounds of the training part whose labels are not given
    repeat : chooses the training of the generator, and seeds
    n : how many, of `others` no more than there are
    """
    rng = np.random.default_rng([SEED, repeat, 1])
    if source == REAL:
        return others[rng.permutation(len(others))[:n]]
    if source == SHUFFLED:
        whole = others[(others == others.round()).all(1) & (others.max(1) <= 8)]
        return stoichiometry_shuffled(whole_counts(whole), n, rng)
    names = trainings(DATA[data][1])
    generator = load_generator(names[repeat % len(names)])
    counts, _ = generator.draw(n, repeat, unique=True, progress=False)
    return counts


def settings(data: str, rows: int, repeat: int, effort: Effort) -> Networks:
    """A network for each view: scaling and rate as Table 4's search found, length by the rows."""
    task = Task(DATA[data][0], "", pd.DataFrame())
    batch = int(np.clip(rows // 10, 32, task.batch_size))
    epochs = effort.times * min(MOST_EPOCHS, math.ceil(effort.steps / math.ceil(rows / batch)))
    length = {"batch_size": batch, "epochs": epochs, "patience": epochs}
    in_table = {"fractions": "one-hot fractions", "Magpie": "Magpie"}
    return {
        view: searched_network(task, in_table[view], edge=True).set_params(
            random_state=SEED + repeat, **length
        )
        for view in TRANSFORMERS
    }


def of_sources(
    data: str,
    size: int,
    repeat: int,
    teachings: Mapping[str, Sequence[Teaching]],
    effort: Effort = Effort(),
) -> Iterator[tuple[dict, Networks]]:
    """Train the pair without unlabelled compositions, then with those of each source.

    Parameters
    ----------
    data : in `DATA`
    size : labels, a tenth of them held out to choose the epoch by
    repeat : of the split, the seeds and the generator's training
    teachings : of each source, those to try
    effort : how much is drawn and trained

    Yields
    ------
    facts and the fitted pair
    """
    task, split = load_data(data, repeat)
    held, learn = np.split(split.train[:size], [size // 10])
    chosen = np.r_[learn, held]
    views, y = described(task.amounts[chosen]), task.y[chosen]
    learn, held = np.split(np.arange(size), [len(learn)])
    facts = {"data": data, "labels": size, "pool": len(split.train), "repeat": repeat}
    facts |= {"times": effort.times}
    pair = teachers(settings(data, len(learn), repeat, effort), views, y, learn, held)
    yield facts | {"source": NONE, "unlabelled": 0}, pair
    others = task.amounts[split.train[size:]]
    m = min(effort.unlabelled, len(others))
    for source, ways in teachings.items():
        drawn = described(unlabelled(data, source, others, repeat, m))
        for way in ways:
            kept = round(m * way.surest)
            how = settings(data, round(kept / (1 - way.labelled)), repeat, effort)
            taught = students(how, pair, views, y, learn, held, drawn, way)
            yield facts | {"source": source, "unlabelled": m, **asdict(way)}, taught


def choice_piece(data: str, source: str, folder: Path) -> Rows:
    """Every way of teaching with one source; validation errors on a split of its own."""
    task, split = load_data(data, CHOICE_REPEAT)
    rows, held = [], split.validation
    views, y = described(task.amounts[held]), task.y[held]
    tried = of_sources(data, CHOICE_SIZE, CHOICE_REPEAT, {source: TEACHINGS})
    for facts, pair in tried:
        error = scores(y, together(pair, views))["mae"]
        rows.append(facts | {"validation_mae": error, "seed": SEED})
    return [row for row in rows if row["source"] != NONE or source == GENERATED]


def chosen_teaching(data: str, source: str) -> Teaching:
    """The way with the lowest validation error.

    Raises
    ------
    NotYetMade
        The choices have no row for this source of this data.
    """
    path = LONG / f"{CHOICE}.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["data", "source"])
    here = table[(table["data"] == data) & (table["source"] == source)]
    if not len(here):
        raise NotYetMade(
            f"no recipe for {source} compositions and {data}: `python -m matgan jobs run {CHOICE}`"
        )
    best = here.loc[here["validation_mae"].idxmin()]
    return Teaching(best["teacher"], float(best["labelled"]), float(best["surest"]))


def score_piece(data: str, size: int, repeat: int, times: int, folder: Path) -> Rows:
    """Test errors of the pair and of its members, for each source."""
    task, split = load_data(data, repeat)
    test = split.test[:MOST_TESTED]
    views, y = described(task.amounts[test]), task.y[test]
    ways = {s: (chosen_teaching(data, s),) for s in (GENERATED, SHUFFLED, REAL)}
    rows = []
    for facts, pair in of_sources(data, size, repeat, ways, Effort(times=times)):
        row = facts | scores(y, together(pair, views)) | {"seed": SEED}
        for name, network in pair.items():
            row[f"mae {name}"] = scores(y, network.predict(views[name]))["mae"]
        rows.append(row)
    return rows


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """How much lower the pair's error is with one source than with another.

    Parameters
    ----------
    rows : of the job semi-supervised

    Returns
    -------
    DataFrame, a row for each data, a, b and labels: repeats, lower (share by which the error with a
    is lower, over that with b: geometric mean over the repeats), low, high (95%), p and p_holm, of
    Holm's correction over the labels; converged: both were trained for twice as long, and it
    changed their errors by less than 2% and by less than half of what is between them, or of what
    the interval leaves open where that is more. Two repeats have labels in common, so that they
    count as correlated by the share of these.
    """
    rows = rows.rename(columns={"data": "dataset", "source": "features", "times": "epochs"})
    rows = rows.assign(split=rows["labels"])
    checks, planned = convergence(rows), as_planned(rows)
    tests = compare(
        planned.assign(logarithm=np.log(planned["mae"])),
        "logarithm",
        pairs=CONTRASTS,
        family=("dataset", "a", "b"),
        ratio=_shared,
        common=True,
    )
    lower, low, high = (1 - np.exp(tests[name]) for name in ("difference", "high", "low"))
    errors = planned.groupby(["dataset", "split", "features"])["mae"].mean()
    between = np.maximum(lower.abs(), (high - low) / 2)
    converged = [
        is_converged(
            checks, t.dataset, t.split, [t.a, t.b], share * errors[t.dataset, t.split, t.b]
        )
        for t, share in zip(tests.itertuples(), between, strict=True)
    ]
    found = tests.assign(lower=lower, low=low, high=high, converged=converged)
    found = found.rename(columns={"dataset": "data", "split": "labels"})
    columns = ["data", "a", "b", "labels", "repeats", "lower", "low", "high", "p", "p_holm"]
    found = found[[*columns, "converged"]]
    return found.sort_values(["data", "a", "b"], kind="stable", ignore_index=True)


def _shared(part: pd.DataFrame) -> float:
    """What stands for n_test / n_train: labels that two repeats have in common, over the others."""
    share = part["labels"].iloc[0] / part["pool"].iloc[0]
    return float(share / (1 - share))


def _choices() -> dict[str, Piece]:
    pairs = product(DATA, (GENERATED, SHUFFLED, REAL))
    return {"-".join(pair): partial(choice_piece, *pair) for pair in pairs}


def _scores() -> dict[str, Piece]:
    """All sizes of a repeat before the next; then for twice as long, and some for four times."""
    sizes = [(data, n) for data in DATA for n in SIZES[data]]
    lengths = [(1, REPEATS, sizes, ""), (2, REPEATS, sizes, "-longer")]
    lengths += [(4, CHECKED, list(FOURFOLD), "-longest")]
    return {
        f"{data}-{n}-{repeat}{word}": partial(score_piece, data, n, repeat, times)
        for times, repeats, of, word in lengths
        for repeat in range(repeats)
        for data, n in of
    }


JOBS = [
    Job(CHOICE, "how to learn from compositions without labels, by source", 0.3, _choices),
    Job(
        "semi-supervised",
        "300 to 30,000 labels beside generated, shuffled and real compositions without",
        4.0,
        _scores,
        reads=(CHOICE, SETTINGS_SEARCH),
    ),
]

"""What `screen` rests on and what it finds: the small network, P(stable), and the search itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from matgan.chemistry.composition import (
    LARGEST_COUNT,
    amounts_matrix,
    reduced_counts,
    whole_counts,
)
from matgan.chemistry.validity import electronegativity_balanced
from matgan.crystals.structures import load_structures
from matgan.data.compounds import load_oqmd, training_data
from matgan.generated.controls import one_element_swapped, stoichiometry_shuffled
from matgan.learning.statistics import compare, mean_interval
from matgan.properties import candidates, distilled, models, training
from matgan.properties.known import KnownCompositions
from matgan.properties.models import PropertyModel
from matgan.properties.stability import evaluate_stability, hull_energies, stability
from matgan.properties.training import Labelled
from matgan.stability.enumeration import Enumeration
from matgan.stability.hull import Hull
from matgan.stability.quality import KnownSystems, stability_scores
from matgan.stability.reference import oqmd_hull
from matgan.study.jobs.paper.elements import trainings
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job
from matgan.wgan.generator import load_generator

ENUMERATED = 300_000  # as in the command's default
SAMPLED = 5  # trainings of the generator; sample r is of training r modulo these
ASKED = 100_000  # enumerated compositions that are tested on
OURS, LOOK_UP, ENTRIES = "networks of `predict`", "five nearest compositions", "stable ones known"
ENERGY, ANY = "energy alone", "at random"
ALL, LEARNED = "all of OQMD", "training and validation"
NEAREST = 5
GENERATED, SWAPPED, SHUFFLED = "our generator", "one element swapped", "elements shuffled"
ENUMERATED_ONES = "enumerated"
DRAWN, SAMPLES = 50_000, 10


def distilled_rows(network: distilled.DistilledEnergy, way: str) -> Rows:
    """Errors of a small network: a row for each part that no network learned from.

    `mae` against the labels beside that of `predict`, `mae_teacher`; `away` from its answers;
    `kept`: of the thousandth of the compositions that `predict` puts lowest above the hull, the
    share that the small network has in its lowest hundredth.
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


def stability_rows(data: Labelled, model: PropertyModel, n: int = 0) -> Rows:
    """How well the test compounds that are stable are told, by `predict` and by its controls.

    Parameters
    ----------
    data : of formation energies; whole chemical systems are the test part
    model : calibrated, learned from the training part
    n : test compounds, drawn at random; 0: all

    Returns
    -------
    rows as from `energy_scores` and `controls`
    """
    test = np.flatnonzero(data.part == "test")
    if n:
        test = np.sort(np.random.default_rng(0).permutation(test)[:n])
    asked = data.amounts[test]
    hulls = Hulls.of(data, test, hull_energies(asked))
    predicted = stability(asked, model, hulls.all).energy
    return energy_scores(OURS, predicted, hulls) + controls(data, test, predicted, hulls)


@dataclass(frozen=True)
class Hulls:
    """What some compounds are compared with.

    Attributes
    ----------
    true : (n,) their energies
    all : (n,) energy of the hull of all compounds but the one in question
    learned : (n,) of that of the training and validation part, as if nobody had calculated more
    stable : (m, 85) the compounds of these parts that are stable there
    """

    true: np.ndarray
    all: np.ndarray
    learned: np.ndarray
    stable: np.ndarray

    @staticmethod
    def of(data: Labelled, test: np.ndarray, below: np.ndarray) -> Hulls:
        """Of the rows `test` of some data, whose whole hull lies `below`, (n,)."""
        amounts, energies = (values[data.part != "test"] for values in (data.amounts, data.target))
        hull = Hull(amounts, energies)
        stable = amounts[hull.own_distances() < 0]
        return Hulls(data.target[test], below, hull.energy(data.amounts[test]), stable)

    def some(self, rows: np.ndarray) -> Hulls:
        """Of some of the compounds."""
        return Hulls(self.true[rows], self.all[rows], self.learned[rows], self.stable)

    def scores(self, predicted: np.ndarray, ranks: bool = False) -> dict[str, float]:
        """Of predicted distances, or of numbers that only rank."""
        return stability_scores(self.true - self.all, predicted, ranks)


def energy_scores(method: str, predicted: np.ndarray, hulls: Hulls, seed: int = 0) -> Rows:
    """Scores of predicted energies, (n,): a row for each hull."""
    below = {ALL: hulls.all, LEARNED: hulls.learned}
    return [
        {"method": method, "hull": name, "seed": seed} | hulls.scores(predicted - energy)
        for name, energy in below.items()
    ]


def controls(data: Labelled, test: np.ndarray, predicted: np.ndarray, hulls: Hulls) -> Rows:
    """Scores of what needs no network, and of predicted energies, (n,), without a hull."""
    asked, train = data.amounts[test], data.part == "train"
    looked_up = nearest_energies(data.amounts[train], data.target[train], asked)
    known = KnownSystems(hulls.stable).within(asked)
    methods = {
        (LOOK_UP, ALL): (looked_up - hulls.all, False),
        (ENERGY, ""): (predicted, True),
        (ENTRIES, LEARNED): (-known, True),
        (ANY, ""): (np.zeros(len(test)), True),
    }
    return [
        {"method": method, "hull": hull, "seed": 0} | hulls.scores(*guess)
        for (method, hull), guess in methods.items()
    ]


def nearest_energies(known: np.ndarray, energies: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Mean energy of the nearest compositions by inverse distance: (n,) for n, the look-up.

    Parameters
    ----------
    known : (m, 85) distinct compositions
    energies : (m,) theirs
    asked : (n, 85), none of them known
    """
    table = KnownCompositions({"known": known})
    which, away = table.nearest(asked, NEAREST)
    weight = np.where(which < 0, 0.0, 1 / np.maximum(away, 1e-6))
    weight[weight.sum(axis=1) == 0] = 1  # no element in common with any
    return np.average(energies[table.row][which], axis=1, weights=weight)


def stable_piece(folder: Path) -> Rows:
    """What the probability of being stable is worth on the chemical systems held out."""
    data, model = training.labelled("formation_energy"), models.pretrained("formation_energy")
    test = data.part == "test"
    rows = stability_rows(data, model)
    of_probability = evaluate_stability(model, data.amounts[test], data.target[test])
    rows[0] |= {f"p_{name}": value for name, value in of_probability.items()}
    return rows


def search_piece(start: int, stop: int, folder: Path) -> Rows:
    """The best candidates of some blocks of the search; its folder is that of all pieces."""
    shared = folder.parent / "search"
    candidates.begin(shared, candidates.Search())
    for index in range(start, stop):
        candidates.screen_block(shared, index)
    total = candidates.done_blocks(shared).loc[start : stop - 1].sum().to_dict()
    best = candidates.best_candidates(shared, 200, range(start, stop))
    return [row | {"blocks": f"{start}-{stop - 1}"} | total for row in best.to_dict("records")]


def new_ones(counts: np.ndarray, enumeration: Enumeration, known: np.ndarray) -> np.ndarray:
    """The neutral and balanced ones among some counts that nobody knows, each once, in order.

    Parameters
    ----------
    counts : (n, 85)
    enumeration : what lies outside is left out, so that every sampler is judged on the same
    known : rising numbers of the known ones in it
    """
    numbers = enumeration.numbers(counts)
    _, first = np.unique(numbers, return_index=True)
    first = np.sort(first)
    first = first[(numbers[first] >= 0) & ~np.isin(numbers[first], known)]
    return counts[first][electronegativity_balanced(counts[first])]


def source_piece(repeat: int, folder: Path) -> Rows:
    """What each sampler's new compositions are worth, by P(stable): a row each."""
    enumeration, rng = candidates.Search().enumeration(), np.random.default_rng(repeat)
    known, train = candidates.known_numbers(enumeration), training_data("oqmd").train
    generator = load_generator(trainings("oqmd")[repeat % SAMPLED])
    drawn = {
        GENERATED: generator.draw(DRAWN, repeat, progress=False)[0],
        SWAPPED: one_element_swapped(train, DRAWN, rng),
        SHUFFLED: stoichiometry_shuffled(train, DRAWN, rng),
        ENUMERATED_ONES: enumeration.compositions(
            rng.integers(0, len(enumeration), DRAWN)
        ).counts(),
    }
    rows = []
    for source, counts in drawn.items():
        kept = new_ones(whole_counts(counts, LARGEST_COUNT), enumeration, known)
        found = stability(kept.astype(float))
        rows.append({"source": source, "seed": repeat, "drawn": DRAWN, "kept": len(kept)})
        rows[-1]["stable, per thousand kept"] = 1000 * float((found.probability > 0.5).mean())
        rows[-1]["expected, per thousand kept"] = 1000 * float(found.probability.mean())
        rows[-1]["below the hull, per thousand kept"] = 1000 * float((found.distance < 0).mean())
    return rows


def leads(rows: pd.DataFrame, measure: str = "stable, per thousand kept") -> pd.DataFrame:
    """By how much the generator is ahead of each other source, over its trainings.

    Samples of one training count together, and so do those of other sources beside them.

    Parameters
    ----------
    rows : of the job stable-sources
    measure : a column of it

    Returns
    -------
    DataFrame, a row for each source: mean, low, high of the measure; lead, p_holm of the generator
    """
    rows = rows.assign(repeat=rows["seed"] % SAMPLED)
    rows = rows.groupby(["source", "repeat"], sort=False, as_index=False)[measure].mean()
    by_source = rows.groupby("source", sort=False)[measure]
    means = {source: mean_interval(values) for source, values in by_source}
    table = pd.DataFrame(list(means.values()), index=pd.Index(means, name="source"))
    table = table[["mean", "low", "high"]]
    pairs = [(GENERATED, source) for source in table.index if source != GENERATED]
    tests = compare(rows, measure, pairs=pairs, ways="source", within=(), ratio=lambda part: 0)
    tests = tests.set_index("b")
    return table.assign(lead=tests["difference"], p_holm=tests["p_holm"])


def later_piece(folder: Path) -> Rows:
    """How high compounds rank that the Materials Project has and OQMD, all that is learned, not.

    Beside as many enumerated ones as `ASKED`, all neutral and balanced: the share of the pairs in
    which the Materials Project's ranks higher (AUC), and of its compounds in the upper 1% and 10%.
    """
    enumeration = candidates.Search().enumeration()
    counts = reduced_counts(amounts_matrix(load_structures().formulas(), on_error="drop"))
    of_oqmd = enumeration.numbers(whole_counts(oqmd_hull().amounts, LARGEST_COUNT))
    later = new_ones(counts, enumeration, np.unique(of_oqmd))
    other = new_ones(distilled.balanced_sample(ASKED, seed=2).counts(), enumeration, of_oqmd)
    asked = np.concatenate([later, other]).astype(float)
    found = stability(asked)
    stable = oqmd_hull().amounts[oqmd_hull().own_distances() < 0]
    away = KnownCompositions({"OQMD": oqmd_hull().amounts}).nearest(asked, 1)[1][:, 0]
    ranks = {
        "P(stable)": found.probability,
        "distance to the hull": -found.distance,
        ENERGY: -found.energy,
        ENTRIES: KnownSystems(stable).within(asked),
        "near a known composition": -away,
    }
    rows, is_later = [], np.arange(len(asked)) < len(later)
    for method, score in ranks.items():
        row = {"method": method, "seed": 0, "later": len(later), "enumerated": len(other)}
        row["auc"] = float(roc_auc_score(is_later, score))
        for share in (0.01, 0.1):
            row[f"in the upper {share:.0%}"] = float(
                (score[is_later] > np.quantile(score[~is_later], 1 - share)).mean()
            )
        rows.append(row)
    return rows


def _search(stop: int) -> Callable[[], dict[str, Piece]]:
    def pieces() -> dict[str, Piece]:
        steps = [(start, min(start + 10, stop)) for start in range(0, stop, 10)]
        return {f"blocks-{a:03d}": partial(search_piece, a, b) for a, b in steps}

    return pieces


JOBS = [
    Job(
        "distilled",
        "the small network of `screen` taught by answers, beside one that learned the labels",
        0.4,
        lambda: {way: partial(distilled_piece, way) for way in distilled.TEACHERS},
    ),
    Job(
        "predict-stable",
        "stable or not by `predict` and its controls, on chemical systems held out of OQMD",
        0.05,
        lambda: {"formation_energy": stable_piece},
    ),
    Job(
        "stable-sources",
        "stable new compounds per thousand by sampler: generator, swaps, shuffled, enumeration",
        0.2,
        lambda: {f"{repeat:02d}": partial(source_piece, repeat) for repeat in range(SAMPLES)},
    ),
    Job(
        "stable-later",
        "how high compounds rank that the Materials Project has and OQMD has not",
        0.05,
        lambda: {"mp": later_piece},
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

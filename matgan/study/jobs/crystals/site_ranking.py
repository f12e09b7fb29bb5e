"""The second computation behind notebook 31: structure types by the likelihood of their sites."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from matgan.crystals import prototypes as pt
from matgan.crystals.sites.exchange import exchange_distances
from matgan.crystals.sites.network import BESIDE, SHAPE, SiteModel, View, learn_sites
from matgan.crystals.sites.ranking import likelihood_scores, templates_of
from matgan.crystals.structures import Structures, load_structures
from matgan.data.splits import random_generator
from matgan.study.jobs.crystals.sites import REPEATS, Setting, SiteData, kept_model, site_data
from matgan.study.jobs.crystals.structures import DISTANCE_STEPS, Scorer, best_scale
from matgan.study.jobs.pieces import Piece, Rows
from matgan.study.jobs.runner import Job

NAME = "site-ranking"
LIKELIHOOD, POPULARITY, OURS = "site likelihood", "popularity", "learned distances"
EXCHANGE, NEAREST_EXCHANGE = "ionic substitution, summed", "ionic substitution, best"
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # of the likelihood beside another score
DRAWS = 2000  # of the bootstrap
REVIEW_SYSTEMS = {"Mn-Ge": (25, 32), "Li-Mn-Ge": (3, 25, 32)}


def combined(first: np.ndarray, likelihood: np.ndarray, weight: float) -> np.ndarray:
    """A score and the log-likelihood times a weight; what neither knows stays last."""
    return first if weight == 0 else first + weight * np.maximum(likelihood, -1e6)


def share_first(ranks: np.ndarray, k: int = 1) -> float:
    """Share of the questions whose right structure type is among the first k."""
    return float((ranks <= k).mean())


def gain_interval(before: np.ndarray, after: np.ndarray, k: int, seed: int = 0) -> dict:
    """Change of the share among the first k, with its 95% interval over compositions drawn anew."""
    change = (after <= k).astype(float) - (before <= k)
    rows = random_generator(seed).integers(len(change), size=(DRAWS, len(change)))
    low, high = np.quantile(change[rows].mean(1), [0.025, 0.975])
    return {"gain": float(change.mean()), "low": float(low), "high": float(high)}


class Rankings:
    """Places of the right structure type by a score, for the questions of some parts.

    Parameters
    ----------
    structures : of all parts
    groups : the templates that are known
    parts : names of the questions' parts, "val" and "test"
    limit : questions of an anonymous formula at most, for a test; 0: all
    """

    def __init__(self, structures: Structures, groups: dict, parts=("val", "test"), limit: int = 0):
        self.groups = groups
        self.questions = {}
        for part in parts:
            asked = pt.new_compositions_of(structures, structures.rows(part), groups)
            self.questions[part] = [
                pt.Question(q.amounts, q.elements[: limit or None], q.right[: limit or None])
                for q in asked
            ]

    def scores(self, part: str, scorer) -> list[np.ndarray]:
        """A table (n, prototypes) for each anonymous formula of a part that has templates."""
        known = [q for q in self.questions[part] if q.amounts in self.groups]
        return [scorer(self.groups[q.amounts], q.elements) for q in known]

    def ranks(self, part: str, scores: list[np.ndarray]) -> np.ndarray:
        """Places; inf where no template has the right structure type."""
        known = iter(scores)
        found = []
        for q in self.questions[part]:
            if q.amounts in self.groups:
                found.append(pt.ranks_of(next(known), self.groups[q.amounts], q.right))
            else:
                found.append(np.full(len(q.right), np.inf))
        return np.concatenate(found)


def table_rows(ranks: dict[tuple[str, str], np.ndarray], facts: dict) -> Rows:
    """A row for each method and part: shares among the first 1, 5 and 10."""
    return [
        {"method": method, "part": part, "structures": len(places), **facts}
        | {f"top_{k}": share_first(places, k) for k in (1, 5, 10)}
        for (method, part), places in ranks.items()
    ]


def popularity(group: pt.Group, elements: np.ndarray) -> np.ndarray:
    """(n, prototypes) log of the number of known structures of each prototype."""
    return np.tile(np.log(group.counts), (len(elements), 1))


def ranking_rows(rankings: Rankings, model: SiteModel, data: SiteData, seed: int, table) -> Rows:
    """Rows of the likelihood alone, of two other scores, and of each with the likelihood.

    Parameters
    ----------
    rankings : the questions
    model, data : whose likelihoods
    seed : of the draw of the templates
    table : (N_Z, N_Z) learned distances
    """

    def likelihood(group: pt.Group, elements: np.ndarray) -> np.ndarray:
        return likelihood_scores(model, templates_of(data.sites, group, seed=seed), elements)

    given = torch.as_tensor(table)
    scorers = {
        LIKELIHOOD: likelihood,
        POPULARITY: popularity,
        OURS: lambda group, elements: group.scores(elements, given),
    }
    facts, rows = {"view": model.view.name, "seed": seed}, []
    scores = {
        (m, part): rankings.scores(part, scorer)
        for m, scorer in scorers.items()
        for part in rankings.questions
    }
    ranks = {key: rankings.ranks(key[1], found) for key, found in scores.items()}
    rows += table_rows(ranks, facts)
    for method in (POPULARITY, OURS):

        def both(part: str, weight: float, method: str = method) -> np.ndarray:
            pairs = zip(scores[method, part], scores[LIKELIHOOD, part], strict=True)
            return rankings.ranks(part, [combined(a, b, weight) for a, b in pairs])

        weight = max(WEIGHTS, key=lambda w: (share_first(both("val", w)), -w))
        name = f"{method} and site likelihood"
        for part in rankings.questions:
            places = both(part, weight)
            rows += table_rows({(name, part): places}, facts | {"weight": weight})
            before = ranks[method, part]
            for k in (1, 10):
                found = gain_interval(before, places, k, seed)
                rows[-1] |= {f"{name_}_{k}": value for name_, value in found.items()}
    return rows


def ranking_piece(view: View, seed: int, folder: Path) -> Rows:
    """The rankings by one model of the sites, beside distances learned with the same seed."""
    data = site_data()
    groups = pt.group_templates(data.structures, data.structures.rows("train"))
    table = pt.learn_distances(groups, DISTANCE_STEPS, seed)
    setting = Setting(view, seed=seed)
    rows = ranking_rows(Rankings(data.structures, groups), kept_model(setting), data, seed, table)
    return [row | {"epochs": setting.epochs} for row in rows]


def exchange_piece(folder: Path) -> Rows:
    """The published substitution probabilities on the same questions.

    The scale of their logarithms in the sum over templates is chosen on validation.
    """
    structures = load_structures()
    groups = pt.group_templates(structures, structures.rows("train"))
    rankings, table = Rankings(structures, groups), exchange_distances()

    def summed(scale: float) -> Scorer:
        return lambda group, elements: group.scores(elements, scale * table)

    def share(scale: float) -> float:
        return share_first(rankings.ranks("val", rankings.scores("val", summed(scale))))

    scale = best_scale(share)
    scorers: dict[str, Scorer] = {
        EXCHANGE: summed(scale),
        NEAREST_EXCHANGE: lambda group, elements: group.nearest(elements, table),
    }
    ranks = {
        (method, part): rankings.ranks(part, rankings.scores(part, scorer))
        for method, scorer in scorers.items()
        for part in rankings.questions
    }
    rows = table_rows(ranks, {"view": "", "seed": 0})
    return [row | ({"scale": scale} if row["method"] == EXCHANGE else {}) for row in rows]


# --- the review's case ----------------------------------------------------------------------------


def without_system(data: SiteData, numbers: tuple[int, ...]) -> np.ndarray:
    """(n,) bool, structures with a space group that do not hold just these elements."""
    own = np.zeros(data.sites.species.shape[1], np.uint8)
    own[: len(numbers)] = sorted(numbers)
    same = (data.sites.species == own).all(1)
    return ~same & (data.structures.table["space_group"].to_numpy() > 0)


def proposals(
    data: SiteData, model: SiteModel, groups: dict, numbers: tuple[int, ...], table
) -> pd.DataFrame:
    """Every composition of a system and structure type that has a template, with three scores.

    Parameters
    ----------
    data, model : the sites
    groups : templates, none of the system itself
    numbers : atomic numbers of the system
    table : (N_Z, N_Z) learned distances

    Returns
    -------
    DataFrame: formula, prototype; likelihood (mean log-likelihood of an atom),
    popularity (known structures of the type) and distance to the nearest known composition
    """
    from itertools import permutations

    from pymatgen.core import Composition, Element

    given = torch.as_tensor(table)
    rows = []
    for amounts, group in groups.items():
        if len(amounts) != len(numbers):
            continue
        placed = {tuple(np.take(numbers, p)) for p in permutations(range(len(numbers)))}
        distinct = {tuple(sorted(zip(amounts, e, strict=True))): e for e in sorted(placed)}
        elements = np.array([[z for _, z in key] for key in distinct])
        templates = templates_of(data.sites, group)
        likely = likelihood_scores(model, templates, elements) / sum(amounts)
        nearest = -group.nearest(elements, given)
        for i, own in enumerate(elements):
            amounts_of = {Element.from_Z(int(z)): n for z, n in zip(own, amounts, strict=True)}
            formula = Composition(amounts_of).reduced_formula
            for kind, name in enumerate(group.names):
                rows.append(
                    {"formula": formula, "prototype": name, "likelihood": likely[i, kind]}
                    | {"popularity": int(group.counts[kind]), "distance": nearest[i, kind]}
                )
    return pd.DataFrame(rows)


def system_piece(name: str, seed: int, folder: Path) -> Rows:
    """What is proposed for a system of which no structure was seen, and where the known ones are.

    By one training: a row for each of the first ten proposals of each score, and for each known
    phase its places.
    """
    data, numbers = site_data(), REVIEW_SYSTEMS[name]
    known = without_system(data, numbers)
    setting, checkpoint = Setting(BESIDE, seed=seed), folder / "checkpoint.safetensors"
    sites = data.drawn(known, setting.trained, seed)
    model = learn_sites(sites, setting.view, setting.fit, checkpoint)
    groups = pt.group_templates(data.structures, np.flatnonzero(known))
    table = pt.learn_distances(groups, DISTANCE_STEPS, seed)
    found = proposals(data, model, groups, numbers, table)
    facts = {"seed": seed, "epochs": setting.epochs}
    return [row | facts for row in system_rows(name, data, ~known, found)]


def system_rows(name: str, data: SiteData, held: np.ndarray, found: pd.DataFrame) -> Rows:
    """First proposals by each score, and the places of the phases that are known."""
    from matgan.crystals.symmetry import prototypes

    part = data.structures.take(held & (data.structures.table["space_group"].to_numpy() > 0))
    real = set(zip(_reduced(part), prototypes(part).tolist(), strict=True))
    is_real = [pair in real for pair in zip(found["formula"], found["prototype"], strict=True)]
    found = found.assign(known=is_real, system=name, candidates=len(found), phases=len(real))
    for score, falling in (("likelihood", False), ("popularity", False), ("distance", True)):
        # equal scores count against a candidate
        found[f"place by {score}"] = found[score].rank(ascending=falling, method="max")
    shown = found["known"].copy()
    for column in [c for c in found if c.startswith("place by")]:
        shown |= found[column].rank(method="first") <= 10
    return found[shown].to_dict("records")


def _reduced(structures) -> list[str]:
    from pymatgen.core import Composition

    return [Composition(formula).reduced_formula for formula in structures.formulas()]


def _pieces() -> dict[str, Piece]:
    rankings = {
        f"{view.name.replace(' ', '-')}-{seed}": partial(ranking_piece, view, seed)
        for seed in REPEATS
        for view in (BESIDE, SHAPE)
    }
    return {"exchange": exchange_piece, **rankings}


def _systems() -> dict[str, Piece]:
    pairs = product(REPEATS, REVIEW_SYSTEMS)
    return {f"{name}-{seed}": partial(system_piece, name, seed) for seed, name in pairs}


JOBS = [
    Job(
        NAME,
        "structure types of new compositions by site likelihoods, beside three other rankings",
        0.3,
        _pieces,
    ),
    Job(
        "site-proposals",
        "Mn-Ge and Li-Mn-Ge: what site likelihoods propose, and where the known phases are",
        0.7,
        _systems,
    ),
]

"""Measures of generators and controls over many seeds, as the numbers and rules of claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from matgan.generated.controls import CONTROLS
from matgan.generated.measures import differences, over_seeds
from matgan.generated.models import OURS, PAIRWISE, REAL, SHUFFLED, SWAPPED, TRAINED
from matgan.study.claims import Claims, Number


class Rates:
    """What was measured of every model, with intervals and tests against the controls.

    Attributes
    ----------
    summary : of `matgan.generated.measures.over_seeds`
    tested : of `matgan.generated.measures.differences`, our generator against each control
    """

    def __init__(self, table: pd.DataFrame):
        """Of a table with the columns data, measure, model, weights, seed, value."""
        table = table.assign(weights=table["weights"].fillna(""))
        self.summary = over_seeds(table)
        self.tested = differences(table, OURS, list(CONTROLS))
        self._rows = self.summary.set_index(["data", "measure", "model"]).sort_index()
        self._models = set(zip(table["data"], table["model"], table["measure"], strict=True))

    def value(self, data: str, measure: str, model: str) -> float:
        """Mean over the seeds; NaN where there is none."""
        return float(self._rows["mean"].get((data, measure, model), np.nan))

    def number(self, data: str, measure: str, model: str, form: str = ".1%") -> Number | str:
        """The mean with its interval; in words where there is none."""
        if (data, measure, model) not in self._rows.index:
            ran = any(d == data and m == model and k != "not run" for d, m, k in self._models)
            few = "too few compositions" if model in TRAINED else "not measured"
            return f"{model} {few if ran else 'not run'}"
        row = self._rows.loc[(data, measure, model)]
        return Number(model, row["mean"], row["low"], row["high"], form)

    def numbers(
        self, data: str, measure: str, *models: str, form: str = ".1%"
    ) -> list[Number | str]:
        """`number` of several models."""
        return [self.number(data, measure, model, form) for model in models]

    def trainings(self, data: str, model: str = OURS) -> int:
        """Independent trainings behind the numbers of a trained generator; 0 where there is none.

        Samples of one network say nothing about another training: however many, they count as one.
        """
        of = self.summary[(self.summary["data"] == data) & (self.summary["model"] == model)]
        if of.empty:
            return 0
        return int(of["n"].max()) if (of["interval over"] == "networks").any() else 1

    def ahead(self, data: str, measure: str, higher: bool) -> dict[str, bool]:
        """Whether ours is ahead of each control, beyond chance (p < 0.05 by Holm).

        Parameters
        ----------
        data, measure : what is compared
        higher : a high value is good

        Returns
        -------
        dict: control -> bool; empty where nothing was tested
        """
        rows = self.tested[(self.tested["data"] == data) & (self.tested["measure"] == measure)]
        good = ((rows["difference"] > 0) == higher) & (rows["p_holm"] < 0.05)
        return dict(zip(rows["other"], map(bool, good), strict=True))

    def standing(self, data: str, measure: str, higher: bool) -> str:
        """`ahead` in words: which controls ours is better than, level with, behind."""
        better = self.ahead(data, measure, higher)
        worse = self.ahead(data, measure, not higher)
        if not better:
            return "not tested: one sample of each"
        kinds = {
            "better than": [name for name, is_so in better.items() if is_so],
            "level with": [name for name in better if not better[name] and not worse[name]],
            "behind": [name for name, is_so in worse.items() if is_so],
        }
        return "; ".join(f"{kind} {', '.join(some)}" for kind, some in kinds.items() if some)

    def against_controls(
        self,
        claims: Claims,
        claim: str,
        data: str,
        measure: str,
        *,
        higher: bool,
        paper: str,
        here: Sequence[str] = (OURS,),
        control: Sequence[str] = (REAL, SWAPPED, PAIRWISE, SHUFFLED),
        form: str = ".1%",
        converged: bool | None = None,
        headline: str = "",
    ) -> str:
        """Add the claim that ours is ahead of each control, beyond chance; returns its verdict.

        Parameters
        ----------
        claims : where to add it
        claim, paper, converged, headline : as in `Claims.add`
        data, measure, higher : as in `ahead`
        here, control : models whose numbers are shown
        form : of these numbers
        """
        better = self.ahead(data, measure, higher)
        return claims.add(
            claim,
            paper=paper,
            here=self.numbers(data, measure, *here, form=form),
            control=self.numbers(data, measure, *control, form=form),
            rule=f"{'higher' if higher else 'lower'} than each control (Welch, Holm, p < 0.05)",
            holds=list(better.values()) or [None],
            repeats=self.trainings(data),
            converged=converged,
            headline=headline,
        )

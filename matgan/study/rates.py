"""Measures of generators and controls over many seeds, as the numbers and rules of claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from matgan.generated.controls import CONTROLS
from matgan.generated.measures import differences, over_seeds
from matgan.generated.models import OURS, REAL
from matgan.generated.sweep import draws_settled
from matgan.study.claims import NEEDED, Claims, Number


class Rates:
    """What was measured of every model, with intervals and tests against the controls.

    Attributes
    ----------
    summary : of `matgan.generated.measures.over_seeds`
    controls : the samplers that ours is compared with; none of them learns
    tested : of `matgan.generated.measures.differences`, our generator against each control
    """

    def __init__(self, table: pd.DataFrame, controls: Sequence[str] = tuple(CONTROLS)):
        """Of a table with the columns data, measure, model, weights, seed, value."""
        self.controls = tuple(controls)
        table = table.assign(weights=table["weights"].fillna(""))
        self.summary = over_seeds(table)
        self.tested = differences(table, OURS, list(self.controls))
        self._rows = self.summary.set_index(["data", "measure", "model"]).sort_index()
        there = table.dropna(subset="value")
        self._measured = set(zip(there["data"], there["model"], there["measure"], strict=True))

    def value(self, data: str, measure: str, model: str) -> float:
        """Mean over the seeds; NaN where there is none."""
        return float(self._rows["mean"].get((data, measure, model), np.nan))

    def upper(self, data: str, measure: str, model: str) -> float:
        """Upper end of the interval of that mean; the mean where there is one sample alone."""
        if (data, measure, model) not in self._rows.index:
            return float("nan")
        return float(self._rows.loc[(data, measure, model), ["mean", "high"]].max())

    def number(
        self, data: str, measure: str, model: str, form: str = ".1%", label: str = ""
    ) -> Number | str:
        """The mean with its interval; in words where there is none.

        Parameters
        ----------
        data, measure, model : what is asked for
        form : of the number
        label : before the number; empty: the model
        """
        label = label or model
        if (data, measure, model) in self._rows.index:
            row = self._rows.loc[(data, measure, model)]
            return Number(label, row["mean"], row["low"], row["high"], form)
        if not any((data, model) == key[:2] for key in self._measured):
            return f"{label}: not run"
        rated = (data, model, "neutral") in self._measured
        few = (data, model, "decodable") in self._measured and not rated
        return f"{label}: {'too few compositions' if few else 'not measured'}"

    def numbers(
        self, data: str, measure: str, *models: str, form: str = ".1%"
    ) -> list[Number | str]:
        """`number` of several models."""
        return [self.number(data, measure, model, form) for model in models]

    def trainings(self, data: str, measure: str, model: str = OURS) -> int:
        """Independent trainings behind a number of a trained generator; 0 where there is none.

        Samples of one network say nothing about another training: however many, they count as one.
        """
        if (data, measure, model) not in self._rows.index:
            return 0
        row = self._rows.loc[(data, measure, model)]
        return int(row["n"]) if row["interval over"] == "networks" else 1

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

    def decided(
        self, data: str, measure: str, changed: pd.DataFrame, name: str = "", *, higher: bool
    ) -> bool:
        """Whether longer training of ours could not decide otherwise about `ahead`.

        Twice the updates were tried and change what is drawn by less than 2%, and the measure by
        less than half of the smallest distance from a control. Where they were not measured by it,
        only a comparison that is won can be decided.

        Parameters
        ----------
        data, measure, higher : as in `ahead`
        changed : as from `matgan.generated.sweep.changes`
        name : of the measure in it; empty: it is not there
        """
        if not name:
            better = self.ahead(data, measure, higher)
            won = all(better.get(control, False) for control in self.controls)
            return won and draws_settled(changed)
        rows = self.tested[(self.tested["data"] == data) & (self.tested["measure"] == measure)]
        return draws_settled(changed, pd.Series({name: rows["difference"].abs().min()}))

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
        form: str = ".1%",
        needed: int = NEEDED,
        converged: bool | None = None,
        headline: str = "",
    ) -> str:
        """Add the claim that ours is ahead of each sampler that does not learn; its verdict.

        All controls are shown, those not measured as such, and what the real compositions have.

        Parameters
        ----------
        claims : where to add it
        claim, paper, needed, converged, headline : as in `Claims.add`
        data, measure, higher : as in `ahead`
        here : models whose numbers are shown
        form : of these numbers
        """
        better, repeats = self.ahead(data, measure, higher), self.trainings(data, measure)
        beside = self.numbers(data, measure, *self.controls, form=form)
        if (data, measure, REAL) in self._rows.index:
            beside.append(self.number(data, measure, REAL, form, f"not in the rule: {REAL}"))
        holds: list[bool | None] = [better.get(control) for control in self.controls]
        if not better and np.isfinite(self.value(data, measure, OURS)):
            holds, repeats = [False], 1  # a single sample: no test
        return claims.add(
            claim,
            paper=paper,
            here=self.numbers(data, measure, *here, form=form),
            control=beside,
            rule=f"{'higher' if higher else 'lower'} than each sampler (Welch, Holm, p < 0.05)",
            holds=holds,
            repeats=repeats,
            needed=needed,
            converged=converged,
            headline=headline,
        )

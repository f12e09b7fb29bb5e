"""`predict` as a form in a notebook: formulas in, answers out; Voilà serves it as a web page."""

from __future__ import annotations

import html
from functools import partial

import ipywidgets as widgets

from matgan.data.sources import SourceCorrupt, SourceUnavailable
from matgan.properties.prediction import predict, summary

_MOST = 200  # compositions that a form answers at once


def prediction_form(formulas: str = "TiO2, LiNi0.5Mn1.5O4") -> widgets.VBox:
    """A form with a field for formulas, a button, and the answers of `predict` as a table.

    Parameters
    ----------
    formulas : what stands in the field at first; commas or lines stand between formulas

    Returns
    -------
    ipywidgets.VBox
        Its children: the field, the row of options with the button, and the answers.
    """
    field = widgets.Textarea(formulas, layout=widgets.Layout(width="100%", height="6em"))
    nearest = widgets.BoundedIntText(3, min=0, max=10, description="nearest known compositions")
    nearest.style.description_width = "initial"
    button = widgets.Button(description="Predict", button_style="primary")
    answers = widgets.HTML()
    button.on_click(partial(_answer, field, nearest, answers))
    return widgets.VBox([field, widgets.HBox([nearest, button]), answers])


def _answer(field, nearest, answers, _button) -> None:
    asked = [word.strip() for word in field.value.replace("\n", ",").split(",")]
    asked = [word for word in asked if word]
    if not 1 <= len(asked) <= _MOST:
        answers.value = f"<p>Give 1 to {_MOST} formulas, not {len(asked)}.</p>"
        return
    answers.value = "<p>…</p>"
    try:
        table = predict(asked, nearest=nearest.value, on_error="nan")
    except (SourceUnavailable, SourceCorrupt) as error:
        answers.value = f"<p>{html.escape(str(error))}</p>"
        return
    shown = summary(table).set_axis(asked).T.to_html(border=0, justify="left")
    answers.value = f"<div style='overflow-x:auto'>{shown}</div>"

"""A map of materials to hover over: one page of HTML that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from matgan.representation.figures import colours_of


def interactive_map(
    points: np.ndarray,
    labels: Sequence[str],
    texts: Sequence[str],
    title: str,
    caption: str = "",
    width: int = 1000,
) -> str:
    """A scatter plot as a page of HTML that needs no other file and no network.

    Hovering over a point shows its text; a box for each label hides its points; a search field
    marks the points whose text holds what is typed.

    Parameters
    ----------
    points : (n, 2) array, finite
    labels : (n,) texts, at most six different ones; each gets a colour
    texts : (n,) texts, shown as they are: "<", "&" and quotes are escaped
    title, caption : above and below the map
    width : of the drawing, in its own units; the page scales it to the window

    Returns
    -------
    str, the page

    Raises
    ------
    ValueError
        Lengths that differ, a point that is not finite, too many labels.
    """
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must be (n, 2), not {points.shape}")
    if not len(points) == len(labels) == len(texts):
        raise ValueError(f"{len(points)} points, {len(labels)} labels, {len(texts)} texts")
    if not np.isfinite(points).all():
        raise ValueError(f"point {int(np.argwhere(~np.isfinite(points))[0, 0])} is not finite")
    colour = colours_of(labels)
    places, height = _to_page(points, width)
    circles = "\n".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour[str(label)]}"'
        f' data-label="{escape(str(label))}" data-text="{escape(str(text))}"/>'
        for (x, y), label, text in zip(places, labels, texts, strict=True)
    )
    legend = "\n".join(
        f'<label style="color: {colour[name]}"><input type="checkbox" checked'
        f' value="{escape(name)}"> {escape(name)}</label>'
        for name in colour
    )
    page = Template(Path(__file__).with_name("map.html").read_text(encoding="utf-8"))
    texts_around = {"title": escape(title), "caption": escape(caption), "legend": legend}
    return page.substitute(texts_around, circles=circles, width=width, height=round(height))


def _to_page(points: np.ndarray, width: int, margin: int = 12) -> tuple[np.ndarray, float]:
    """Positions in the drawing, equal scales, y upwards; and its height."""
    if not len(points):
        return points, 2 * margin
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    scale = (width - 2 * margin) / (size[0] or 1.0)
    height = size[1] * scale + 2 * margin
    x, y = (points - low).T * scale
    return np.column_stack([x + margin, height - margin - y]), height

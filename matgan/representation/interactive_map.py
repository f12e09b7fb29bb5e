"""A map of points as one HTML file: hover over a point to read it, type to find it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

# The palette "colorblind" of seaborn, as in the other figures.
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px sans-serif; margin: 1em; }}
svg {{ width: 100%; max-height: 80vh; border: 1px solid #ccc; }}
circle {{ fill-opacity: 0.6; }}
circle:hover, circle.found {{ stroke: #000; stroke-width: 2; fill-opacity: 1; }}
svg.searching circle:not(.found) {{ fill-opacity: 0.07; }}
circle.hidden {{ display: none; }}
label {{ margin-right: 1em; }}
#tip {{ position: fixed; display: none; padding: 0.2em 0.5em; background: #222; color: #fff;
  border-radius: 3px; pointer-events: none; white-space: pre; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{legend}
<label>Find <input id="find" type="search" placeholder="part of a text"></label>
<span id="count"></span></p>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
  role="img" aria-label="{title}">
{circles}
</svg>
<p>{caption}</p>
<div id="tip"></div>
<script>
{script}
</script>
</body>
</html>
"""

_SCRIPT = """const svg = document.querySelector("svg"), tip = document.getElementById("tip");
const points = [...svg.querySelectorAll("circle")];
svg.addEventListener("mousemove", event => {
  const text = event.target.dataset.text;
  tip.style.display = text ? "block" : "none";
  tip.textContent = text || "";
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = event.clientY + 14 + "px";
});
svg.addEventListener("mouseleave", () => { tip.style.display = "none"; });
document.querySelectorAll("input[type=checkbox]").forEach(box => {
  box.addEventListener("change", () => {
    points.forEach(point => {
      if (point.dataset.label === box.value) point.classList.toggle("hidden", !box.checked);
    });
  });
});
document.getElementById("find").addEventListener("input", event => {
  const wanted = event.target.value.trim().toLowerCase();
  let count = 0;
  points.forEach(point => {
    const found = wanted !== "" && point.dataset.text.toLowerCase().includes(wanted);
    point.classList.toggle("found", found);
    count += found;
  });
  svg.classList.toggle("searching", wanted !== "");
  document.getElementById("count").textContent = wanted === "" ? "" : count + " found";
});"""


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
    classes = sorted({str(label) for label in labels})
    if len(classes) > len(COLOURS):
        raise ValueError(f"{len(classes)} labels, but only {len(COLOURS)} colours")
    colour = dict(zip(classes, COLOURS, strict=False))
    places, height = _to_page(points, width)
    circles = "\n".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour[str(label)]}"'
        f' data-label="{escape(str(label))}" data-text="{escape(str(text))}"/>'
        for (x, y), label, text in zip(places, labels, texts, strict=True)
    )
    legend = "\n".join(
        f'<label style="color: {colour[name]}"><input type="checkbox" checked'
        f' value="{escape(name)}"> {escape(name)}</label>'
        for name in classes
    )
    page = {"title": escape(title), "caption": escape(caption), "legend": legend}
    return _PAGE.format(**page, circles=circles, script=_SCRIPT, width=width, height=round(height))


def _to_page(points: np.ndarray, width: int, margin: int = 12) -> tuple[np.ndarray, float]:
    """Positions in the drawing, equal scales, y upwards; and its height."""
    if not len(points):
        return points, 2 * margin
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    scale = (width - 2 * margin) / (size[0] or 1.0)
    height = size[1] * scale + 2 * margin
    x, y = (points - low).T * scale
    return np.column_stack([x + margin, height - margin - y]), height

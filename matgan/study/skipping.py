"""What a headless run leaves out of a notebook: cells whose source of data cannot be had."""

from __future__ import annotations

import nbformat

from matgan.data.sources import SourceUnavailable, fetch


def without_unreachable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook; a cell tagged needs-SOURCE only says "not run" if that source cannot be had."""
    reasons: dict[str, str] = {}
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("needs-"):
                name = tag.removeprefix("needs-")
                if name not in reasons:
                    reasons[name] = _why_not_reachable(name)
                if reasons[name]:
                    cell.source = f"print({f'not run: {reasons[name]}'!r})"
    return notebook


def _why_not_reachable(source: str) -> str:
    try:
        fetch(source)
    except SourceUnavailable as error:
        return str(error)
    return ""

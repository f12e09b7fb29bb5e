"""An executed run as one HTML file: the claims first, then every notebook with its figures.

`bash run_all.sh --report` writes it. The file needs no network and no other file: figures, styles
and the interactive map are inside, and it loads no script from anywhere.
"""

from __future__ import annotations

import html
import logging
import re
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from matgan.files import atomic_file
from matgan.study.claims import read_claims
from matgan.study.run import RunError, read_manifest

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222; }
nav a { margin-right: 1.2em; }
section { border-top: 3px solid #0173b2; margin-top: 3em; }
img, svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.85em; margin: 0.8em 0; }
td, th { border-bottom: 1px solid #ddd; padding: 0.3em 0.6em; text-align: left;
  vertical-align: top; }
pre { font-size: 0.85em; overflow-x: auto; margin: 0; }
.jp-InputArea, .input_area, .highlight { background: #f6f6f6; padding: 0.1em 0.4em; }
.jp-OutputArea, .output { overflow-x: auto; margin: 0.4em 0 1.2em; }
table.dataframe thead th, table.dataframe tbody th { text-align: left; }  /* over pandas' own */
.jp-InputPrompt, .jp-OutputPrompt, .prompt, .anchor-link { display: none; }
iframe { width: 100%; height: 85vh; border: 1px solid #ccc; }
"""
_WIDGET = "application/vnd.jupyter.widget-view+json"  # a progress bar: nothing of it is in the file


def write_report(run_dir: Path) -> Path:
    """Write report.html into a run directory, from the executed notebooks and tables there.

    Parameters
    ----------
    run_dir : folder of a run; notebooks that are not there are left out

    Returns
    -------
    Path of the file.

    Raises
    ------
    RunError
        The folder holds no executed notebook.
    """
    paths = sorted(run_dir.glob("[0-9][0-9]_*.ipynb"))
    paths = [path for path in paths if not path.stem.endswith(".running")]
    if not paths:
        raise RunError(f"{run_dir} holds no executed notebook to report: run the study first")
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True)
    exporter.exclude_output_prompt = True
    exporter.log.setLevel(logging.ERROR)  # it warns of every figure without a description
    parts = [_head(run_dir, paths), _read_claims(run_dir, paths)]
    for path in paths:
        body, _ = exporter.from_notebook_node(_without_widgets(nbformat.read(path, as_version=4)))
        body = _with_own_ids(body, path.stem).replace('href="figures/map.html"', 'href="#map"')
        parts.append(f'<section id="{path.stem}">\n{body}\n</section>')
    page = run_dir / "figures" / "map.html"
    if page.is_file():
        inside = html.escape(page.read_text(encoding="utf-8"), quote=True)
        parts.append(f'<section id="map"><h1>Interactive map</h1><iframe srcdoc="{inside}">')
        parts.append("</iframe></section>")
    target = run_dir / "report.html"
    with atomic_file(target) as file:
        file.write("\n".join([*parts, "</body>\n</html>\n"]).encode())
    return target


def _head(run_dir: Path, paths: list[Path]) -> str:
    manifest = read_manifest(run_dir)
    links = "".join(f'<a href="#{path.stem}">{path.stem}</a>' for path in paths)
    made = {
        (entry.get("commit", "")[:10], entry.get("device_name", ""))
        for entry in manifest["notebooks"].values()
    }
    where = "; ".join(sorted(f"commit {commit or 'unknown'}, {name}" for commit, name in made))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>matgan: {html.escape(run_dir.name)}</title>
<style>{_STYLE}{HtmlFormatter().get_style_defs(".highlight")}</style>
</head>
<body>
<h1>matgan: the run {html.escape(run_dir.name)}</h1>
<p>{html.escape(where)}</p>
<nav><a href="#claims">claims</a>{links}</nav>"""


def _read_claims(run_dir: Path, paths: list[Path]) -> str:
    try:
        table = read_claims(run_dir / "tables").map(html.escape)
    except FileNotFoundError:
        return '<h2 id="claims">Claims</h2><p>not run: no notebook has written its claims</p>'
    links = {path.stem[:2]: f'<a href="#{path.stem}">{path.stem[:2]}</a>' for path in paths}
    table["notebook"] = table["notebook"].replace(links)
    shown = table.to_html(index=False, border=0, escape=False)
    return f'<h2 id="claims">Claims</h2>\n{shown}'


def _without_widgets(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if _WIDGET not in o.get("data", {})]
    notebook.metadata.pop("widgets", None)
    return notebook


def _with_own_ids(body: str, notebook: str) -> str:
    """Cells and headings of several notebooks share ids: each gets its notebook's name."""
    body = re.sub(r'(<h[1-6] id="| id="(?=cell-id=))', rf"\g<1>{notebook}-", body)
    return re.sub(r'(class="anchor-link" href="#)', rf"\g<1>{notebook}-", body)

"""A run as a web site that opens from disk: claims, executed notebooks, API, data, models, figures.

`bash run_all.sh --report` builds it into runs/PROFILE/site. The pages of docs/ and what the run
has written are laid out as one source folder, which Sphinx turns into HTML; nothing is executed,
nothing is loaded from a network, and no path of this machine is left in a page.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from matgan.study import pages as parts
from matgan.study.run import PROJECT, RunError

_WIDGET = "application/vnd.jupyter.widget-view+json"  # a progress bar: nothing of it is in the file
_OPTIONAL = {"notebooks/README.md": "classes.md", "CONTRIBUTING.md": "contribute.md"}


def build_site(run_dir: Path, rooms: Iterable[str] | None = None) -> Path:
    """Build the site of a run into its folder site/; one that is there already is replaced.

    Parameters
    ----------
    run_dir : folder of a run; notebooks that are not there are left out
    rooms : parts of the package whose API is described; None: all of them

    Returns
    -------
    Path of the first page, site/index.html.

    Raises
    ------
    RunError
        The folder holds no executed notebook, Sphinx is not installed, or it fails.
    """
    run_dir = run_dir.resolve()
    notebooks = sorted(run_dir.glob("[0-9][0-9]_*.ipynb"))
    notebooks = [path for path in notebooks if not path.stem.endswith(".running")]
    if not notebooks:
        raise RunError(f"{run_dir} holds no executed notebook to show: run the study first")
    try:
        import myst_nb  # noqa: F401 - the two that conf.py names beside Sphinx's own
        import sphinx_book_theme  # noqa: F401
        from sphinx.cmd.build import build_main
    except ImportError as error:
        message = f"{error.name} is not installed, and the site needs it"
        raise RunError(f"{message}: python -m pip install 'matgan[docs]'") from error
    work, site = run_dir / ".site", run_dir / "site"
    shutil.rmtree(work, ignore_errors=True)  # of a build that was killed
    try:
        _lay_out(work / "source", run_dir, notebooks, rooms)
        folders = [str(work / name) for name in ("doctrees", "source", "html")]
        if build_main(["-q", "-b", "html", "-d", *folders]):
            raise RunError("Sphinx could not build the site; its message stands above")
        for pattern in (".buildinfo", "**/*.map", "_static/*.html"):  # read by no page
            for file in (work / "html").glob(pattern):
                file.unlink()
        shutil.rmtree(site, ignore_errors=True)
        os.replace(work / "html", site)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return site / "index.html"


def _lay_out(
    source: Path, run_dir: Path, notebooks: list[Path], rooms: Iterable[str] | None
) -> None:
    """The source folder that Sphinx reads: docs/, and beside it what this run and package hold."""
    shutil.copytree(PROJECT / "docs", source, ignore=shutil.ignore_patterns("_build", "parts"))
    figures = source / "extra" / "figures"
    figures.mkdir(parents=True)
    for file in [*run_dir.glob("figures/*.png"), *run_dir.glob("figures/*.html")]:
        shutil.copyfile(file, figures / file.name)
    pages = _pages(run_dir, notebooks)
    read = {path.stem: nbformat.read(path, as_version=4) for path in notebooks}
    for origin, page in pages.items():
        target = source / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.stem in read and target.parent.name == "notebooks":
            nbformat.write(_for_readers(read[target.stem], run_dir, page, pages), target)
        elif target.suffix == ".ipynb":
            shutil.copyfile(PROJECT / origin, target)
        elif target.suffix == ".md":
            text = (PROJECT / origin).read_text(encoding="utf-8")
            target.write_text(with_site_links(text, origin, page, pages), encoding="utf-8")
    index = (source / "index.md").read_text(encoding="utf-8")
    for page in set(_OPTIONAL.values()) - set(pages.values()):
        index = index.replace(f"\n{Path(page).stem}\n", "\n")
    (source / "index.md").write_text(index, encoding="utf-8")
    (source / "parts").mkdir()
    table, package = parts.claims_of(run_dir), parts.rooms_of_package()
    texts = {
        "first_figure.html": parts.first_figure(figures),
        "verdicts.md": parts.verdicts(table),
        "claims.html": parts.claims_table(table, read),
        "candidates.html": parts.candidates_table(run_dir),
        "representations.md": parts.representations_tables(run_dir),
        "statements.md": parts.statements_table(table),
        "notebooks.md": parts.notebooks_table(run_dir, read),
        "data.md": parts.data_cards(),
        "gallery.html": "\n".join(parts.gallery(figures, read)),
        "face.md": parts.face_table(),
        "modules.md": parts.modules_table(package),
    }
    for name, text in texts.items():
        (source / "parts" / name).write_text(text + "\n", encoding="utf-8")
    (source / "api").mkdir()
    for room, modules in package.items():
        if rooms is None or room in rooms:
            text = parts.room_page(room, modules)
            (source / "api" / f"{room}.md").write_text(text, encoding="utf-8")


def _pages(run_dir: Path, notebooks: list[Path]) -> dict[str, str]:
    """Where a file of the project, or one that a notebook links to, stands in the site."""
    pages = {f"notebooks/{path.name}": f"notebooks/{path.name}" for path in notebooks}
    for path in sorted(PROJECT.glob("notebooks/solutions/*.ipynb")):
        pages[f"notebooks/solutions/{path.name}"] = f"solutions/{path.name}"
    for path in sorted(PROJECT.glob("matgan/pretrained/*.md")):
        pages[f"matgan/pretrained/{path.name}"] = f"models/{path.name}"
    for origin, page in _OPTIONAL.items():
        if (PROJECT / origin).is_file():
            pages[origin] = page
    for path in sorted(run_dir.glob("figures/*.html")):
        pages[f"figures/{path.name}"] = f"figures/{path.name}"
        pages[f"notebooks/figures/{path.name}"] = f"figures/{path.name}"  # as notebooks link it
    return pages


def with_site_links(text: str, origin: str, page: str, pages: dict[str, str]) -> str:
    """Markdown whose links between files of the project lead to their pages in the site.

    A link to a file that has no page there becomes its text.

    Parameters
    ----------
    text : Markdown
    origin, page : its file in the project, and its page in the site
    pages : page of each file that has one
    """

    def led(link: re.Match) -> str:
        label, target = link[1], link[2]
        path, _, place = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return link[0]
        file = os.path.normpath(os.path.join(os.path.dirname(origin), path))
        if file not in pages:
            return label if (PROJECT / file).exists() else link[0]
        relative = os.path.relpath(pages[file], os.path.dirname(page) or ".")
        if relative.endswith(".html"):
            return f'<a href="{relative}">{label}</a>'
        return f"[{label}]({relative}{'#' + place if place else ''})"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", led, text)


# --- notebooks ------------------------------------------------------------------------------------


def _for_readers(
    notebook: NotebookNode, run_dir: Path, page: str, pages: dict[str, str]
) -> NotebookNode:
    """An executed notebook without progress bars and without paths of the machine that ran it."""
    ran_in = notebook.metadata.get("papermill", {}).get("parameters", {}).get("run_dir", "")
    folders = {str(run_dir): f"runs/{run_dir.name}", ran_in: f"runs/{run_dir.name}"}
    folders |= {str(PROJECT): ".", sys.prefix: ".venv", str(Path.home()): "~"}
    known = sorted((f for f in folders if len(f) > 1), key=len, reverse=True)
    known_folder = re.compile(rf"({'|'.join(map(re.escape, known))})(?![\w.-])")

    def plain(text: str) -> str:
        text = re.sub(r"/\S*/ipykernel_\d+/\d+\.py", "cell", text)
        return known_folder.sub(lambda found: folders[found[0]], text)

    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.source = plain(cell.source)
        if cell.cell_type == "markdown":
            cell.source = with_site_links(cell.source, page, page, pages)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if _WIDGET not in o.get("data", {})]
        for output in cell.outputs:
            data = output.get("data", {})
            for kind in data:
                if kind.startswith("text/"):
                    data[kind] = plain(data[kind])
            if "text/markdown" in data:
                data["text/markdown"] = with_site_links(data["text/markdown"], page, page, pages)
            if "text" in output:
                output.text = plain(output.text)
            if "traceback" in output:
                output.traceback = [plain(line) for line in output.traceback]
    return notebook

"""The site of a run: it opens from disk, its links resolve, and it shows nothing of the machine."""

import base64
import contextlib
import io
import re
import sys
import warnings
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from matgan.study import site as sites
from matgan.study.claims import COLUMNS, row_id
from matgan.study.run import PROJECT, RunError, update_manifest

pytest.importorskip("myst_nb", reason="needs the extra docs")

PIXEL = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABXvMqOgAAAABJRU5ErkJggg=="
)
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "100%|bar"}
MAP = "<!DOCTYPE html><html><body><svg><circle r='1'/></svg></body></html>"
CANDIDATES = """\
formula,stable_probability,hull_distance,hull_distance_low,hull_distance_high,known_in_system,\
competing_phases,oxidation_states,nearest
Li2CoO3,0.99,-0.05,-0.1,0.01,40,Li2O + O,2 Li⁺ 4 O²⁻,LiO
CaSnO3,0.98,0.02,-0.1,0.09,30,CaO + SnO2,Ca²⁺,CaO
CoF2,0.97,-0.3,-0.4,-0.2,5,F,2 F⁻,F
"""
CLAIM = "T beats one-hot: MAE < 0.47 eV & more"


def write_notebook(folder, name, title, claim, where):
    """An executed notebook as papermill leaves it."""
    wide = "".join(f"<td>a number: {number}</td>" for number in range(40))
    outputs = [
        new_output("display_data", data={"image/png": PIXEL, "text/plain": "<Figure>"}),
        new_output("display_data", data=WIDGET),
        new_output("display_data", data={"text/html": f"<table><tr>{wide}</tr></table>"}),
        new_output("display_data", data={"text/markdown": "[Open the map](figures/map.html)"}),
        new_output("stream", name="stderr", text=f"{where}/a.csv: \x1b[31mred\x1b[0m, a < b\n"),
        new_output(
            "display_data",
            data={"text/html": f'<table><tr id="{row_id(claim)}"><td>row</td></tr></table>'},
        ),
    ]
    code = f'run.figure(figure, "figure_{name[:2]}")  # {"long " * 40}\nrun_dir = "{where}"'
    text = f"# {title}\n\nSee [the second](02_three.ipynb) and $C = \\sum_e n_e T_e$."
    before = "## Result\n\nLook for *the pixel*. It is there. It says nothing."
    cells = [new_markdown_cell(text), new_markdown_cell(before), new_code_cell(code)]
    cells[-1].outputs = outputs
    metadata = {
        "papermill": {"parameters": {"run_dir": where}},
        "language_info": {"name": "python"},
    }
    notebook = new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    update_manifest(folder, name, {"commit": "c0ffee" * 3, "status": "ok", "wall_seconds": 90})


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run of two notebooks: one with today's columns of claims, one with fewer."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    (folder / "tables").mkdir(parents=True)
    (folder / "figures").mkdir()
    write_notebook(folder, "01_data_curation", "1. One & two", CLAIM, str(folder))
    write_notebook(folder, "02_three", "2. Three", "other", "/made/elsewhere/runs/tiny")
    (folder / "03_half.running.ipynb").write_text("not whole")
    row = [CLAIM, "0.467", "0.42", "0.46", "lower", "not decided: too few repeats", "3", "1"]
    second = ["10% more", "yes", "9", "8", "lower", "holds", "10", ""]
    pd.DataFrame([row, second], columns=COLUMNS).to_csv(
        folder / "tables/claims_01.csv", index=False
    )
    old = pd.DataFrame({"claim": ["9% more"], "paper": ["no"], "verdict": ["a < b"]})
    old.to_csv(folder / "tables/claims_02.csv", index=False)
    (folder / "tables/stable_candidates.csv").write_text(CANDIDATES, encoding="utf-8")
    (folder / "figures/figure_01.png").write_bytes(base64.b64decode(PIXEL))
    (folder / "figures/map.html").write_text(MAP)
    return folder


@pytest.fixture(scope="module")
def site(run_dir):
    """Folder of its site, with one room of the API; Sphinx had nothing to complain about."""
    with contextlib.redirect_stderr(io.StringIO()) as complaints, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Sphinx to its own extensions
        first = sites.build_site(run_dir, rooms=["files"])
    assert complaints.getvalue() == ""
    assert first == run_dir / "site" / "index.html"
    return first.parent


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path):
        super().__init__()
        self.path, self.tags, self.words = path, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def values(self, attribute, *tags):
        return [
            v[attribute] for tag, v in self.tags if attribute in v and (not tags or tag in tags)
        ]


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its place in the site."""
    return {p.relative_to(site).as_posix(): Page(p) for p in sorted(site.rglob("*.html"))}


def test_all_pages_are_there_and_nothing_else_is_left(site, pages, run_dir):
    wanted = {
        "index",
        "claims",
        "notebooks",
        "notebooks/01_data_curation",
        "notebooks/02_three",
        "gallery",
    }
    wanted |= {
        "api",
        "api/files",
        "data",
        "patterns",
        "predict",
        "models",
        "models/README",
        "solutions",
        "figures/map",
    }
    assert {f"{name}.html" for name in wanted} <= set(pages)
    assert not [name for name in pages if name.startswith("api/") and name != "api/files.html"]
    assert not (run_dir / ".site").exists()
    assert not [path for path in site.rglob("*") if path.suffix in (".map", ".doctree", ".ipynb")]


def test_no_page_loads_anything_from_a_network(pages):
    for name, page in pages.items():
        loaded = page.values("src") + page.values("href", "link") + page.values("srcset")
        outside = [address for address in loaded if re.match(r"(https?:)?//", address)]
        assert not outside, f"{name}: {outside}"


def test_every_link_leads_to_a_page_and_to_a_place_in_it(site, pages):
    ids = {name: set(page.values("id")) for name, page in pages.items()}
    checked = 0
    for name, page in pages.items():
        for address in page.values("href") + page.values("src"):
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            assert target.is_file(), f"{name}: {address}"
            place = unquote(parts.fragment)
            if place and target.suffix == ".html":
                there = target.relative_to(site.resolve()).as_posix()
                assert place in ids[there], f"{name}: {address}"
            checked += 1
    assert checked > 300


def test_no_page_shows_where_it_was_made(site, run_dir):
    secret = [str(run_dir.parent), str(PROJECT), "/made/elsewhere", sys.prefix, str(Path.home())]
    for path in site.rglob("*"):
        if path.suffix in (".html", ".js", ".css", ".txt", ".inv"):
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [folder for folder in secret if folder in text], path
    shown = Page(site / "notebooks" / "02_three.html").text
    assert "runs/tiny/a.csv: red, a < b" in shown


def test_the_claims_lead_to_their_rows_with_a_colour_for_each_verdict(pages):
    page = pages["claims.html"]
    assert [word for word in page.words if word in {*COLUMNS, "notebook"}] == [
        *COLUMNS[:-1],
        "notebook",
    ]
    rows = [
        values["href"] for tag, values in page.tags if tag == "a" and "notebooks/0" in str(values)
    ]
    assert f"notebooks/01_data_curation.html#{row_id(CLAIM)}" in rows
    assert row_id(CLAIM) in pages["notebooks/01_data_curation.html"].values("id")
    # the row of this claim is not in its notebook, so the link goes to the notebook
    assert rows.count("notebooks/02_three.html") >= 2
    kinds = [value for value in page.values("class", "span") if value and "verdict" in value]
    assert kinds == ["verdict not-decided", "verdict holds", "verdict other"]
    assert CLAIM in page.text and "a < b" in page.text
    assert "3 claims stand in the table (1 holds; 1 not decided: too few repeats)" in (
        pages["index.html"].text
    )


def test_notebooks_are_shown_as_they_ran_without_progress_bars(pages):
    page = pages["notebooks/01_data_curation.html"]
    assert "100%|bar" not in page.text
    assert "jupyter.widget" not in page.path.read_text(encoding="utf-8")
    assert len([tag for tag, _ in page.tags if tag == "math"]) == 1  # MathML, no script
    assert "../figures/map.html" in page.values("href", "a")
    assert "02_three.html" in page.values("href", "a")
    assert "1. One & two ok 1.5" in pages["notebooks.html"].text
    assert "c0ffeec0ff" in pages["notebooks.html"].text


def test_a_figure_has_the_heading_and_the_sentences_before_it(pages):
    page = pages["gallery.html"]
    assert "figures/figure_01.png" in page.values("src", "img")
    assert "Result Look for the pixel. It is there." in page.text
    assert "It says nothing" not in page.text
    assert "figures/map.html" in page.values("href", "a")


def test_docstrings_of_the_package_become_its_api(pages):
    text = pages["api/files.html"].text
    assert "SHA-256 of a file, in hexadecimal digits." in text
    assert "Raises: OSError – Of a full disk, too; with the path." in text
    assert "matgan.study.site" in pages["api.html"].text


def test_docstrings_in_the_house_style_are_read_as_descriptions():
    spec = spec_from_file_location("conf", PROJECT / "docs" / "conf.py")
    conf = module_from_spec(spec)
    spec.loader.exec_module(conf)
    lines = """Sum |F|, as in:

    total(1)

Parameters
----------
a, *b : first line,
    of `a` and `a`_low
c : int
    What c is.

Returns
-------
Prose in two
lines.

Raises
------
ValueError
    If so.""".splitlines()
    conf._house_style(None, "function", "total", None, None, lines)
    assert (
        lines
        == r"""Sum \|F\|, as in::

    total(1)

Parameters
----------
a, \*b
    first line,
    of `a` and `a`\ _low
c : int
    What c is.

Returns
-------
:
    Prose in two
    lines.

Raises
------
ValueError
    If so.""".splitlines()
    )


def test_data_and_models_are_described(pages):
    assert "crabnet-2.0.8-py3-none-any.whl" in pages["data.html"].text
    assert "Pretrained weights" in pages["models.html"].text


def test_links_out_of_docs_lead_to_pages_of_the_site(pages):
    assert "models/PROPERTIES.html" in pages["predict.html"].values("href", "a")
    assert "what matgan/data/sources.csv says of each" in pages["data.html"].text  # no page of it
    assert not [link for link in pages["data.html"].values("href", "a") if "sources.csv" in link]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a](../README.md)", "a"),  # a file without a page
        ("[a](01_data_curation.ipynb#x)", "[a](../notebooks/01_data_curation.ipynb#x)"),
        ("[a](https://doi.org/x) [b](#place)", "[a](https://doi.org/x) [b](#place)"),
        ("![a](x.png) f[i](j)", "![a](x.png) f[i](j)"),
        ("[a](figures/map.html)", '<a href="../figures/map.html">a</a>'),
    ],
)
def test_links_between_files_lead_to_pages(markdown, expected):
    pages = {
        "notebooks/01_data_curation.ipynb": "notebooks/01_data_curation.ipynb",
        "notebooks/figures/map.html": "figures/map.html",
    }
    found = sites.with_site_links(markdown, "notebooks/README.md", "more/classes.md", pages)
    assert found == expected


def test_a_run_directory_without_a_notebook_is_named(tmp_path):
    with pytest.raises(RunError, match="holds no executed notebook"):
        sites.build_site(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_sphinx_the_extra_is_named(run_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "sphinx_book_theme", None)
    with pytest.raises(RunError, match=r"sphinx_book_theme is not installed.*matgan\[docs\]"):
        sites.build_site(run_dir)


def test_a_build_that_fails_leaves_the_site_that_was_there(run_dir, site, monkeypatch):
    before = (site / "index.html").read_bytes()
    monkeypatch.setattr("sphinx.cmd.build.build_main", lambda options: 2)
    with pytest.raises(RunError, match="could not build"):
        sites.build_site(run_dir, rooms=[])
    assert (site / "index.html").read_bytes() == before
    assert not (run_dir / ".site").exists()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_without_a_network_shows_every_page(site, pages, browser, width):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 844})
    page, asked, wrong = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    for name in pages:
        if not name.startswith("solutions/"):
            page.goto((site / name).as_uri())
            room = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(room) <= 0, f"{name} scrolls sideways at {width} px"
    assert wrong == []
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    context.close()


def test_a_click_sorts_the_claims(site, browser):
    page = browser.new_page()
    page.goto((site / "claims.html").as_uri())
    first_cells = "[...document.querySelectorAll('.sortable tbody td:first-child')]"
    column = f"{first_cells}.map(cell => cell.innerText)"
    assert page.evaluate(column) == [CLAIM, "10% more", "9% more"]
    page.click("th button")
    assert page.evaluate(column) == ["9% more", "10% more", CLAIM]  # numbers as numbers
    page.click("th button")
    assert page.evaluate(column) == [CLAIM, "10% more", "9% more"]
    page.click(f"a[href$='{row_id(CLAIM)}']")
    assert page.wait_for_selector("tr:target").inner_text() == "row"
    page.close()


def test_a_reader_searches_and_sorts_the_candidates(site, browser):
    page = browser.new_page()
    page.goto((site / "candidates.html").as_uri())
    column = "[...document.querySelectorAll('.searched tbody tr')].filter(row => !row.hidden)"
    column += ".map(row => row.cells[0].innerText)"
    assert page.inner_text(".rows-shown") == "3 of 3"
    expected = {
        "O": ["Li2CoO3", "CaSnO3"],  # not the one with Co alone
        "Ca,O": ["CaSnO3"],
        "O -Co": ["CaSnO3"],
        "co": ["Li2CoO3", "CoF2"],  # no element's symbol: text, as in its name
        "-": ["Li2CoO3", "CaSnO3", "CoF2"],
        "Li Ca": [],
    }
    for words, compounds in expected.items():
        page.fill(".search-rows", words)
        assert page.evaluate(column) == compounds, words
        assert page.inner_text(".rows-shown") == f"{len(compounds)} of 3"
    page.fill(".search-rows", "")
    page.click("th:nth-child(3) button")  # distances, by value, the minus sign included
    assert page.evaluate(column) == ["CoF2", "Li2CoO3", "CaSnO3"]
    page.close()

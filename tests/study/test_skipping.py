import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from matgan.data.sources import SourceUnavailable
from matgan.study import skipping


def test_a_cell_whose_source_cannot_be_had_only_says_so(monkeypatch):
    asked = []

    def fetch(name):
        asked.append(name)
        if name == "supercon":
            raise SourceUnavailable("supercon.csv is nowhere: it's 'gone'")

    monkeypatch.setattr(skipping, "fetch", fetch)
    tags = (["needs-supercon"], ["needs-crabnet"], ["parameters"], ["needs-supercon"])
    cells = [new_code_cell(f"x = {i}", metadata={"tags": t}) for i, t in enumerate(tags)]
    cells.append(new_code_cell("x = 4"))
    done = skipping.without_unreachable(new_notebook(cells=cells))
    nbformat.validate(done)
    sources = [cell.source for cell in done.cells]
    assert sources[1] == "x = 1" and sources[2] == "x = 2" and sources[4] == "x = 4"
    said = []
    exec(sources[0], {"print": said.append})
    assert said == ["not run: supercon.csv is nowhere: it's 'gone'"]
    assert sources[3] == sources[0]
    assert asked == ["supercon", "crabnet"]  # each source once


def test_a_source_that_a_tag_names_is_known():
    from matgan.data.sources import SOURCES
    from matgan.study.run import PROJECT

    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("needs-"):
                    assert tag.removeprefix("needs-") in SOURCES, path.name

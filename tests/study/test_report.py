"""The report: one file with everything in it, nothing loaded from elsewhere."""

from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from matgan.study.report import write_report
from matgan.study.run import RunError, update_manifest

PIXEL = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABXvMqOgAAAABJRU5ErkJggg=="
)
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "100%"}
MAP = "<!DOCTYPE html><html><body><svg><circle data-text='a \"b\"'/></svg></body></html>"


@pytest.fixture
def run_dir(tmp_path):
    """A run of two notebooks with equal headings, a figure, a progress bar and a map."""
    for number, title in (("01", "One & two"), ("02", "Three")):
        data = [
            {"image/png": PIXEL, "text/plain": "<Figure>"},
            WIDGET,
            {"text/html": "<table><tr><td>cell</td></tr></table>"},
            {"text/markdown": "[Open the map](figures/map.html)"},
        ]
        outputs = [new_output("display_data", data=each) for each in data]
        outputs.append(new_output("stream", text="a < b\n\x1b[31mred\x1b[0m"))
        code = new_code_cell("x = 1 < 2  # a comment", outputs=outputs, id="cell-01")
        text = new_markdown_cell(f"# {title}\n\n## Result\n\n| a |\n|---|\n| 1 |", id="cell-00")
        nbformat.write(new_notebook(cells=[text, code]), tmp_path / f"{number}_{title[:3]}.ipynb")
        (tmp_path / "tables").mkdir(exist_ok=True)
        table = pd.DataFrame({"claim": [f"claim {number}"], "verdict": ["T < 0 & so on"]})
        table.to_csv(tmp_path / "tables" / f"claims_{number}.csv", index=False)
        update_manifest(tmp_path, f"{number}_{title[:3]}", {"commit": "c0ffee" * 3})
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "map.html").write_text(MAP)
    return tmp_path


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def values(self, attribute):
        return [values[attribute] for _, values in self.tags if attribute in values]


def test_the_claims_come_first_then_each_notebook(run_dir):
    page = Page(write_report(run_dir).read_text())
    text = " ".join(page.words)
    order = ["claim 01", "claim 02", "One & two", "a comment", "Three"]
    assert sorted(order, key=text.index) == order
    assert "T < 0 & so on" in text
    assert "a < b" in text and "red" in text
    assert [values["id"] for tag, values in page.tags if tag == "section"] == [
        "01_One",
        "02_Thr",
        "map",
    ]
    assert text.count("Result") == 2


def test_it_needs_no_network_and_no_other_file(run_dir):
    page = Page(write_report(run_dir).read_text())
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "object", "embed")]
    assert all(source.startswith("data:") for source in page.values("src"))
    assert page.values("src").count(f"data:image/png;base64,{PIXEL}") == 2
    styles = page.words[1:]
    assert not [word for word in styles if "@import" in word or "url(" in word]


def test_every_link_leads_to_a_place_in_it_and_every_id_is_its_own(run_dir):
    page = Page(write_report(run_dir).read_text())
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = page.values("href")
    assert len(links) > 5
    for link in links:
        assert link.startswith("#") and link[1:] in ids, link


def test_the_map_is_inside_and_whole(run_dir):
    (frame,) = Page(write_report(run_dir).read_text()).values("srcdoc")
    assert frame == MAP


def test_a_part_of_a_run_is_reported_as_far_as_it_goes(run_dir):
    for path in run_dir.glob("tables/*"):
        path.unlink()
    (run_dir / "figures" / "map.html").unlink()
    (run_dir / "02_Thr.ipynb").rename(run_dir / "02_Thr.running.ipynb")
    page = Page(write_report(run_dir).read_text())
    assert "not run: no notebook has written its claims" in page.words
    assert [v["id"] for tag, v in page.tags if tag == "section"] == ["01_One"]


def test_a_run_directory_without_a_notebook_is_named(tmp_path):
    with pytest.raises(RunError, match="holds no executed notebook"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_browser_without_a_network_shows_all_of_it(run_dir, browser):
    context = browser.new_context(offline=True)
    page, asked, wrong = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text))
    report = write_report(run_dir).as_uri()
    page.goto(report)
    assert [url for url in asked if not url.startswith("data:")] == [report]
    assert wrong == []
    assert page.evaluate("[...document.images].map(image => image.naturalWidth)") == [1, 1]
    assert page.frames[1].evaluate("document.querySelectorAll('circle').length") == 1
    page.click("table a >> text=02")
    assert page.evaluate("location.hash") == "#02_Thr"
    assert page.query_selector("[id='02_Thr'] h1").is_visible()
    context.close()

"""The map to hover over: one page that is whole, safe and right."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from matgan.representation.figures import colours_of
from matgan.representation.interactive import interactive_map

POINTS = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 5.0]])
LABELS = ["cuprate", "other", "cuprate"]
TEXTS = ["YBa2Cu3O7\nTc 92 K", 'a"b<script>alert(1)</script>', "K & Na's {x}"]


def page(**changes):
    given = {"points": POINTS, "labels": LABELS, "texts": TEXTS, "title": "A <map>"}
    return interactive_map(**given | changes)


def circles(text):
    svg = ElementTree.fromstring(re.search(r"<svg.*?</svg>", text, re.DOTALL)[0])
    return svg, [e for e in svg if e.tag.endswith("circle")]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))


def test_texts_come_back_as_they_were_and_make_no_tags():
    read = Tags(page())
    shown = [a["data-text"] for tag, a in read.attributes if tag == "circle"]
    assert shown == TEXTS
    assert read.tags.count("script") == 1 and read.tags.count("map") == 0
    assert '"A &lt;map>' not in page() and "<h1>A &lt;map&gt;</h1>" in page()


def test_it_needs_no_other_file_and_no_network():
    text = page()
    assert not [tag for tag, a in Tags(text).attributes if "src" in a or "href" in a]
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "@import" not in text and "url(" not in text


def test_positions_keep_their_shape_and_up_is_up():
    svg, found = circles(page(points=POINTS * 3 - 7))
    x, y = (np.array([float(c.get(name)) for c in found]) for name in ("cx", "cy"))
    assert y[0] == y[1] > y[2] and x[0] < x[1] == x[2]
    assert (y[1] - y[2]) / (x[1] - x[0]) == pytest.approx(0.5, abs=1e-3)
    width, height = (float(v) for v in svg.get("viewBox").split()[2:])
    assert ((x > 0) & (x < width) & (y > 0) & (y < height)).all()


def test_a_colour_and_a_box_for_each_label():
    text = page()
    _, found = circles(text)
    colour = colours_of(LABELS)
    assert [c.get("fill") for c in found] == [colour[label] for label in LABELS]
    boxes = [a["value"] for tag, a in Tags(text).attributes if a.get("type") == "checkbox"]
    assert boxes == ["cuprate", "other"]


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="3 points, 2 labels, 3 texts"):
        page(labels=LABELS[:2])
    with pytest.raises(ValueError, match="point 1 is not finite"):
        page(points=np.array([[0, 0], [np.nan, 1], [1, 1]]))
    with pytest.raises(ValueError, match=r"must be \(n, 2\), not \(3, 3\)"):
        page(points=np.eye(3))
    with pytest.raises(ValueError, match="7 labels, but only 6 colours"):
        interactive_map(np.zeros((7, 2)), list("abcdefg"), list("abcdefg"), "x")


def test_no_points_and_points_in_one_place():
    assert circles(page(points=np.empty((0, 2)), labels=[], texts=[]))[1] == []
    _, found = circles(page(points=np.ones((3, 2))))
    assert len({c.get("cx") for c in found}) == 1


# A stand-in for the browser's page: just what the script touches, and three events at the end.
PAGE_IN_NODE = """
const element = data => ({ dataset: data, style: {}, handlers: {}, classes: new Set(),
  addEventListener(name, f) { this.handlers[name] = f; },
  classList: null });
const withClasses = e => { e.classList = { toggle: (name, on) =>
  on ? e.classes.add(name) : e.classes.delete(name) }; return e; };
const dots = TEXTS.map(([label, text]) => withClasses(element({ label, text })));
const drawing = withClasses(element({}));
drawing.querySelectorAll = () => dots;
const byId = { tip: element({}), find: element({}), count: element({}) };
const box = Object.assign(element({}), { value: "cuprate", checked: true });
globalThis.innerWidth = 800;
globalThis.document = { querySelector: () => drawing, getElementById: id => byId[id],
  querySelectorAll: () => [box] };
"""
EVENTS = """
const assert = require("assert");
drawing.handlers.mousemove({ target: dots[0], clientX: 5, clientY: 5 });
assert.equal(byId.tip.textContent, TEXTS[0][1]);
assert.equal(byId.tip.style.display, "block");
drawing.handlers.mousemove({ target: drawing, clientX: 5, clientY: 5 });
assert.equal(byId.tip.style.display, "none");
box.checked = false;
box.handlers.change();
assert.deepEqual(dots.map(d => d.classes.has("hidden")), [true, false, true]);
byId.find.handlers.input({ target: { value: " ba2cu " } });
assert.deepEqual(dots.map(d => d.classes.has("found")), [true, false, false]);
assert.equal(byId.count.textContent, "1 found");
byId.find.handlers.input({ target: { value: "" } });
assert.ok(!drawing.classes.has("searching") && dots.every(d => !d.classes.has("found")));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here to run the script")
def test_the_script_shows_hides_and_finds(tmp_path):
    import json

    script = re.search(r"<script>(.*)</script>", page(), re.DOTALL)[1]
    texts = f"const TEXTS = {json.dumps(list(zip(LABELS, TEXTS, strict=True)))};"
    program = tmp_path / "page.js"
    program.write_text(f"{texts}\n{PAGE_IN_NODE}\n{script}\n{EVENTS}", encoding="utf-8")
    done = subprocess.run(["node", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Parts of the site's pages; how they look in a page is tested with the site."""

import re
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from matgan.data.sources import SOURCES
from matgan.study.claims import VERDICTS, read_claims
from matgan.study.pages import (
    candidates_table,
    claims_of,
    claims_table,
    data_cards,
    drawn,
    face_table,
    first_figure,
    gallery,
    modules_table,
    notebooks_table,
    representations_tables,
    rooms_of_package,
    statements,
    statements_table,
    verdicts,
)
from matgan.study.run import PROJECT, update_manifest


def test_names_of_figures_are_read_from_the_code():
    assert list(drawn('run.figure(figure, "a_1")')) == ["a_1"]
    (pattern,) = drawn('run.figure(draw(x), f"a_{name}")')
    assert re.fullmatch(pattern, "a_gap") and not re.fullmatch(pattern, "b_gap")
    (pattern,) = drawn('for n in ("p", "q"):\n    run.figure(f(n), n)')
    assert re.fullmatch(pattern, "q") and not re.fullmatch(pattern, "r")
    assert list(drawn("%matplotlib inline")) == []


def test_a_figure_gets_the_caption_of_the_cell_that_draws_it(tmp_path):
    for name in ("maps", "curve_gap", "curve_tc", "drawn_elsewhere"):
        (tmp_path / f"{name}.png").touch()
    cells = [
        new_markdown_cell(
            "# 1. All\n\n## A map\n\nLook at **red** [dots](x.md). Then stop. Not this."
        ),
        new_code_cell("x = 1"),
        new_code_cell('run.figure(figure, "maps")'),
        new_markdown_cell("- a list"),
        new_code_cell('for name in names:\n    run.figure(figure, f"curve_{name}")'),
    ]
    lines = list(gallery(tmp_path, {"01_a": new_notebook(cells=cells)}))
    shown = [line for line in lines if line.startswith("<figure>")]
    assert [re.search(r'src="figures/(\w+).png"', line)[1] for line in shown] == [
        "maps",
        "curve_gap",
        "curve_tc",
        "drawn_elsewhere",
    ]
    assert 'notebooks/01_a.html">A map</a></b> Look at red dots. Then stop.</figc' in shown[0]
    assert "A map</a></b> </figcaption>" in shown[1]
    assert "notebooks/" not in shown[3]


def test_a_name_of_a_figure_is_never_markup(tmp_path):
    for name in ('a"><script>.png', "b<b>.html"):
        (tmp_path / name).touch()
    text = "".join(gallery(tmp_path, {}))
    assert "<script>" not in text and "<b>." not in text
    assert 'src="figures/a&quot;&gt;&lt;script&gt;.png"' in text and "b&lt;b&gt;.html" in text


def test_the_first_figure_is_that_of_the_readme(tmp_path):
    assert first_figure(tmp_path) == ""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (tmp_path / Path(re.search(r"!\[[^\]]+\]\((figures/\S+)\)", readme)[1]).name).touch()
    (source,) = re.findall('src="([^"]+)"', first_figure(tmp_path))
    assert f"({source})" in readme


def test_the_published_claims_are_all_in_the_table():
    table = read_claims(PROJECT / "results" / "tables")
    assert claims_table(table, {}).count("<tr>") == len(table) + 1


def test_statements_and_claims_belong_together():
    """Each named claim is a row of the published run; each claim on a paper is named."""
    table = read_claims(PROJECT / "results" / "tables")
    named = {
        c for paper in statements() for one in paper["statements"] for c in one.get("claims", ())
    }
    assert named - set(table["claim"]) == set()
    of_papers = table[~table["paper"].str.match(r"\(|not ")]
    assert set(of_papers["claim"]) - named == set()


def test_a_statement_shows_the_verdicts_of_its_claims(monkeypatch):
    from matgan.study import pages

    one = {"where": "Table 4", "says": "a | b", "here": "Half.", "claims": ["x", "y"]}
    monkeypatch.setattr(pages, "statements", lambda: [{"source": "Hu", "statements": [one]}])
    table = pd.DataFrame({"claim": ["x"], "verdict": ["holds"]})
    row = statements_table(table).splitlines()[4]
    assert row == r"| Table 4 | a \| b | Half.<br>x: **holds**<br>y: **not in this run** |"
    for wrong in ({"claims": ["x", "x"]}, {}):
        bad = {"where": "", "says": "a"} | wrong
        monkeypatch.setattr(
            pages, "statements", lambda bad=bad: [{"source": "", "statements": [bad]}]
        )
        with pytest.raises(ValueError, match="'a' is tested by"):
            statements_table(table)


def test_the_table_names_the_profile_and_what_is_missing_or_failed(tmp_path):
    cells = {"parameters": {"profile": "smoke"}, "commit": "c" * 40, "device_name": "x86_64"}
    update_manifest(tmp_path, "01_data_curation", {**cells, "status": "failed"})
    read = {"01_data_curation": new_notebook(cells=[new_markdown_cell("# Curation")])}
    table = notebooks_table(tmp_path, read)
    assert "profile smoke, commit `cccccccccc`, x86_64" in table
    assert "| [Curation](notebooks/01_data_curation.ipynb) | failed |" in table
    assert "| 02_wgan_training | not run | | |" in table


def test_verdicts_are_counted(tmp_path):
    table = pd.DataFrame({"verdict": [VERDICTS[0], VERDICTS[0], VERDICTS[2], "of another kind"]})
    assert (
        verdicts(table)
        == "**4 claims** stand in [the table](claims.md) (2 holds; 1 does not hold)."
    )
    assert "No claim has been tested" in verdicts(claims_of(tmp_path))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_a_style(verdict):
    row = {
        "claim": "a",
        "paper": "",
        "here": "",
        "control": "",
        "verdict": verdict,
        "notebook": "01",
    }
    (kind,) = re.findall(r'class="verdict ([\w-]+)"', claims_table(pd.DataFrame([row]), {}))
    style = (PROJECT / "docs" / "_static" / "site.css").read_text(encoding="utf-8")
    assert f".verdict.{kind} " in style


def test_candidates_are_written_for_a_chemist(tmp_path):
    assert "jobs run stable-compounds" in candidates_table(tmp_path)
    row = {"formula": "Fe2Ti3O9", "stable_probability": 0.98765, "hull_distance": -0.0121}
    row |= {"hull_distance_low": -0.09, "hull_distance_high": 0.0701, "known_in_system": 12}
    row |= {"competing_phases": "0.5 Fe2O3 + 0.25 Ti & <x>", "oxidation_states": "2 Fe³⁺"}
    (tmp_path / "tables").mkdir()
    table = pd.DataFrame([row | {"nearest": "FeTiO3"}])
    table.to_csv(tmp_path / "tables" / "stable_candidates.csv", index=False)
    (line,) = re.findall("<tr data.*", candidates_table(tmp_path))
    assert line.startswith('<tr data-elements="Fe Ti O"><td>Fe<sub>2</sub>Ti<sub>3</sub>O<sub>9<')
    for cell in ("0.988", "−0.012", "−0.090 to 0.070", "FeTiO<sub>3</sub>", "2 Fe³⁺", "12"):
        assert f"<td>{cell}</td>" in line
    assert "<td>0.5 Fe<sub>2</sub>O<sub>3</sub> + 0.25 Ti &amp; &lt;x&gt;</td>" in line


def test_representations_are_told_from_the_run(tmp_path):
    assert "jobs run small-data-trees" in representations_tables(tmp_path)
    (tmp_path / "tables").mkdir()
    ranks = pd.DataFrame({"route": ["trees", "Roost"], "tasks": [7, 7], "ratio": [0.987, 1.5]})
    ranks.assign(best=[2, None], rank=[2.25, 1]).to_csv(
        tmp_path / "tables" / "small_data_ranks.csv"
    )
    pairs = pd.DataFrame({"a": ["T", "E", "F"], "b": ["trees"] * 3, "tasks": [7, 1, 0]})
    pairs["error of a over b"] = [1.0126, 0.9, None]
    pairs.assign(low=[0.99, None, None], high=[1.03, None, None]).to_csv(
        tmp_path / "tables" / "small_data_pairs.csv"
    )
    text = representations_tables(tmp_path)
    assert "| trees | 7 | 0.99 | 2.2 |" in text
    assert "| T | trees | 7 | 1.013 (0.990 to 1.030) |" in text
    assert "| E | trees | 1 | 0.900 |" in text and "| F |" not in text


def test_each_source_has_its_card():
    cards = data_cards()
    for source in SOURCES.values():
        for text in (source.file, source.sha256, source.licence, source.citation):
            assert text in cards


def test_the_face_is_what_the_package_gives():
    import matgan

    rows = re.findall(r"^\| \{py:obj\}`(\w+) <([\w.]+)\.\1>` \| (.+) \|$", face_table(), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(matgan.__all__)
    for name, home, _ in rows:
        assert getattr(import_module(home), name) is getattr(matgan, name)


def test_each_module_has_its_line():
    rooms = rooms_of_package()
    assert "matgan.study.pages" in rooms["study"] and rooms["files"] == ["matgan.files"]
    lines = modules_table(rooms).splitlines()[2:]
    assert len(lines) == sum(map(len, rooms.values()))
    assert all(re.fullmatch(r"\| \{py:mod\}`[\w.]+` \| \S.* \|", line) for line in lines)

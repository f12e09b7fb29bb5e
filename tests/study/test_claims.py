import re

import pandas as pd
import pytest

from matgan.powder.classifier import INSTRUMENT, pattern
from matgan.study import claims
from matgan.study.run import PROJECT

README = (PROJECT / "README.md").read_text()
FACE_CENTRED = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def test_the_claims_in_the_readme_are_those_of_the_published_run():
    table = claims.claims_table(PROJECT / "figures")
    assert claims.with_claims(README, table) == README
    for file in (PROJECT / "figures").glob("claims_*.csv"):
        for cell in pd.read_csv(file, dtype=str, keep_default_na=False).to_numpy().ravel():
            assert cell in README, f"{file.name}: {cell}"


def test_every_local_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 3
    for link in links:
        assert (PROJECT / link).exists(), link


def test_a_readme_without_marks_or_a_folder_without_claims_is_named(tmp_path):
    with pytest.raises(ValueError, match="lacks the marks"):
        claims.with_claims("no marks", "| a |")
    with pytest.raises(FileNotFoundError, match=r"holds no claims_\*\.csv"):
        claims.claims_table(tmp_path)


def test_the_five_lines_of_the_readme_run(capsys):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    copper = pattern((3.615, 3.615, 3.615, 90, 90, 90), [29] * 4, FACE_CENTRED, INSTRUMENT)
    names = {"two_theta": INSTRUMENT.two_theta, "intensity": copper}
    exec(snippet, names)
    assert names["C"].shape == (2, 128)
    assert len(names["new"]) == 1000
    assert capsys.readouterr().out.startswith("crystal_system: cubic")

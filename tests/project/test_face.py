"""The face: the public names, where they come from, and what `import matgan` costs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import matgan

ROOT = Path(__file__).parent.parent.parent
HEAVY = {
    "matplotlib",
    "numpy",
    "openTSNE",
    "pandas",
    "pymatgen",
    "scipy",
    "sklearn",
    "smact",
    "torch",
}
NAMES = [  # of the design; later rooms add theirs
    "ELEMENTS", "CompositionError", "amounts", "amounts_matrix", "count_matrix", "formula",
    "charge_neutral", "electronegativity_balanced", "explain",
    "load_oqmd", "load_mp_gap", "load_mp_compositions", "load_supercon", "load_structures",
    "OneHot", "Magpie", "PooledEmbedding", "CompositionEncoder",
    "list_embeddings", "load_embedding",
    "FullyConnectedRegressor", "list_generators", "load_generator", "simulate_pattern", "classify",
    "read_pattern",
]  # fmt: skip


def fresh(code):
    """What a new interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_loads_nothing_heavy():
    loaded = fresh("import json, sys, matgan; print(json.dumps(sorted(sys.modules)))")
    assert not HEAVY & set(loaded)
    assert [name for name in loaded if name.startswith("matgan")] == [
        "matgan", "matgan.chemistry", "matgan.chemistry.elements",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_name_can_be_imported_and_is_documented(name):
    value = getattr(matgan, name)
    assert name in matgan.__all__
    assert name in dir(matgan)
    if name != "ELEMENTS":
        assert value.__name__ == name
        assert value.__doc__
    assert vars(matgan)[name] is value  # the second time it costs nothing


def test_a_name_imports_only_what_it_needs():
    loaded = fresh(
        "import json, sys; from matgan import amounts; print(json.dumps(sorted(sys.modules)))"
    )
    assert not {"torch", "sklearn", "pymatgen", "smact"} & set(loaded)


def test_editors_are_told_the_same_names():
    tree = ast.parse((ROOT / "matgan" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.name: line.module for line in block.body for alias in line.names}
    assert told == matgan._HOME
    assert sorted([*told, "ELEMENTS"]) == sorted(matgan.__all__)
    assert set(NAMES) <= set(matgan.__all__)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'matgan' has no attribute 'Magpi'"):
        _ = matgan.Magpi


def test_the_rooms_do_not_use_the_face():
    """They would hide from which room a name comes; and modules import one way."""
    for path in (ROOT / "matgan").rglob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "matgan":
                assert not {alias.name for alias in node.names} & set(matgan._HOME), path


def test_the_five_lines_of_the_readme_run_as_printed(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.partition("## Five lines")[2].partition("```python\n")[2].partition("```")[0]
    names: dict = {}
    exec(lines, names)
    assert names["C"].shape == (2, 128)
    printed = capsys.readouterr().out
    assert "BaTiO3: Ba²⁺ Ti⁴⁺ 3 O²⁻" in printed
    assert "most likely space group 225" in printed  # MnO

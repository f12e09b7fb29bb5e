import ast
import subprocess
import sys
from fnmatch import fnmatch

import pytest

from matgan.study import fingerprint
from matgan.study.run import PROJECT

CODE = "from matgan.representation import figures\nfrom matgan import ELEMENTS\n"


def test_modules_are_reached_through_others_and_by_the_face():
    found = fingerprint.reached(CODE)
    assert {"representation.figures", "chemistry.elements"} <= found
    assert not {name for name in found if name.startswith(("wgan.", "powder."))}


@pytest.mark.parametrize("name", ["wgan.training", "powder.classifier", "generated.measures"])
def test_whatever_an_import_really_loads_is_reached(name):
    code = f"import sys, matgan; before = set(sys.modules); import matgan.{name}; "
    code += "print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {m.removeprefix("matgan.") for m in done.stdout.split() if m.startswith("matgan.")}
    loaded = {module for module in loaded if fingerprint._path(module).is_file()}
    assert loaded <= fingerprint.reached(f"import matgan.{name}")


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A copy of the package, its code and tables, to be changed."""
    package = tmp_path / "matgan"
    for path in fingerprint.PACKAGE.rglob("*.*"):
        if path.suffix in (".py", ".csv"):
            copy = package / path.relative_to(fingerprint.PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    monkeypatch.setattr(fingerprint, "PRETRAINED", package / "pretrained")
    fingerprint._tables.cache_clear()
    yield package
    fingerprint._tables.cache_clear()


def test_a_changed_module_changes_only_what_reaches_it(package):
    maps, powder = (
        fingerprint.reached(f"from matgan.{room} import figures")
        for room in ("representation", "powder")
    )
    before = [fingerprint.digest(modules) for modules in (maps, powder)]
    with (package / "representation" / "figures.py").open("a") as file:
        file.write("LABEL = 1\n")
    after = [fingerprint.digest(modules) for modules in (maps, powder)]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_weights_count_where_they_are_read():
    """Every module that names the folder of the pretrained files is listed with its files."""
    for path in fingerprint.PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(fingerprint.PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        uses = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if "PRETRAINED" in uses and name not in ("files", "study.fingerprint"):
            assert name in fingerprint.WEIGHTS, name
    for pattern in fingerprint.WEIGHTS.values():
        assert list((PROJECT / "matgan" / "pretrained").glob(pattern + ".safetensors"))
    for path in (PROJECT / "matgan" / "pretrained").glob("*.safetensors"):
        assert any(fnmatch(path.stem, pattern) for pattern in fingerprint.WEIGHTS.values()), path


def test_a_table_of_the_package_counts_where_it_is_read(package):
    """Such as the hashes of the data."""
    modules = ("data.sources", "data.tasks", "chemistry.elements")
    before = [fingerprint.digest([name]) for name in modules]
    with (package / "data" / "sources.csv").open("a") as file:
        file.write("\n")
    same = [old == fingerprint.digest([name]) for old, name in zip(before, modules, strict=True)]
    assert same == [False, True, True]


WRITTEN = '''"""What it is.

# no comment
"""
import re  # of strings

# of the next line


def f(x):  # x: text
    """Nothing."""
    text = """# not
    # one"""
    return re.sub("#", text, x)


class A:
    """Of nothing else."""


async def g(): "of one line"
'''


def test_comments_and_docstrings_decide_nothing():
    left = fingerprint.code_alone(WRITTEN)
    assert left.split("\n") == [
        *("import re", "", "", "", "def f(x):", '    text = """# not', '    # one"""'),
        *('    return re.sub("#", text, x)', "", "", "class A:", "    pass", "", ""),
        *("async def g(): pass", ""),
    ]
    again = WRITTEN.replace("of strings", "of words").replace("Nothing.", "Nothing\n\n    at all.")
    assert fingerprint.code_alone(again) == left
    for old, new in (("sub", "subn"), ('# one"""', '# two"""'), ('"#"', '"# "')):
        assert fingerprint.code_alone(WRITTEN.replace(old, new)) != left


def test_what_is_left_of_every_module_is_the_same_code():
    """By Python's own syntax trees, which know no comments."""

    def tree(source):
        found = ast.parse(source)
        for node in ast.walk(found):
            if (
                isinstance(node, fingerprint._WITH_DOCSTRING)
                and ast.get_docstring(node) is not None
            ):
                only = len(node.body) == 1 and not isinstance(node, ast.Module)
                node.body = [ast.Pass()] if only else node.body[1:]
        return ast.dump(found)

    for path in fingerprint.PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        left = fingerprint.code_alone(source)
        assert tree(left) == tree(source), path
        assert len(left) < len(source) or not source

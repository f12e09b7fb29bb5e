"""Mutation gate: small errors planted one at a time in the code that numbers hang on.

    make mutate                                      # all modules: the table of tests/README.md
    python tests/project/mutate.py losses splits     # some of them

A comparison, an operator, a number, a condition or a reduction is changed; the tests of the module
must fail. Survivors go to standard error; below a score of 90% the exit status is 1. The work is
done in a copy of the checkout, in forks of a process that has loaded the libraries. (mutmut changes
neither numbers at the top of a module nor compiled functions, and wants a whole run of the suite.)
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AT_MOST = 24  # mutants of a module; of more, as many are taken at equal distances
LEAST = 0.9

# name: module, its functions (none: all), what pytest runs
MODULES: dict[str, tuple[str, str, str]] = {
    "losses": ("wgan/losses.py", "", "tests/wgan/test_losses.py"),
    "weight averaging": ("learning/compute.py", "follow", "tests/learning/test_fit.py"),
    "training of the WGAN": (
        "wgan/training.py",
        "update_critic update_generator test_loss rounds set_rates finite",
        "tests/wgan/test_training.py -k not(command)",
    ),
    "decoding": ("wgan/samples.py", "decode drawn accepted sifted", "tests/wgan/test_samples.py"),
    "generators": (
        "wgan/networks.py",
        "",
        "tests/wgan/test_networks.py tests/wgan/test_losses.py",
    ),
    "slots": ("wgan/slots.py", "", "tests/wgan/test_slots.py"),
    "heads": ("powder/networks.py", "", "tests/powder/test_networks.py"),
    "training of heads": (
        "learning/fit.py",
        "classification_loss regression_loss _optimizer _step _order outputs",
        "tests/learning/test_fit.py",
    ),
    "splits": ("data/splits.py", "", "tests/data/test_splits.py"),
    "statistics": ("learning/statistics.py", "", "tests/learning/test_statistics.py"),
    "validity": ("chemistry/validity.py", "", "tests/chemistry/test_validity.py"),
    "hull": ("stability/hull.py", "", "tests/stability/test_hull.py"),
}
# Mutants that compute the same: (module, part of the line after the change): the reason.
EQUIVALENT: dict[tuple[str, str], str] = {
    ("wgan/losses.py", "+ 2e-08).sqrt()"): "any small number keeps the root from 0",
    ("powder/networks.py", "nn.ReLU(inplace=False)"): "memory only",
    ("powder/networks.py", "enable_nested_tensor=True"): "speed only",
    ("data/splits.py", "fractions(compounds) * 11 ** digits"): "a step of some 1e-6 either way",
    ("data/splits.py", "code = np.random.default_rng(1)"): "any random numbers",
    ("data/splits.py", "- part - taken * code[-1]"): "another number for each amount taken",
    ("data/splits.py", "np.zeros(remainders.max() + 2"): "a place more, which nothing uses",
    ("chemistry/validity.py", "_CHUNK = 100001"): "memory only",
    ("chemistry/validity.py", "np.rint(amounts) == amounts"): "speed only: all rows looked at",
    ("chemistry/validity.py", "-negative, 1)"): "a bound that is wider than need be",
    ("chemistry/validity.py", "width = span + 2"): "a place more, which nothing uses",
    ("learning/fit.py", "fused=False"): "speed only",
    ("learning/fit.py", "[fit.seed, 2, step]"): "another stream of random numbers",
    ("learning/fit.py", "[seed, 3, start]"): "another stream of random numbers",
    ("learning/fit.py", "fit.seed * 1000003 - step"): "another seed for each step, too",
    ("learning/fit.py", "fit.seed * 1000004 + step"): "another seed for each step, too",
    ("stability/hull.py", "np.full(len(shares), -2"): "no place is -1 or -2",
    ("stability/hull.py", "np.empty(1, dtype"): "overwritten before it is read",
    ("stability/hull.py", "range(1, 2 << m)"): "speed only: each system is found twice",
    ("stability/hull.py", "at <= len(systems)"): "one place beyond equals a code by accident only",
    ("stability/hull.py", "_FEASIBLE = 2e-12"): "any number far below an energy that counts",
}

COMPARE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq}
COMPARE |= {ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn}
OPERATE = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
OPERATE |= {ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
NAMES = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "argmax": "argmin"}
NAMES |= {"any": "all", "all": "any", "abs": "float", "topk": "sort", "square": "abs"}

NO_BEHAVIOUR = ("annotation", "returns", "decorator_list", "args", "type_params")


def changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """(field, new value) of each small change of one node."""
    match node:
        case ast.Compare(ops=[one]) if type(one) in COMPARE:
            yield "ops", [COMPARE[type(one)]()]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in OPERATE:
            yield "op", OPERATE[type(op)]()
        case ast.BoolOp(op=op):
            yield "op", ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.USub()):
            yield "op", ast.UAdd()
        case ast.Constant(value=bool(value)):
            yield "value", not value
        case ast.Constant(value=int(value) | float(value)):
            yield "value", value + 1 if isinstance(value, int) else value * 2
        case ast.Attribute(attr=name) if name in NAMES:
            yield "attr", NAMES[name]
        case ast.If(test=test):
            yield "test", ast.UnaryOp(ast.Not(), test)


def mutants(path: Path, only: str) -> list[tuple[str, str]]:
    """(line of code after the change, whole source) of each mutant of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tops = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in only.split()]
    before, found = ast.unparse(tree).splitlines(), []
    for node in dict.fromkeys(node for top in tops or [tree] for node in _places(top)):
        for field, value in changes(node):
            kept = getattr(node, field)
            setattr(node, field, value)
            source = ast.unparse(ast.fix_missing_locations(tree))
            setattr(node, field, kept)
            changed = [b for a, b in zip(before, source.splitlines(), strict=False) if a != b]
            found += [(changed[0].strip(), source)] if changed else []
    step = max(1.0, len(found) / AT_MOST)
    return [found[int(i * step)] for i in range(min(AT_MOST, len(found)))]


def _places(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes whose change is one of behaviour: no annotations, messages, docstrings, defaults."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in NO_BEHAVIOUR and not isinstance(node, ast.Call):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr):
                yield from _places(child)


def run(words: list[str], seconds: float) -> int:
    """Exit status of pytest in a fork that has so many seconds of the processor."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1,) * 2)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        import pytest

        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *words]))
    for _ in range(int(500 * seconds) + 3000):  # of 0.02 s at least: what sleeps ends, too
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    return os.waitpid(child, 0)[1]


def processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODULES)}")
    names = parser.parse_args().names or MODULES
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    skipped = shutil.ignore_patterns(".venv", "runs", ".git", "*_cache", "__pycache__", "*.ipynb")
    shutil.copytree(ROOT, folder / "c", ignore=skipped)
    os.chdir(folder / "c")
    sys.path[:0] = [str(folder / "c")]
    sys.dont_write_bytecode = True  # two mutants of one second and size would be one
    loaded = [f"matgan.{path[:-3].replace('/', '.')}" for path, _, _ in MODULES.values()]
    for name in ["pytest", "hypothesis", "matgan.crystals.structures", *loaded]:
        importlib.import_module(name)  # with all that they import, which stays
    for name in [name for name in sys.modules if name.split(".")[0] == "matgan"]:
        del sys.modules[name]
    print("| module | mutants | killed | equivalent | score | processor time |")
    print("|---|---|---|---|---|---|")
    fine = True
    for name in names:
        module, only, tests = MODULES[name]
        path, words = folder / "c/matgan" / module, tests.split(" ", 2)
        sound, started = path.read_text(encoding="utf-8"), processor()
        if run(words, 600):
            sys.exit(f"{name}: the tests fail without a mutant")
        limit = 5 * (processor() - started) + 20
        killed = equal = 0
        for line, source in (planted := mutants(path, only)):
            path.write_text(source, encoding="utf-8")
            if run(words, limit):
                killed += 1
            elif any(place == module and part in line for place, part in EQUIVALENT):
                equal += 1
            else:
                print(f"survives in {module}: {line}", file=sys.stderr, flush=True)
        path.write_text(sound, encoding="utf-8")
        score = killed / (len(planted) - equal)
        fine = fine and score >= LEAST
        numbers = f"{len(planted)} | {killed} | {equal} | {score:.0%}"
        took = f"{processor() - started:.0f} s"
        print(f"| {name} (`{module}`) | {numbers} | {took} |", flush=True)
    shutil.rmtree(folder)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

"""Types of the code in the notebooks, cells that no run of CI reaches included: mypy finds errors.

`.venv/bin/python tests/project/notebook_types.py` prints them by notebook and cell.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
PACKAGE = "notebook_code"  # its options in pyproject.toml: the cache of the other modules serves


def code_of(path: Path) -> tuple[str, list[str]]:
    """The code of a notebook, and for each of its lines which cell and line of it that is."""
    lines, places = ["from IPython.display import display"], [path.name]  # it is a builtin there
    cells = json.loads(path.read_text())["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            for i, line in enumerate("".join(cell["source"]).splitlines(), 1):
                lines.append(re.sub(r"^\s*[%!]", "pass  # ", line))
                places.append(f"{path.name}, cell {number}, line {i}")
    return "\n".join(lines) + "\n", places


def main() -> int:
    """Errors of all notebooks, on standard output; 1 where there are any."""
    with tempfile.TemporaryDirectory() as folder:
        places = {}
        Path(folder, PACKAGE).mkdir()
        Path(folder, PACKAGE, "__init__.py").touch()
        for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
            module = Path(folder, PACKAGE, f"nb_{path.parent.name}_{path.stem}.py")
            code, places[module.name] = code_of(path)
            module.write_text(code)
        config = f"--config-file={ROOT / 'pyproject.toml'}"
        said, trouble, status = api.run([config, *map(str, Path(folder).rglob("*.py"))])
        for line in said.splitlines():
            found = re.match(r"(?:.*/)?(nb_\w+\.py):(\d+): (.*)", line)
            print(f"{places[found[1]][int(found[2]) - 1]}: {found[3]}" if found else line)
        print(trouble, file=sys.stderr, end="")
        return status


if __name__ == "__main__":
    sys.exit(main())

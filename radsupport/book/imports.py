"""Which files of the package decide what a notebook does, read from its imports: what did not change is not run."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path


def code_of(notebook: Path) -> list[str]:
    """Return the modules of the package that a notebook imports, directly or through others, and what lies beside."""
    if not notebook.is_file():
        return modules([])
    return list(_code_of(notebook.absolute(), notebook.stat().st_mtime_ns, Path.cwd()))


@functools.lru_cache(maxsize=64)
def _code_of(notebook: Path, *_: object) -> list[str]:
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return modules([name for cell in cells for name in _imported("".join(cell["source"]))])


def modules(waiting: list[str]) -> list[str]:
    """Return the files of modules, of what they import, and of the data that lies in their folders."""
    found, asked = set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        path = "" if name in asked else _file_of(name)
        asked.add(name)
        if path and path not in found:
            found.add(path)
            waiting += _imports_of(Path(path), Path(path).stat().st_mtime_ns)
    folders = {Path(path).parent for path in found} - {Path("radsupport")}
    inside = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sorted(found | {str(path) for path in inside if path.suffix not in (".py", ".pyc")})


@functools.cache
def _imports_of(path: Path, _: int) -> list[str]:
    return _imported(path.read_text(encoding="utf-8"))


#: ``from radsupport… import …``, on one line or in parentheses; parsing the whole package takes seconds.
_IMPORT = re.compile(r"^[ \t]*from +(radsupport[\w.]*) +import +(?:\(([^)]*)\)|([^\n(]+))", re.M)


def _imported(source: str) -> list[str]:
    """Return the dotted names of the package that Python code imports, with the rooms that they lie in."""
    ours = [(m[1], re.sub(r"#.*", "", m[2] or m[3])) for m in _IMPORT.finditer(source)]
    names = [f"{module}.{name.split()[0]}" for module, given in ours for name in given.split(",") if name.strip()]
    names += [f"radsupport.{dotted}" for dotted in re.findall(r"\bbook\.conclusions\.\w+", source)]  # imported by name
    return [*names, *(module for module, _ in ours), *(module.rpartition(".")[0] for module, _ in ours)]


def _file_of(name: str) -> str:
    """Return the file of a dotted name, or the empty text where it is none."""
    path = "/".join(name.split("."))
    return next((p for p in (f"{path}.py", f"{path}/__init__.py") if name and Path(p).is_file()), "")

"""Does the package keep to its plan? Counts what CONTRIBUTING limits, and names every place that breaks a rule.

    python tools/house.py

Prints the counts beside their limits and one line for each fault; exit status 1 when there is one. `make lint` and
``tests/test_house.py`` run the same checks. A limit is raised in the commit that needs it, which says why.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import vulture

ROOT = Path(__file__).resolve().parents[1]
#: What may not be exceeded; room was made for formulas, competing risks, outlines and tables of any kind, runs that are
#: never mixed, chapters that start warm, own texture features, exact penalised models, networks that learn on boxes and
#: from outlines, a site of shared files, a report that is searched for identifiers,
#: can be explored and taken along, conclusions of each center and comparison, the papers' remaining tables, figures and
#: protocols, folders of examinations and public collections that become a study, models that are locked and validated
#: alone, and for what makes a study believable by itself: checklists and cards from the run, rigour, instability,
#: explanations, sets per patient, competing risks and missing values; a build that tells where it stands, follow-up
#: between dates, and the cost and updates of a locked model; stronger learners, folds on one scale. Lines
#: of code are those without blank lines, comments and docstrings.
LIMITS = {
    "files": 222,
    "lines of code": 37800,
    "public names": 183,
    "lines of the longest file": 600,
    "percent of functions over 30 lines": 2,
    "names of the package in a notebook": 40,
    "rooms in a notebook": 8,
    "branches per three cells of a notebook": 1,
    "calls per call to a known library in a notebook": 7.5,
}
#: Libraries that a reader of a notebook knows already.
KNOWN = ("pandas", "seaborn", "lifelines", "sklearn", "statsmodels")
#: Rooms whose functions take their settings as arguments and know no study.
METHODS = ("stats", "imaging", "plots", "learning", "radiomics", "networks", "nomogram", "evaluate")
#: Names of files that say where something came from and not what it is.
EMPTY_NAMES = re.compile(r"steps_.*|words|shown|guide|pictures|opening|summaries|utils|helpers|misc|common")
#: Decorators whose functions a library calls, or a table by their names.
CALLED_BY_LIBRARIES = ["@model_validator", "@field_validator", "@property", "@overload", "@form*", "@rule", "@_rule"]
#: Reached by libraries, by name or by users only: vulture sees no call. One reason each.
REACHED = {
    "forward": "torch calls it",
    "fit_transform": "scikit-learn calls it",
    "get_feature_names_out": "scikit-learn calls it",
    "predict_proba": "scikit-learn calls it",
    "decision_function": "scikit-learn calls it",
    "handle_starttag": "html.parser calls it",
    "Provisioner": "jupyter_client loads it by its name",
    "terminate": "jupyter_client calls it",
    "wait": "jupyter_client calls it",
    "emit": "logging calls it",
    "_applyBinning": "pyradiomics calls it",
    "_create_initial_point": "lifelines calls it",
    "write": "matplotlib calls it",
    "__init_subclass__": "Python calls it when a class is defined",
    "__getattr__": "Python calls it when a module of conclusions is asked for",
}


def package_files(root: Path = ROOT) -> list[Path]:
    """Return the Python files of the package, sorted."""
    return sorted((root / "radsupport").rglob("*.py"))


def room_of(path: Path, root: Path = ROOT) -> str:
    """Return the room that a file lies in; the file's own name on the ground floor."""
    return path.relative_to(root / "radsupport").parts[0].removesuffix(".py")


def code_lines(source: str) -> int:
    """Count the lines of code: no blank line, comment or docstring."""
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for t in tokens if t.type not in skipped for line in range(t.start[0], t.end[0] + 1)}
    return len(lines - _docstrings(ast.parse(source)))


def _docstrings(tree: ast.Module) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documented = [node for node in ast.walk(tree) if isinstance(node, owners) and ast.get_docstring(node) is not None]
    return {line for node in documented for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}


def public_names(init: Path) -> list[str]:
    """Return the names that a room's ``__init__`` exports by ``__all__``."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def rooms(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the public names of every room."""
    return {init.parent.name: public_names(init) for init in sorted((root / "radsupport").glob("*/__init__.py"))}


def functions(source: str) -> Iterator[ast.FunctionDef]:
    """Yield every function of a module, methods and inner ones too."""
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))


def body_length(function: ast.FunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    first = function.body[0]
    documented = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - documented


def notebook_code(path: Path) -> list[str]:
    """Return the code cells of a notebook."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def notebook_imports(cells: list[str]) -> list[ast.ImportFrom]:
    """Return the imports of the package in a notebook."""
    nodes = [node for node in ast.walk(ast.parse("\n".join(cells))) if isinstance(node, ast.ImportFrom)]
    return [node for node in nodes if (node.module or "").split(".")[0] == "radsupport"]


def notebook_names(cells: list[str]) -> set[str]:
    """Return the names of the package that a notebook knows, such as ``evaluate.judged``."""
    tree = ast.parse("\n".join(cells))
    known = {alias.asname or alias.name: alias.name for node in notebook_imports(cells) for alias in node.names}
    for node in ast.walk(tree):  # say = book.conclusions.validation
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("book.conclusions."):
            known[ast.unparse(node.targets[0])] = ast.unparse(node.value)
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    return {f"{known[node.value.id]}.{node.attr}" for node in uses if node.value.id in known} - {"book.conclusions"}


def branches(cells: list[str]) -> int:
    """Count the branches of a notebook: if statements, conditional expressions, and those hidden in a product.

    A text or a list times a condition (``[label] * len(rows)``, ``" more" * bool(found)``) is a branch too.
    """
    nodes = list(ast.walk(ast.parse("\n".join(cells))))
    return sum(isinstance(node, ast.If | ast.IfExp) or _is_hidden_branch(node) for node in nodes)


def _is_hidden_branch(node: ast.AST) -> bool:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
        return False
    texts = [side for side in (node.left, node.right) if isinstance(side, ast.JoinedStr | ast.List)]
    texts += [n for n in (node.left, node.right) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return bool(texts)


def own_methods(root: Path = ROOT) -> set[str]:
    """Return the names of all methods of the package's classes."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in package_files(root)]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {node.name for one in classes for node in one.body if isinstance(node, ast.FunctionDef)}


def known_methods(own: set[str]) -> set[str]:
    """Return the names by which a method is known to be pandas'.

    Left out are those that texts and Python's containers have too (``replace``, ``items``), and those that a class of
    the package has: what cannot be told apart counts for no library.
    """
    series = pd.Series(["a"])
    table = series.to_frame("a")
    pandas = {
        name for one in (series, table, series.groupby(series), table.groupby("a"), series.str) for name in dir(one)
    }
    python = {name for one in ("", [], {}, (), set()) for name in dir(one)}
    return {name for name in pandas - python - own if not name.startswith("_")}


def calls(cells: list[str], own: set[str]) -> tuple[int, int]:
    """Count the calls of a notebook to libraries that a reader knows, and those to the package.

    To a library goes a call of a name imported from it, or of a method that only pandas has (`known_methods`); to the
    package one of a room, of what `book.begin` returned, or of a method that a class of the package has (`own`). Calls
    of Python itself (``len``, ``dict.items``) count for neither.
    """
    nodes = list(ast.walk(ast.parse("\n".join(cells))))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    libraries, rooms = set(), {"radsupport"}
    for node in imports:
        for alias in node.names:
            top = str(getattr(node, "module", None) or alias.name).split(".")[0]
            name = alias.asname or alias.name.split(".")[0]
            (libraries if top in KNOWN else rooms if top == "radsupport" else set()).add(name)
    for node in nodes:  # say, agreement = book.conclusions.deep_features, book.conclusions.radiomics; chapter = begin
        if isinstance(node, ast.Assign) and re.match(r"\(?book\.(conclusions|begin)", ast.unparse(node.value)):
            rooms |= {name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}
    pandas = known_methods(own)
    known = package = 0
    for called in (node.func for node in nodes if isinstance(node, ast.Call)):
        first = next((name.id for name in ast.walk(called) if isinstance(name, ast.Name)), "")
        method = called.attr if isinstance(called, ast.Attribute) else ""
        direct = re.fullmatch(r"[\w.]+", ast.unparse(called)) is not None
        ours = (direct and first in rooms) or method in own
        package += ours
        known += not ours and ((direct and first in libraries) or method in pandas)
    return known, package


def calls_per_known_call(cells: list[str], own: set[str]) -> float:
    """Return how many calls to the package and to known libraries there are for each of the latter."""
    known, package = calls(cells, own)
    return (known + package) / max(known, 1)


def counts(root: Path = ROOT) -> dict[str, float]:
    """Return what `LIMITS` limits; of notebooks the largest value."""
    sources = [path.read_text(encoding="utf-8") for path in package_files(root)]
    lengths = [body_length(function) for source in sources for function in functions(source)]
    books = [notebook_code(path) for path in sorted((root / "notebooks").glob("*.ipynb"))]
    own = own_methods(root)
    return {
        "files": len(sources),
        "lines of code": sum(map(code_lines, sources)),
        "public names": sum(map(len, rooms(root).values())),
        "lines of the longest file": max(source.count("\n") for source in sources),
        "percent of functions over 30 lines": round(100 * sum(n > 30 for n in lengths) / len(lengths), 1),
        "names of the package in a notebook": max(len(notebook_names(cells)) for cells in books),
        "rooms in a notebook": max(len({a.name for n in notebook_imports(c) for a in n.names}) for c in books),
        "branches per three cells of a notebook": round(max(3 * branches(cells) / len(cells) for cells in books), 2),
        "calls per call to a known library in a notebook": round(
            max(calls_per_known_call(cells, own) for cells in books), 2
        ),
    }


def faults(root: Path = ROOT) -> list[str]:
    """Return every place that breaks a rule, one line each."""
    found = [
        f"{name}: {value:g} (limit {LIMITS[name]})" for name, value in counts(root).items() if value > LIMITS[name]
    ]
    for path in package_files(root):
        found += [f"{path.relative_to(root)}: {fault}" for fault in _faults_of(path, root)]
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        deep = [node.module for node in notebook_imports(notebook_code(path)) if node.module != "radsupport"]
        found += [f"notebooks/{path.name}: imports {module}, not a room" for module in deep]
        ratio = calls_per_known_call(notebook_code(path), own_methods(root))
        if ratio > LIMITS["calls per call to a known library in a notebook"]:
            found.append(f"notebooks/{path.name}: one call in {ratio:.1f} goes to a library that a reader knows")
    return [*found, *unreached(root)]


def _faults_of(path: Path, root: Path) -> Iterator[str]:
    if EMPTY_NAMES.fullmatch(path.stem):
        yield "a name that does not say what the file is about"
    if room_of(path, root) not in METHODS:
        return
    source = path.read_text(encoding="utf-8")
    for function in functions(source):
        if any(argument.arg == "study" for argument in (*function.args.args, *function.args.kwonlyargs)):
            yield f"{function.name} takes a study"
        if room_of(path, root) != "plots" and any(map(is_sentence, ast.walk(function))):
            yield f"{function.name} returns a sentence"


def is_sentence(node: ast.AST) -> bool:
    """Say whether a node returns a text of several words with a full stop at its end."""
    if not isinstance(node, ast.Return) or not isinstance(node.value, ast.Constant | ast.JoinedStr):
        return False
    parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
    return text.endswith(".") and text.count(" ") >= 2


def unreached(root: Path = ROOT) -> list[str]:
    """Return functions, classes and imports that neither notebook, command line, build nor package uses."""
    search = vulture.Vulture(ignore_decorators=CALLED_BY_LIBRARIES)
    for path in [*package_files(root), *sorted((root / "benchmarks").glob("*.py"))]:
        search.scan(path.read_text(encoding="utf-8"), filename=path)
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        search.scan("\n".join(notebook_code(path)), filename=path)
    recipes = [path.read_text(encoding="utf-8") for path in (root / "Snakefile", root / "Makefile") if path.is_file()]
    search.scan("\n".join(re.findall(r"\b(?:build|files|kernel|progress)\.(\w+)", "\n".join(recipes))))
    kinds = ("function", "class", "method", "import", "unreachable_code")
    rows = [item for item in search.get_unused_code(min_confidence=60) if item.typ in kinds]
    ours = [item for item in rows if item.filename.suffix == ".py" and "radsupport" in item.filename.parts]
    return [f"{item.filename.relative_to(root)}: {item.message}" for item in ours if item.name not in REACHED]


def main() -> int:
    """Print the counts and the faults."""
    found = faults()
    lines = [f"{name:42} {value:8g} of {LIMITS[name]:g}" for name, value in counts().items()]
    print("\n".join([*lines, *found, f"{len(found)} faults"]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

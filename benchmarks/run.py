"""Run every benchmark of this folder one after the other and write what they print to `benchmarks/results.md`.

    python benchmarks/run.py                     # all; about a quarter of an hour on two free cores
    python benchmarks/run.py radiomics           # some, by the name of their file
    python benchmarks/run.py radiomics -- --quick --only tools
    python benchmarks/run.py scale               # by its name alone, as `strength`: each takes as long as all others

What stands behind `--` is handed to each of them. Every ratio is measured within one run on one machine.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ALONE = ("run", "scale", "strength")
LIBRARIES = ("pyradiomics", "SimpleITK", "numpy", "scipy", "scikit-learn", "scikit-survival", "lifelines", "torch")


def machine() -> str:
    """Return processor, cores, memory, system and versions in a few lines of Markdown."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"load {load} at the start. Python {platform.python_version()}; {versions}."
    )


def main() -> int:
    """Run the benchmarks, all of them although one may fail."""
    arguments = sys.argv[1:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    # the folder holds a file that is called like pyradiomics' package
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(FOLDER.parent), "OMP_NUM_THREADS": "1"}
    names = arguments[:at] or sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ALONE)
    parts, failed = ["# Benchmarks", "", "Written by `make bench`.", "", machine()], []
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", flush=True)
        command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments[at + 1 :]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
        minutes = (time.perf_counter() - start) / 60
        words = f"{minutes:.1f} min" + (f", failed with status {done.returncode}" if done.returncode else "")
        failed += [name] if done.returncode else []
        parts += ["", f"## {name}", "", f"`{Path(*Path(command[1]).parts[-2:])}`: {words}", "", "```text"]
        parts += [done.stdout.strip("\n"), "```"]
        (FOLDER / "results.md").write_text("\n".join(parts) + "\n", encoding="utf-8")
    print(f"Written: {FOLDER / 'results.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

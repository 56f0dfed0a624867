"""How fast, how small and how equal is the extraction? Against plain pyradiomics and its rebuilds, on full-size CT.

    python benchmarks/radiomics.py            # everything, about ten minutes on two free cores
    python benchmarks/radiomics.py --quick    # 20 mm tumour only, up to 200 cases
    python benchmarks/radiomics.py --only cohorts
    python benchmarks/radiomics.py --only peers

Peers (fastrad, flash-radiomics) are measured where they are installed beside this package or in the folder .peers,
where `make bench` puts them; those that are not are named. pictologics is not among them: it needs Python 3.12.

Every measurement runs in a process of its own with one thread, and pyradiomics, the slowest, once per case and
settings. Wall time depends on what else the machine does, CPU time hardly; both are printed. LBP2D is left out on both
sides: pyradiomics needs scikit-image for it.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
import yaml
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
# this file is called like pyradiomics' package, so its folder must not be searched for imports
sys.path = [
    str(ROOT),
    *(path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"),
    str(ROOT / ".peers"),
]
SHAPE, SPACING = (120, 512, 512), (0.7, 0.7, 1.0)
COVERS_ALL = 10_000
#: Rebuilds of pyradiomics by the name of their module; of fastrad, which has no filters, the original image alone.
PEERS = {"flash_radiomics": "flash-radiomics", "fastrad": "fastrad"}
CLASSES = ["firstorder", "shape", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
MODES = {
    "no resampling": ("ours", "whole", "preCrop"),
    "1 mm, whole image filtered": ("ours", "whole"),
    "1 mm, published cut": ("ours", "whole"),
}


def make_scan(folder: Path, diameter_mm: float) -> tuple[Path, Path]:
    """Write a synthetic abdominal CT (HU, int16) with a textured ball as tumour, once in a folder."""
    paths = [folder / f"ct{diameter_mm:g}_{name}.nii.gz" for name in ("image", "mask")]
    if all(path.is_file() for path in paths):
        return paths[0], paths[1]
    rng = np.random.default_rng(1)
    z, y, x = (np.arange(n, dtype=np.float32) for n in SHAPE)
    body = (((x - 256) / 220) ** 2)[None, None] + (((y - 256) / 160) ** 2)[None, :, None] < 1
    bone = ((x - 256) ** 2)[None, None] + ((y - 380) ** 2)[None, :, None] < 20**2
    array = np.broadcast_to(np.where(bone, 800, np.where(body, 50, -1000)), SHAPE).astype(np.float32)
    offsets = [((axis - centre) * step) ** 2 for axis, centre, step in ((x, 200, 0.7), (y, 240, 0.7), (z, 60, 1.0))]
    ball = offsets[0][None, None] + offsets[1][None, :, None] + offsets[2][:, None, None] < (diameter_mm / 2) ** 2
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 2)
    array += ball * (40 + 200 * texture) + rng.normal(0, 12, SHAPE).astype(np.float32)
    for path, voxels in zip(paths, (np.round(array).astype(np.int16), ball.astype(np.uint8)), strict=True):
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(SPACING)
        sitk.WriteImage(image, str(path), useCompression=True)
    return paths[0], paths[1]


def cut_scan(folder: Path) -> tuple[Path, Path]:
    """Write what lies around the small tumour as a case of its own, 96 x 96 x 48 voxels."""
    paths = folder / "cut_image.nii.gz", folder / "cut_mask.nii.gz"
    for path, whole in zip(paths, make_scan(folder, 20.0), strict=True):
        sitk.WriteImage(sitk.RegionOfInterest(sitk.ReadImage(str(whole)), (96, 96, 48), (152, 192, 36)), str(path))
    return paths


def settings_of(mode: str, tool: str) -> dict[str, Any]:
    """Return gu2023's settings for one mode, as our extraction or as plain pyradiomics wants them."""
    raw = yaml.safe_load((ROOT / "studies" / "radiomics" / "gu2023.yaml").read_text())
    del raw["imageType"]["LBP2D"]
    if mode == "no resampling":
        del raw["setting"]["resampledPixelSpacing"]
    elif mode == "1 mm, published cut":
        raw["setting"]["padDistance"] = 5
    elif tool == "whole":
        raw["setting"]["padDistance"] = COVERS_ALL
    if tool == "ours":
        raw["setting"]["roundHU"] = False  # plain pyradiomics' way, so that values can be compared
    if tool == "preCrop":
        raw["setting"] |= {"preCrop": True, "padDistance": 10}
    return raw


def run_child(task: dict[str, Any]) -> dict[str, Any]:
    """Run one measurement in a fresh process; the same one is not run again."""
    return _run_child(json.dumps(task, sort_keys=True))


@functools.cache
def _run_child(task: str) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--child", task]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{task} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Measure one extraction; imports are not counted."""
    from radsupport.parallel import peak_mb, reset_peak

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if task["tool"] == "cohort":
        return cohort(task)
    raw = settings_of(task["mode"], task["tool"])
    raw["imageType"] = {"Original": {}} if task.get("original") else raw["imageType"]
    if task["tool"] in PEERS:
        measure = {"flash_radiomics": by_flash, "fastrad": by_fastrad}[task["tool"]](raw, task)
    elif task["tool"] == "ours":
        from radsupport.radiomics.case import extract_case
        from radsupport.radiomics.settings import load_settings

        settings = load_settings(raw)
        measure = lambda: extract_case(task["image"], task["mask"], settings).values  # noqa: E731
    else:
        import radiomics
        from radiomics.featureextractor import RadiomicsFeatureExtractor

        radiomics.setVerbosity(60)
        extractor = RadiomicsFeatureExtractor(raw)
        measure = lambda: extractor.execute(task["image"], task["mask"])  # noqa: E731
    reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    values = measure()
    result = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": peak_mb()}
    result["values"] = {k: float(np.real(v)) for k, v in values.items() if not k.startswith("diagnostics")}
    return result


def by_flash(raw: dict[str, Any], task: dict[str, Any]) -> Callable[[], dict[str, float]]:
    """Return the extraction by flash-radiomics; it takes pyradiomics' settings and always writes a file."""
    from flash_radiomics import RadiomicsFeatureExtractor

    raw["scalarFeatureClass"] = raw.pop("featureClass")
    raw["setting"] |= {"hdf5OutputDirectory": str(Path(task["image"]).parent), "additionalInfo": False}
    extractor = RadiomicsFeatureExtractor(raw, backend="cpu", num_threads=1)
    return lambda: extractor.execute(task["image"], task["mask"])


def by_fastrad(raw: dict[str, Any], task: dict[str, Any]) -> Callable[[], dict[str, float]]:
    """Return the extraction by fastrad, which has no filters and reads no NIfTI."""
    import torch
    from fastrad import FeatureExtractor, FeatureSettings, Mask, MedicalImage

    torch.set_num_threads(1)
    width = float(raw["setting"]["binWidth"])
    extractor = FeatureExtractor(FeatureSettings(feature_classes=CLASSES, bin_width=width, device="cpu"))

    def measure() -> dict[str, float]:
        image, mask = sitk.ReadImage(task["image"]), sitk.ReadImage(task["mask"])
        spacing = image.GetSpacing()[::-1]
        voxels = [torch.from_numpy(sitk.GetArrayFromImage(one).astype(np.float32)) for one in (image, mask)]
        return extractor.extract(MedicalImage(voxels[0], spacing), Mask(voxels[1], spacing))

    return measure


def plain_name(name: str) -> str:
    """Return a feature's name without image, case and signs, so that names of several tools can be paired."""
    parts = name.removeprefix("original_").replace(":", "_").lower().split("_")
    word = "".join(parts[1:]).replace("10thpercentile", "10percentile").replace("90thpercentile", "90percentile")
    return f"{parts[0]}_{word}"


def compare_peers(folder: Path, diameters: list[float]) -> pd.DataFrame:
    """Return one line per tumour size, set of images and tool; features and differences are of those both have."""
    here = [module for module in PEERS if importlib.util.find_spec(module) is not None]
    for module in [one for one in PEERS if one not in here]:
        print(f"{PEERS[module]} is not measured: not installed here", flush=True)
    rows = []
    for diameter in diameters:
        image, mask = make_scan(folder, diameter)
        for images, tools in (("original", here), ("nineteen", [one for one in here if one == "flash_radiomics"])):
            task = {"mode": "no resampling", "image": str(image), "mask": str(mask), "original": images == "original"}
            found = {tool: run_child({**task, "tool": tool}) for tool in ["ours", "whole", *tools]}
            whole = {plain_name(name): value for name, value in found["whole"]["values"].items()}
            for tool, one in found.items():
                own = {plain_name(name): value for name, value in one["values"].items()}
                shared = [name for name in own if name in whole]
                away = [abs(own[name] - whole[name]) / max(abs(whole[name]), 1e-12) for name in shared]
                names = {"ours": "this package", "whole": "pyradiomics"} | PEERS
                sizes = {"tumour mm": diameter, "images": images, "tool": names[tool], "features shared": len(shared)}
                costs = {"CPU s": one["cpu"], "slower, CPU": one["cpu"] / found["ours"]["cpu"], "peak MB": one["peak"]}
                far = sum(not difference <= 1e-4 for difference in away)
                rows.append({**sizes, **costs, "median diff": float(np.nanmedian(away)), "more than 1e-4 away": far})
    return pd.DataFrame(rows)


def cohort(task: dict[str, Any]) -> dict[str, Any]:
    """Measure a cohort of `n` cases with `n_jobs` workers and no cache."""
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.backend import context

    from radsupport.radiomics.extract import extract

    warnings.filterwarnings("ignore", message="`fork` start method should not be used", category=UserWarning)
    context.set_start_method("fork")  # as in a notebook of the book (`radsupport.book.kernel.copy_workers`)
    os.register_at_fork(after_in_child=gc.freeze)
    row = {"phase": "ct", "image": task["image"], "mask": task["mask"]}
    cases = pd.DataFrame([{"subject": f"s{i:04d}", **row} for i in range(task["n"])])
    raw = settings_of(task["mode"], "ours")
    raw["imageType"] = {"Original": {}} if task["original"] else raw["imageType"]
    wall, own, busy = time.perf_counter(), sum(os.times()[:4]), busy_seconds()
    _, log = extract(cases, raw, n_jobs=task["n_jobs"], progress=False)
    wall, busy = time.perf_counter() - wall, busy_seconds() - busy
    get_reusable_executor().shutdown(wait=True)  # what its workers spent is known once they have ended
    own = sum(os.times()[:4]) - own
    failed = int((log["status"] == "failed").sum())
    peak = float(log["peak_memory_mb"].max())
    return {"wall": wall, "cpu": own, "others": max(busy - own, 0.0) / wall, "peak": peak, "failed": failed}


def busy_seconds() -> float:
    """Return what all cores of this machine have worked so far (Linux), NaN elsewhere."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return float("nan")
    user, nice, system, _, _, irq, softirq = map(int, stat.read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def largest_difference(ours: dict[str, float], theirs: dict[str, float], log: bool) -> float:
    """Return the largest relative difference of a feature, of LoG images or of all others."""
    worst = 0.0
    for name, value in theirs.items():
        if name.startswith("log-sigma") is log and not (math.isnan(value) and math.isnan(ours[name])):
            worst = max(worst, abs(ours[name] - value) / max(abs(value), 1e-12))
    return worst


def compare_tools(folder: Path, diameters: list[float], modes: list[str]) -> pd.DataFrame:
    """Return one line per tumour size, mode and tool."""
    rows = []
    for diameter in diameters:
        image, mask = make_scan(folder, diameter)
        for mode in modes:
            found = {}
            for tool in MODES[mode]:
                task = {"tool": tool, "mode": mode, "image": str(image), "mask": str(mask), "original": False}
                found[tool] = run_child(task)
                print(f"  {diameter:g} mm, {mode}, {tool}: {found[tool]['wall']:.1f} s", file=sys.stderr)
            ours, reference = found["ours"], found["whole"]["values"]
            for tool, one in found.items():
                rows.append(
                    {
                        "tumour mm": diameter,
                        "mode": mode,
                        "tool": {"ours": "this package", "whole": "pyradiomics, whole file"}.get(
                            tool, "pyradiomics preCrop"
                        ),
                        "wall s": one["wall"],
                        "CPU s": one["cpu"],
                        "peak MB": one["peak"],
                        "slower, wall": one["wall"] / ours["wall"],
                        "slower, CPU": one["cpu"] / ours["cpu"],
                        "our share of peak": ours["peak"] / one["peak"],
                        "max diff LoG": largest_difference(one["values"], reference, log=True),
                        "max diff others": largest_difference(one["values"], reference, log=False),
                    }
                )
    return pd.DataFrame(rows)


def compare_cohorts(folder: Path, cases: int, growing: list[int]) -> pd.DataFrame:
    """Return what two workers gain on full-size scans, twice, and what a case costs in growing cohorts of small ones.

    What other processes took of the cores meanwhile is told: two workers can not be twice as fast on a busy machine.
    """
    whole, small = make_scan(folder, 20.0), cut_scan(folder)
    runs = [(whole, cases, jobs, again) for again in (0, 1) for jobs in (1, 2)]
    rows, alone = [], float("nan")
    for (image, mask), n, jobs, again in [*runs, *((small, n, 2, 0) for n in growing)]:
        task = {"tool": "cohort", "mode": "no resampling", "image": str(image), "mask": str(mask), "again": again}
        one = run_child({**task, "n": n, "n_jobs": jobs, "original": image == small[0]})
        print(f"  {n} cases, {jobs} worker(s): {one['wall']:.0f} s", file=sys.stderr)
        alone = one["wall"] if jobs == 1 else alone if image == whole[0] else float("nan")
        kind = "512 x 512 x 120, 19 images" if image == whole[0] else "96 x 96 x 48, original image"
        times = {"wall s": one["wall"], "CPU s a case": one["cpu"] / n, "wall s a case": one["wall"] / n}
        share = {"times as fast": alone / one["wall"], "cores others took": one["others"]}
        worker = {"peak MB of a worker": one["peak"], "failed": one["failed"]}
        rows.append({"scan": kind, "cases": n, "workers": jobs, **times, **share, **worker})
    return pd.DataFrame(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 mm tumour only, up to 200 cases")
    parser.add_argument("--only", choices=["tools", "cohorts", "peers"], help="one of the three tables")
    parser.add_argument("--mode", choices=list(MODES), help="of the comparison with pyradiomics, one kind of settings")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(json.loads(arguments.child))))
        return
    print(
        f"\nCT {SHAPE[2]} x {SHAPE[1]} x {SHAPE[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
    )
    sizes = [20.0] if arguments.quick else [20.0, 60.0]
    with tempfile.TemporaryDirectory() as name:
        if arguments.only in (None, "tools"):
            show(compare_tools(Path(name), sizes, [arguments.mode] if arguments.mode else list(MODES)))
        if arguments.only in (None, "peers"):
            show(compare_peers(Path(name), sizes))
        if arguments.only in (None, "cohorts"):
            show(
                compare_cohorts(
                    Path(name), 10 if arguments.quick else 24, [10, 200] if arguments.quick else [10, 200, 2000]
                )
            )


def show(table: pd.DataFrame) -> None:
    """Print one table."""
    print()
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"), flush=True)


if __name__ == "__main__":
    main()

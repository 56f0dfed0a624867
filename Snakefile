# The DAG of the book: one rule per chapter and study. Snakemake reruns only what changed, by content.
import os
import shlex
from pathlib import Path

from radsupport import files
from radsupport.book import build, kernel, progress, warm

# the workflow does not know yet that it is only planned (-n); its log does
PLANS = any(getattr(one, "dryrun", False) for handler in logger.handlers for one in handler.filters)
BUILDS = workflow.is_main_process and not PLANS
# Snakemake's own lock outlives a build that was killed; this one does not. A build ends with the `make` that began it;
# another may be just ending. What a killed one left half-written is removed.
if BUILDS:
    if os.environ.get("MAKELEVEL"):
        kernel.end_with_parent()
    LOCK = files.hold_alone(Path(".snakemake/book.lock"), wait_s=10)
    for folder in ("results", "data", "book", ".snakemake"):
        files.sweep(Path(folder))
    progress.quieten(logger)

STUDIES, LEFT_OUT = build.choose_studies(config.get("study", "all"))
NOTEBOOKS = [f"results/{s}/notebooks/{c}.ipynb" for s in STUDIES for c in build.chapters_of(s)]
PROFILE = config.get("profile", "demo")
# of a job: a cluster does not say how many it has (--config cores=16)
CORES = int(config["cores"]) if "cores" in config else workflow.cores
SITE = "book/_build/html/index.html"
RUN = f"python -I {shlex.quote(str(Path(warm.__file__)))}".replace("{", "{{").replace("}", "}}")

# It imports while the graph is made, where there is a chapter to run for certain.
if BUILDS:
    progress.begin(STUDIES, PROFILE)
    SERVER = warm.start(now=not all(Path(one).is_file() for one in NOTEBOOKS))

# What is out of date is told by content: these lists change only where a file that they name did.
if workflow.is_main_process:
    build.refresh(STUDIES, PROFILE)
if BUILDS:
    progress.follow(build.chapters_of, STUDIES)


onsuccess:
    if workflow.is_main_process:
        progress.end(well=True)
        print(build.timings())


onerror:
    if workflow.is_main_process:
        progress.end(well=False)
        print("The build did not end well: `radsupport status` lists what failed and what is done.")


wildcard_constraints:
    study="[a-z][a-z0-9_]*",
    chapter=r"\d\d_\w+",


rule site:
    input:
        SITE,


rule book:
    input:
        notebooks=NOTEBOOKS,
        book="results/logs/book_inputs.txt",
    output:
        SITE,
    params:
        studies=STUDIES,
        left_out=LEFT_OUT,
    log:
        "results/logs/book.log",
    shell:
        f"{RUN} site {config.get('study', 'all')}"


rule data:
    input:
        "results/{study}/inputs/source.txt",
    output:
        "data/{study}/.ready",
        expand("results/{{study}}/inputs/{kind}.txt", kind=build.DATA_KINDS),
    params:
        profile=PROFILE,
    log:
        "results/{study}/logs/data.log",
    priority: lambda w: build.priority_of(w.study, "data")
    threads: (CORES + 1) // 2
    resources:
        jobs=CORES,
    shell:
        RUN + " data {wildcards.study} --profile {params.profile} --jobs {resources.jobs} > {log} 2>&1 || (cat {log}; exit 1)"


rule chapter:
    input:
        lambda w: build.graph_inputs(w.study, w.chapter),
    output:
        notebook="results/{study}/notebooks/{chapter}.ipynb",
        numbers="results/{study}/{chapter}.json",
    params:
        profile=PROFILE,
    log:
        "results/{study}/logs/{chapter}.log",
    priority: lambda w: build.priority_of(w.study, w.chapter)
    threads: lambda w: build.threads_of(w.chapter, CORES, PROFILE)
    resources:
        jobs=lambda w: build.jobs_of(w.chapter, CORES, alone=len(STUDIES) == 1 or PROFILE == "paper"),
    shell:
        RUN + " {wildcards.chapter} {wildcards.study} --profile {params.profile} --jobs {resources.jobs}"

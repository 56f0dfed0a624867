# The DAG of the book: one rule per chapter and study. Snakemake reruns only what changed, by content.
from pathlib import Path

from radsupport import files
from radsupport.book import build, warm

# Snakemake's own lock outlives a build that was killed; this one does not.
if workflow.is_main_process and not workflow.dryrun:
    LOCK = files.hold_alone(Path(".snakemake/book.lock"))

STUDIES, LEFT_OUT = build.choose_studies(config.get("study", "all"))
NOTEBOOKS = [f"results/{s}/notebooks/{c}.ipynb" for s in STUDIES for c in build.chapters_of(s)]
PROFILE = config.get("profile", "demo")
CORES = workflow.cores
SITE = "book/_build/html/index.html"
RUN = f"python -I {Path(warm.__file__)}"

# It imports while the graph is made, where there is a chapter to run for certain.
if workflow.is_main_process and not workflow.dryrun:
    SERVER = warm.start(now=not all(Path(one).is_file() for one in NOTEBOOKS))

# What is out of date is told by content: these lists change only where a file that they name did.
if workflow.is_main_process:
    build.refresh(STUDIES, PROFILE)


onsuccess:
    if workflow.is_main_process:
        print(build.timings())


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

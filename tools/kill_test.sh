#!/bin/bash
# Kills a build at random moments, each followed by a rerun: nothing may be lost, doubled, half-written or left running.
#
#     tools/kill_test.sh [KILLS] [SEED] [FOLDER]        (20 kills of a small synthetic study; about a minute each)
#
# Every second kill takes one process of the build by chance (make, Snakemake, the warm server, a chapter, its kernel, a
# worker), the others take all of them at once, as a power cut does. Needs Linux (it reads /proc).
set -euo pipefail
KILLS=${1:-20} SEED=${2:-1}
ROOT=$(cd "$(dirname "$0")/.." && pwd)
WORK=${3:-$(mktemp -d)}
PYTHON=$ROOT/.venv/bin/python
unset MAKELEVEL MAKEFLAGS
RANDOM=$SEED

(cd "$ROOT" && "$PYTHON" tools/small_study.py "$WORK/project" > /dev/null)
ln -s "$ROOT/.venv" "$WORK/project/.venv"
made() { # made FOLDER: a project with the small study
    cp -a "$WORK/project" "$1"
}
book() { # book FOLDER: what a user types; the environment is taken as it is
    cd "$1" && PYTHONPATH=$1 exec setsid make --no-print-directory -o .venv/.installed book STUDY=small
}
alive() { # alive FOLDER: processes at work in a folder, without those that ended
    local found
    for found in /proc/[0-9]*; do
        [ "$(readlink "$found/cwd" 2> /dev/null)" = "$1" ] || continue
        case $(sed 's/.*) //' "$found/stat" 2> /dev/null) in [RSDT]*) echo "${found#/proc/}" ;; esac
    done
}
sums() { # sums FOLDER: every result but logs, what the clock says, and files of the rerun's own bookkeeping
    (cd "$1/results" && find small -type f ! -path '*/logs/*' ! -path '*/cache/*' ! -name '*.ipynb' \
        ! -name features_radiomics_log.csv -print0 | sort -z | xargs -0 sha256sum)
}
settled() { # settled FOLDER: wait until nothing is at work there, ten seconds at most; print what is
    for _ in $(seq 100); do [ -z "$(alive "$1")" ] && return; sleep 0.1; done
    for pid in $(alive "$1"); do echo "$pid: $(tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | cut -c1-90)"; done
}
fail() { echo "FAILED: $*"; exit 1; }

echo "Undisturbed build in $WORK/undisturbed"
made "$WORK/undisturbed"
began=$(date +%s)
(book "$WORK/undisturbed") > "$WORK/undisturbed.log" 2>&1 || { cat "$WORK/undisturbed.log"; fail "the undisturbed build"; }
took=$(($(date +%s) - began))
sums "$WORK/undisturbed" > "$WORK/wanted"
echo "took $took s, $(wc -l < "$WORK/wanted") files"

for ((kill_no = 1; kill_no <= KILLS; kill_no++)); do
    P=$WORK/killed_$kill_no
    rm -rf "$P" && made "$P"
    (book "$P") > "$P.log" 2>&1 &
    build=$!
    moment=$((RANDOM % (took * 10)))
    sleep "$((moment / 10)).$((moment % 10))"
    mapfile -t there < <(alive "$P")
    what="nothing (it had ended)"
    if ((${#there[@]})); then
        if ((kill_no % 2)); then
            victims=("${there[RANDOM % ${#there[@]}]}")
        else
            victims=("${there[@]}")
        fi
        what="all ${#victims[@]} processes"
        ((${#victims[@]} > 1)) || what=$(tr '\0' ' ' < "/proc/${victims[0]}/cmdline" 2> /dev/null | cut -c1-90 || true)
        kill -9 "${victims[@]}" 2> /dev/null || true
    fi
    wait "$build" 2> /dev/null || true
    left=$(settled "$P")
    [ -z "$left" ] || fail "kill $kill_no: these outlive the build after the kill of $what: $left"
    (book "$P") >> "$P.log" 2>&1 || { tail -20 "$P.log"; fail "kill $kill_no: the rerun after the kill of $what"; }
    sums "$P" > "$P.sums"
    diff "$WORK/wanted" "$P.sums" > "$P.diff" || { cat "$P.diff"; fail "kill $kill_no: other results after the kill of $what"; }
    half=$(find "$P" -name '.partial_*' -o -name '*.failed.ipynb' -o -name '*.now.json' -o -name '*.held' | head -3)
    [ -z "$half" ] || fail "kill $kill_no: left behind: $half"
    left=$(settled "$P")
    [ -z "$left" ] || fail "kill $kill_no: these outlive the rerun: $left"
    flock -n "$P/.snakemake/book.lock" true || fail "kill $kill_no: the lock is still held"
    echo "kill $kill_no after $((moment / 10)) s, of $what: rerun equal, nothing left"
    rm -rf "$P"
done
echo "$KILLS kills: results equal to an undisturbed build, no half-written file, no lock, no process left."

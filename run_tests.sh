#!/usr/bin/env bash
# Runs the tests in a virtual environment of its own (.venv), made and kept up to date here. The Pine
# scripts run in another (.venv-pine), made where tests/pine is among what is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
    cat <<'USAGE'
Usage: ./run_tests.sh [FOLDER...] [OPTION...] [PYTEST ARGUMENT...]

Without arguments: every test that is not slow.

Folders:  unit  integration  crash  e2e  pine       tests/FOLDER only

Options:
  --all           slow tests too, harder random search, the branch coverage of core/,
                  PostgreSQL 15, the mutation checks and the benchmarks
  --setup-only    make or update .venv and .venv-pine and stop
  --help          this text

Anything else goes to pytest, for example:
  ./run_tests.sh unit -k pyramid -x
  ./run_tests.sh tests/unit/test_models.py -n 0     one process, as a debugger wants it
USAGE
}

program=run_tests
# shellcheck source=scripts/environment.sh
. scripts/environment.sh

folder_has_tests() {
    [ -n "$(find "tests/$1" -name 'test_*.py' 2>/dev/null | head -n 1)" ]
}

# Whether tests/pine is among what was asked for: everything, that folder, or something inside it.
runs_pine() {
    local argument elsewhere=no
    for argument in ${arguments[@]+"${arguments[@]}"}; do
        case "$argument" in
        tests/pine*) return 0 ;;
        tests/*) elsewhere=yes ;;
        esac
    done
    [ "$elsewhere" = no ]
}

cores() {
    .venv/bin/python -c 'import os; print(os.cpu_count() or 1)'
}

run_pytest() {
    local status=0
    .venv/bin/python -m pytest -n "${at_once:-$(($(cores) * 3 / 2))}" "$@" || status=$?
    if [ "$status" -eq 5 ]; then
        say "no test matches: $*" >&2
    fi
    return "$status"
}

run_benchmarks() {
    say "the running service under load, in short"
    .venv/bin/python -m scripts.bench.webhook --short
    if [ ! -f scripts/bench/run.py ]; then
        say "benchmarks skipped: there is no scripts/bench/run.py"
    elif [ ! -d ../shared/bench ]; then
        say "benchmarks skipped: the peers' ../shared/bench is not beside this folder"
    else
        say "benchmarks"
        .venv/bin/python scripts/bench/run.py
    fi
}

# What is stored, on the oldest PostgreSQL that is supported.
check_postgres15() {
    say "the store on PostgreSQL 15"
    .venv/bin/python scripts/postgres15.py .venv/bin/python -m pytest -n auto -q -m "not slow" \
        tests/integration/test_{migrations,intent_ownership,recovery}.py \
        tests/integration/test_db_state_manager_*.py
}

# Slow tests too, harder random search in the rules, and the coverage of what is not slow; core/ is
# held to its floor. Slow tests mostly wait for processes, so more of them run at once, handed out a
# few at a time. Among them is the long search of the state machine, so its short one is left out.
run_all() {
    local log=.venv/last-run.log
    if [ "$narrowed" = yes ]; then
        say "what was asked for, slow tests too"
        run_pytest --hypothesis-profile thorough ${arguments[@]+"${arguments[@]}"} | tee "$log"
        return
    fi
    say "the rules, with a harder random search"
    run_pytest --hypothesis-profile thorough --cov --cov-report= tests/unit | tee "$log"
    say "the rooms together"
    run_pytest -m "not slow" --cov --cov-append --cov-report= \
        --deselect tests/crash/test_state_machine.py \
        tests/integration tests/crash tests/e2e tests/pine | tee -a "$log"
    say "what is slow"
    at_once=$((2 * $(cores)))
    run_pytest -m slow --maxschedchunk 4 tests/integration tests/crash tests/e2e tests/pine | tee -a "$log"
    say "coverage"
    .venv/bin/python -m coverage report
    .venv/bin/python scripts/coverage_floor.py
    check_postgres15
    say "mutation check"
    .venv/bin/python -m scripts.mutation
    say "mutation check of the Pine scripts"
    .venv/bin/python -m scripts.pine_mutants
    run_benchmarks
    say "everything passed"
    grep -E '^[0-9]+ (passed|failed)' "$log"
}

mode=fast
narrowed=no
some_folder=
previous=
arguments=()
while [ $# -gt 0 ]; do
    # The word after -k or -m is a name to look for, never a folder.
    case "$previous $1" in
    "-k "* | "-m "*) arguments+=("$1") ;;
    *" --help" | *" -h")
        usage
        exit 0
        ;;
    *" --all") mode=all ;;
    *" --setup-only") mode=setup ;;
    *" unit" | *" integration" | *" crash" | *" e2e" | *" pine")
        narrowed=yes
        if folder_has_tests "$1"; then
            arguments+=("tests/$1")
            some_folder=yes
        else
            say "there are no tests in tests/$1 yet"
            some_folder=${some_folder:-no}
        fi
        ;;
    *)
        narrowed=yes
        arguments+=("$1")
        ;;
    esac
    previous=$1
    shift
done
if [ "$some_folder" = no ]; then
    exit 0
fi

set_up requirements-dev.txt requirements.txt
if runs_pine; then
    set_up_pine
fi
case "$mode" in
setup) say "environments .venv and .venv-pine are up to date" ;;
all) run_all ;;
fast)
    say "tests that are not slow"
    run_pytest -m "not slow" ${arguments[@]+"${arguments[@]}"}
    ;;
esac

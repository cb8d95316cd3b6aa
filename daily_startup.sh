#!/usr/bin/env bash
# Begins a trading day: looks at everything, starts, and holds the books against the broker's.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: ./daily_startup.sh [--sync] [OPTION of start_all.sh start...]

  1. looks at everything that a trading day needs: the session at the broker by a real quote and
     its funds, the mode, the contracts of the day, lot sizes, calendar, disk and clock
  2. starts the service (./start_all.sh start)
  3. holds our books against the broker's and shows what differs

  --sync   offers to book what differs, and asks before it changes a book
  --help   this text

It never trades. Exit code 0: it runs and the books agree. 1: something is in the way, or they do
not agree, or nobody knows.
USAGE
}

adopts=
options=()
for argument in "$@"; do
    case "$argument" in
    -h | --help)
        usage
        exit 0
        ;;
    --sync) adopts=yes ;;
    *) options+=("$argument") ;;
    esac
done

case "${PM_HOME:-/}" in
/* | "~"*) ;;
*) export PM_HOME="$PWD/$PM_HOME" ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")"

program=daily_startup
# shellcheck source=scripts/environment.sh
. scripts/environment.sh
set_up requirements.txt
manager=(.venv/bin/python portfolio_manager.py)

"${manager[@]}" doctor || fail "something is in the way: nothing was started"
./start_all.sh start ${options[@]+"${options[@]}"} || fail "the service did not start"

agreement=0
"${manager[@]}" sync || agreement=$?
case $agreement in
0) exit 0 ;;
1) ;;
*) fail "whether the books agree is not known: look again with 'portfolio_manager.py sync'" ;;
esac
if [ -z "$adopts" ]; then
    fail "the books differ: './daily_startup.sh --sync' offers to book what happened"
fi
if [ ! -t 0 ]; then
    fail "the books differ, and nobody is there to be asked: run it at a terminal"
fi
exec "${manager[@]}" sync --adopt

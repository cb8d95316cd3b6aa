#!/usr/bin/env bash
# Brings the whole service up on a machine that has nothing but Python, and ends it.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: ./start_all.sh [start|stop|status|restart|logs] [OPTION...]

  start       make what is missing, start everything, wait until it is ready (the default)
  stop        end everything in order, and wait for that
  status      what runs, where; exit code 1 when nothing does
  restart     stop, then start
  logs        the last lines of every log; -f goes on, -n COUNT tells how many

Options of start and restart:
  --capital RUPEES   first deposit of the very first start (on paper 5000000 unless given)
  --test-mode        one lot an order, whatever was computed; everything is marked as a test
  --silent           nothing is spoken aloud
  --at TIME          practise as if it were then, such as 2026-11-20T10:30 (paper only)
  --help             this text

Without further settings it trades on paper: an exchange of its own, on this machine, without money.
DATABASE_URL, REDIS_URL and OPENALGO_URL each switch one part to a real one, PM_HOME says where all
state is kept (here: var/), PM_HOST and PM_PORT where it listens. See docs/operations.md.
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command=start
case "${1:-}" in
start | stop | status | restart | logs)
    command=$1
    shift
    ;;
-h | --help | help)
    usage
    exit 0
    ;;
-* | "") ;;
*)
    usage >&2
    exit 2
    ;;
esac
for argument in "$@"; do
    if [ "$argument" = --help ] || [ "$argument" = -h ]; then
        usage
        exit 0
    fi
done

case "${PM_HOME:-/}" in
/* | "~"*) ;;
*) export PM_HOME="$PWD/$PM_HOME" ;;
esac
cd "$here"

program=start_all
# shellcheck source=scripts/environment.sh
. scripts/environment.sh
set_up requirements.txt
exec .venv/bin/python portfolio_manager.py live "$command" "$@"

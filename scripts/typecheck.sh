#!/usr/bin/env bash
# Types. With --strict as CI asks for them; without, unfinished annotations are let pass.
# More arguments (files, mypy options) are handed on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ ! -x .venv/bin/python ]; then
    echo "typecheck: there is no .venv yet: run ./run_tests.sh --setup-only" >&2
    exit 1
fi

case "${1:-}" in
--strict)
    shift
    exec .venv/bin/python -m mypy --strict "$@"
    ;;
*)
    exec .venv/bin/python -m mypy --allow-untyped-defs --allow-incomplete-defs \
        --allow-untyped-calls --allow-any-generics --no-warn-return-any "$@"
    ;;
esac

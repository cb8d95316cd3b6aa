# shellcheck shell=bash
# Makes .venv and .venv-pine and keeps them up to date. Sourced, with the project as the working
# directory; $program is who says what is said.

# The environment that the functions below are about.
venv=.venv

say() { printf '%s: %s\n' "$program" "$*"; }

fail() {
    printf '%s: %s\n' "$program" "$*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13 python3.14 python; do
        if new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    if command -v python3 >/dev/null; then
        fail "needs Python 3.11 or newer, found only $(python3 --version 2>&1 | tail -n 1)"
    fi
    fail "needs Python 3.11 or newer, found none: install python3.11 (with its venv module)"
}

# What $venv holds when it was made here (its scripts hold the path) from these files.
wanted_state() {
    printf '%s\n' "$PWD"
    cat "$@" | cksum
}

usable_venv() {
    [ -x "$venv/bin/python" ] && new_enough "$venv/bin/python" || return 1
    local stamp
    for stamp in "$venv"/*.stamp; do
        if [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" != "$PWD" ]; then
            return 1
        fi
    done
}

make_venv() {
    local python
    if [ -e "$venv" ] && [ ! -O "$venv" ]; then
        fail "you may not use $venv, which is $(stat -c %U "$venv")'s: start as that user," \
            "or in a copy of this folder without $venv"
    fi
    python=$(find_python)
    say "making $venv with $("$python" --version)"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv"; then
        rm -rf "$venv"
        fail "could not make $venv: on Debian and Ubuntu, install python3-venv"
    fi
}

# set_up FILE [PART...]: $venv has what FILE asks for, and with it its PARTs. Says nothing, and
# takes no time, where that is so already.
set_up() {
    local name
    if usable_venv && [ "$(cat "$venv/$1.stamp" 2>/dev/null)" = "$(wanted_state "$@")" ]; then
        return
    fi
    usable_venv || make_venv
    say "installing $1 (about half a minute)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$1" ||
        fail "the installation failed; nothing was started"
    wanted_state "$@" >"$venv/$1.stamp"
    for name in "${@:2}"; do
        wanted_state "$name" >"$venv/$name.stamp"
    done
}

# The compiler and the runtime of the Pine scripts, which only tests need: they are kept apart from
# what trades.
set_up_pine() {
    local venv=.venv-pine
    set_up requirements-pine.txt
}

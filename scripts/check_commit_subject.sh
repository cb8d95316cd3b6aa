#!/usr/bin/env bash
# Refuses a commit whose subject is not `kind: what it does`, in at most 72 characters.
set -euo pipefail

kinds='feat|fix|perf|test|docs|refactor|chore'
subject=$(grep -v '^#' "$1" | head -n 1 || true)
case "$subject" in "Merge "* | "Revert "*) exit 0 ;; esac
if ! printf '%s\n' "$subject" | grep -Eq "^($kinds): [^ ].*[^. ]$"; then
    echo "commit subject: begin with one of ${kinds//|/:, }: and end without a full stop" >&2
    exit 1
fi
if [ "${#subject}" -gt 72 ]; then
    echo "commit subject: ${#subject} characters, at most 72" >&2
    exit 1
fi

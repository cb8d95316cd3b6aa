#!/usr/bin/env bash
# Sees to it that nginx is there for the tests that go through it: installs Debian's where root may.
# Without it those tests are skipped and say so.
set -euo pipefail

if [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    printf 'nginx.sh: nginx is not installed, and only root on Debian or Ubuntu can do it here\n' >&2
    exit 0
fi
apt-get update -qq || true
# RUNLEVEL: it is to be there, not to serve.
if ! RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    nginx-light >/dev/null; then
    printf 'nginx.sh: nginx could not be installed; its tests are skipped\n' >&2
fi

#!/bin/sh
# Makes ./configure out of configure.ac; needed once after a checkout.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=all

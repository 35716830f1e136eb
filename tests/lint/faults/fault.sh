#!/bin/sh
# A fault for shellcheck to find: where there is no such folder, another one is emptied.
cd "$1"
rm -f ./*

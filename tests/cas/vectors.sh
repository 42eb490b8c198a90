#!/bin/sh
# Makes tests/cas/vectors.txt anew with npm's ipfs-unixfs-importer, in a folder of the build, and compares.
#
#   vectors.sh BUILD_FOLDER [--write]
#
# Exit codes: 0 the same (or written), 1 another, 77 skipped: no npm here, or it reaches no registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../npm.sh"
npm_packages "$here" "$1/cas-vectors" 20 ipfs-unixfs-importer
node vectors.mjs >vectors.txt
if [ "${2-}" = --write ]; then
    cp vectors.txt "$here/vectors.txt"
elif ! cmp vectors.txt "$here/vectors.txt"; then
    diff vectors.txt "$here/vectors.txt" | head -n 5
    exit 1
fi
echo "$(grep -c bafy vectors.txt) files of several blocks have the CIDs of $(node -p "require('./package-lock.json').packages['node_modules/ipfs-unixfs-importer'].version")"

#!/bin/sh
# Makes tests/cas/vectors.txt anew with npm's ipfs-unixfs-importer, in a folder of the build, and compares.
#
#   vectors.sh BUILD_FOLDER [--write]
#
# Exit codes: 0 the same (or written), 1 another, 77 skipped: no npm here, or it reaches no registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1/cas-vectors
skip() {
    echo "skipped: $1"
    exit 77
}
command -v node >/dev/null 2>&1 || skip "node is not installed"
command -v npm >/dev/null 2>&1 || skip "npm is not installed"
[ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge 20 ] || skip "node is older than 20"
mkdir -p "$work"
cp "$here/package.json" "$here/package-lock.json" "$here/vectors.mjs" "$work"
cd "$work"
if ! cmp -s package-lock.json installed; then
    timeout 100 npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 ||
        skip "npm cannot fetch ipfs-unixfs-importer: $(tail -n 3 npm.log | tr '\n' ' ')"
    cp package-lock.json installed
fi
node vectors.mjs >vectors.txt
if [ "${2-}" = --write ]; then
    cp vectors.txt "$here/vectors.txt"
elif ! cmp vectors.txt "$here/vectors.txt"; then
    diff vectors.txt "$here/vectors.txt" | head -n 5
    exit 1
fi
echo "$(grep -c bafy vectors.txt) files of several blocks have the CIDs of $(node -p "require('./package-lock.json').packages['node_modules/ipfs-unixfs-importer'].version")"

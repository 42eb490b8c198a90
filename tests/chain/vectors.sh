#!/bin/sh
# Makes tests/chain/vectors.h and the table of chain/address_known.c anew with npm's ethers, in a folder of the
# build, and compares.
#
#   vectors.sh BUILD_FOLDER [--write]
#
# Exit codes: 0 the same (or written), 1 another, 77 skipped: no npm here, or it reaches no registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1/chain-vectors
skip() {
    echo "skipped: $1"
    exit 77
}
command -v node >/dev/null 2>&1 || skip "node is not installed"
command -v npm >/dev/null 2>&1 || skip "npm is not installed"
[ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge 18 ] || skip "node is older than 18"
mkdir -p "$work"
cp "$here/package.json" "$here/package-lock.json" "$here/vectors.mjs" "$work"
cd "$work"
if ! cmp -s package-lock.json installed; then
    timeout 100 npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 ||
        skip "npm cannot fetch ethers: $(tail -n 3 npm.log | tr '\n' ' ')"
    cp package-lock.json installed
fi
node vectors.mjs >vectors.h
[ "${2-}" != --write ] || cp vectors.h "$here/vectors.h"
cmp vectors.h "$here/vectors.h" || { diff vectors.h "$here/vectors.h" | head -n 5; exit 1; }
node vectors.mjs known | grep -o '"0x[0-9A-Fa-f]*"' >known
grep -o '"0x[0-9A-Fa-f]*"' "$here/../../chain/address_known.c" | cmp known - ||
    { echo "chain/address_known.c has another table than: node tests/chain/vectors.mjs known"; exit 1; }
echo "the vectors and $(wc -l <known) known accounts are those of ethers"

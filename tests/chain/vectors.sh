#!/bin/sh
# Makes tests/chain/vectors.h and the table of chain/address_known.c anew with npm's ethers, in a folder of the
# build, and compares.
#
#   vectors.sh BUILD_FOLDER [--write]
#
# Exit codes: 0 the same (or written), 1 another, 77 skipped: no npm here, or it reaches no registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../npm.sh"
npm_packages "$here" "$1/chain-vectors" 18 ethers
node vectors.mjs >vectors.h
[ "${2-}" != --write ] || cp vectors.h "$here/vectors.h"
cmp vectors.h "$here/vectors.h" || { diff vectors.h "$here/vectors.h" | head -n 5; exit 1; }
node vectors.mjs known | grep -o '"0x[0-9A-Fa-f]*"' >known
grep -o '"0x[0-9A-Fa-f]*"' "$here/../../chain/address_known.c" | cmp known - ||
    { echo "chain/address_known.c has another table than: node tests/chain/vectors.mjs known"; exit 1; }
echo "the vectors and $(wc -l <known) known accounts are those of ethers"

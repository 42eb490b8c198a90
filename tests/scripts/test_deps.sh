#!/bin/sh
# scripts/deps on a machine that has nothing, with stand-ins for apt-get, id and sudo on the PATH.
set -eu
deps=$1/deps
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
for tool in sh tr awk sed grep cat env; do
    ln -s "$(command -v "$tool")" "$box/$tool"
done
export PATH="$box"

fake() { # fake NAME LINE...: an executable of these lines
    name=$1
    shift
    { echo "#!$box/sh"; printf '%s\n' "$@"; } >"$box/$name"
    "$chmod" +x "$box/$name"
}
fail() {
    echo "deps: $1"
    cat "$box/out"
    exit 1
}
run() { # run ARGS...: output in $box/out, exit code in $code
    : >"$box/log"
    code=0
    sh "$deps" "$@" >"$box/out" 2>&1 || code=$?
}
says() {
    grep -qE -e "$1" "$box/out" || fail "does not say: $1"
}
logged() {
    grep -qF -e "$1" "$box/log" || { cat "$box/log"; fail "did not run: $1"; }
}

chmod=$(PATH=/usr/bin:/bin command -v chmod)
rm=$(PATH=/usr/bin:/bin command -v rm)
trap '"$rm" -rf "$box"' EXIT

# No apt: nothing is run, the three lines are printed.
run build
[ "$code" -eq 69 ] || fail "exit code $code without apt"
says 'sudo apt-get install --no-install-recommends .*build-essential.* libssl-dev .*libpng-dev'
says 'sudo dnf install .*openssl-devel'
says 'brew install .*openssl@3'
run --check test
says 'libcmocka-dev'
run --check chain
[ "$code" -eq 69 ] || fail "exit code $code without the libraries of a chain"
says 'sudo apt-get install .*libcurl4-openssl-dev libsecp256k1-dev'

# apt that fails at first: the lists are fetched once and it is tried again; still missing is still 69.
fake id 'echo 0'
fake apt-get 'echo "$*" >>'"$box/log" 'test "$1" = update'
run build
[ "$code" -eq 69 ] || fail "exit code $code after apt-get failed"
logged 'install -y -q --no-install-recommends'
logged 'update -q'
[ "$(grep -c '^update' "$box/log")" -eq 1 ] || fail "more than one apt-get update"

# With --check, apt-get is left alone.
run --check build
if [ "$code" -ne 69 ] || [ -s "$box/log" ]; then fail "--check installed something"; fi

# Without root and without password-less sudo nothing is run; with it, apt-get runs by sudo -n.
fake id 'echo 1000'
fake sudo 'exit 1'
run build
if [ "$code" -ne 69 ] || [ -s "$box/log" ]; then fail "ran apt-get without root"; fi
fake sudo 'echo "sudo $*" >>'"$box/log" 'exit 0'
run build
logged 'sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install'

run nonsense
[ "$code" -eq 64 ] || fail "exit code $code for wrong usage"
echo "deps: ok"

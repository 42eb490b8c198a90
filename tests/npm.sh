# shellcheck shell=sh
# Sourced by the vectors.sh of cas and chain, which make committed values anew with npm's packages.

skip() {
    echo "skipped: $1"
    exit 77
}

# npm_packages HERE WORK NODE NAME: with the folder WORK as the current one, which has the packages of
# HERE/package-lock.json and HERE/vectors.mjs. Skipped without Node of that version or later, or without NAME.
npm_packages() {
    command -v node >/dev/null 2>&1 || skip "node is not installed"
    command -v npm >/dev/null 2>&1 || skip "npm is not installed"
    [ "$(node --version | sed 's/^v\([0-9]*\).*/\1/')" -ge "$3" ] || skip "node is older than $3"
    mkdir -p "$2"
    cp "$1/package.json" "$1/package-lock.json" "$1/vectors.mjs" "$2"
    cd "$2" || exit 1
    if ! cmp -s package-lock.json installed; then
        timeout 100 npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1 ||
            skip "npm cannot fetch $4: $(tail -n 3 npm.log | tr '\n' ' ')"
        cp package-lock.json installed
    fi
}

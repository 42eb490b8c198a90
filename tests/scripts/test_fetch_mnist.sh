#!/bin/sh
# scripts/fetch-mnist against mirrors that do not answer or send something else (a stand-in for curl).
set -eu
fetch=$1/fetch-mnist
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
mkdir "$box/bin"
export PATH="$box/bin:$PATH"
export CONSILIUM_MNIST_MIRRORS="https://one.invalid https://two.invalid"

fail() {
    echo "fetch-mnist: $1"
    cat "$box/out"
    exit 1
}
run() { # run FOLDER
    code=0
    sh "$fetch" "$1" >"$box/out" 2>&1 || code=$?
}
curl_is() { # curl_is COMMAND: what `curl ... -o FILE URL` does; FILE is $out
    cat >"$box/bin/curl" <<CURL
#!/bin/sh
while [ "\$1" != -o ]; do shift; done
out=\$2
$1
CURL
    chmod +x "$box/bin/curl"
}
left_clean() {
    [ -z "$(find "$box/data" -type f)" ] || fail "left a file behind"
}

curl_is 'exit 6'
run "$box/data"
[ "$code" -eq 69 ] || fail "exit code $code without a network"
grep -q 'https://two.invalid does not answer' "$box/out" || fail "does not name the mirror"
grep -q 'Without a network' "$box/out" || fail "does not say what to do"
left_clean

curl_is 'echo other | gzip >"$out"'
run "$box/data"
[ "$code" -eq 69 ] || fail "exit code $code for a wrong file"
grep -q 'another SHA-256' "$box/out" || fail "does not name the reason"
left_clean

# A file of another content that is already there is not taken for the right one.
echo other | gzip >"$box/data/train-images-idx3-ubyte.gz"
run "$box/data"
[ "$code" -eq 69 ] || fail "took a wrong file for the right one"

echo x >"$box/file"
run "$box/file/data"
[ "$code" -eq 73 ] || fail "exit code $code when the folder cannot be made"
echo "fetch-mnist: ok"

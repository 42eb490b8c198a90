#!/bin/sh
# check.sh SOURCE_DIR BUILD_DIR CMAKE CC: what is installed is complete and can be used from outside.
set -eu
source=$1 build=$2 cmake=$3 cc=$4
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

fail() {
    echo "install: $1" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$prefix/usr" >"$prefix/log" || { cat "$prefix/log"; fail "cmake --install"; }
pc=$(find "$prefix/usr" -name consilium.pc)
[ -n "$pc" ] || fail "consilium.pc is not installed"
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir consilium)
include=$prefix/usr/include/consilium

# Nothing private is there, and every header compiles alone.
[ -z "$(find "$include" -name '*_internal.h' -o -name '*.pb-c.h')" ] || fail "a private header is installed"
n=0
: >"$prefix/all.c"
for header in $(cd "$include" && find . -name '*.h' | sed 's|^\./||'); do
    echo "#include \"$header\"" >"$prefix/one.c"
    # shellcheck disable=SC2046
    "$cc" -std=gnu11 -Wall -Werror -fsyntax-only $(pkg-config --cflags consilium) "$prefix/one.c" ||
        fail "$header does not compile alone"
    cat "$prefix/one.c" >>"$prefix/all.c"
    n=$((n + 1))
done
# shellcheck disable=SC2046
"$cc" -std=gnu11 -Wall -Werror -fsyntax-only $(pkg-config --cflags consilium) "$prefix/all.c" ||
    fail "the headers do not compile together"
[ "$n" -ge 20 ] || fail "only $n headers are installed"

# The shared library exports csl_* and nothing else.
shared=$(find "$libdir" -name 'libconsilium.so.*' | head -n 1)
[ -n "$shared" ] || fail "no shared library"
nm -D --defined-only "$shared" | awk '{ print $3 }' >"$prefix/symbols"
grep -q '^csl_err_name$' "$prefix/symbols" || fail "csl_err_name is not exported"
if grep -vE '^csl_[^_]' "$prefix/symbols"; then
    fail "the symbols above must not be exported"
fi

# The example, against the shared and the static library.
example=$source/examples/multiply/multiply.c
# shellcheck disable=SC2046
"$cc" -std=gnu11 -Wall -Wextra -Werror "$example" -o "$prefix/shared" $(pkg-config --cflags --libs consilium) -pthread
LD_LIBRARY_PATH=$libdir "$prefix/shared" 6 7 | grep -x '6 x 7 = 42' || fail "multiply gives a wrong answer"
mkdir "$prefix/static"
mv "$libdir"/libconsilium.a "$prefix/static"
# shellcheck disable=SC2046
"$cc" -std=gnu11 "$example" -o "$prefix/multiply" $(pkg-config --cflags consilium) -L"$prefix/static" \
    $(pkg-config --static --libs consilium | sed "s|-L$libdir||")
"$prefix/multiply" -3 5 | grep -x -- '-3 x 5 = -15' || fail "the static library gives a wrong answer"

# The program is there and runs from its new place.
[ -x "$prefix/usr/bin/consilium" ] || fail "the program is not installed"
"$prefix/usr/bin/consilium" help >/dev/null || fail "the installed program does not run"
echo "install: $n headers, $(wc -l <"$prefix/symbols") symbols, example built and run"

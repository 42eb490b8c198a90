#!/bin/sh
# Enforces the include rules of docs/design.md: every folder sees only what is below it.
#
#   check.sh [SOURCE_DIR]
#
# Prints each offending line as file:line: reason. A header that a folder must never see counts however deep it
# is included; the chain of headers is printed then. Exit code 1 when anything offends.
set -eu
cd "${1:-.}"

files=$(find crypto mpc nn net audit cas chain proto roles cli -name '*.[ch]' | LC_ALL=C sort)
[ -n "$files" ] || { echo "check.sh: no sources here" >&2; exit 66; }

# shellcheck disable=SC2086
awk '
function layer_of(path) {
    if (path ~ /^nn\/onnx\//) {
        return "onnx"
    }
    if (path ~ /^nn\/keras\//) {
        return "keras"
    }
    if (path ~ /^net\/http\//) {
        return "http"
    }
    return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : ""
}

# Which layers a layer may include, between spaces.
BEGIN {
    may["crypto"] = " crypto "
    may["mpc"] = " mpc crypto "
    may["nn"] = " nn mpc crypto "
    may["onnx"] = " onnx nn mpc crypto "
    may["keras"] = " keras nn mpc crypto "
    may["net"] = " net crypto "
    may["http"] = " http crypto "
    may["audit"] = " audit crypto "
    may["cas"] = " cas http crypto "
    may["chain"] = " chain audit http crypto "
    may["proto"] = " proto "
    may["roles"] = " roles chain cas http net audit nn onnx keras mpc crypto "
    may["cli"] = " cli roles chain cas http net audit nn onnx keras mpc crypto "
    n_bad = n_files = n_includes = 0
}

FNR == 1 {
    n_files++
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    header = $0
    sub(/^[^<"]*[<"]/, "", header)
    sub(/[>"].*/, "", header)
    n_includes++
    at[n_includes] = FILENAME ":" FNR
    from[n_includes] = FILENAME
    to[n_includes] = header
    of[FILENAME] = of[FILENAME] " " n_includes
}

function bad(i, why) {
    print at[i] ": " why
    n_bad++
}

# What may be included directly.
function check_direct(i,    mine, theirs) {
    mine = layer_of(from[i])
    theirs = layer_of(to[i])
    if (to[i] ~ /\.\.\//) {
        bad(i, "includes " to[i] ": name headers from the project root")
    } else if (to[i] ~ /\.pb-c\.h$|^protobuf-c\//) {
        if (to[i] ~ /onnx\.pb-c\.h$/ ? mine != "onnx" : to[i] ~ /audit\.pb-c\.h$/ ? mine != "audit" : mine !~ /^(roles|onnx|audit|proto)$/) {
            bad(i, mine " includes " to[i] ": generated protobuf belongs to nn/onnx (models), audit (statements) and roles (control)")
        } else if (mine ~ /^(onnx|audit)$/ && to[i] ~ /(control|model)\.pb-c\.h$/) {
            bad(i, "onnx includes " to[i] ": control messages belong to roles")
        }
    } else if (to[i] ~ /^(hdf5|H5[A-Za-z]*|zip)\.h$/) {
        if (mine != "keras") {
            bad(i, mine " includes " to[i] ": HDF5 and zip archives belong to nn/keras")
        }
    } else if (to[i] ~ /^curl\//) {
        if (mine != "http") {
            bad(i, mine " includes " to[i] ": libcurl belongs to net/http")
        }
    } else if (to[i] ~ /^secp256k1/) {
        if (mine != "chain") {
            bad(i, mine " includes " to[i] ": libsecp256k1 belongs to chain")
        }
    } else if (theirs in may && index(may[mine], " " theirs " ") == 0) {
        if (!(mine == "net" && to[i] ~ /^(mpc\/link|chain\/address)\.h$/)) {
            bad(i, mine " includes " to[i] ": " mine " may see only" may[mine] "headers")
        }
    }
}

# What may not be seen at any depth.
function is_forbidden(mine, header) {
    if (mine ~ /^(mpc|nn|onnx|keras)$/) {
        return header ~ /^(uv\.h|uv\/|openssl\/)/
    }
    if (mine ~ /^(audit|cas|chain)$/) {
        return header ~ /^(uv\.h|uv\/|sys\/socket\.h|netdb\.h|netinet\/)/
    }
    return mine == "crypto" && header ~ /^(uv\.h|uv\/|sys\/socket\.h|netdb\.h|netinet\/)/
}

function check_deep(i, mine, header, chain,    list, n, j) {
    if (is_forbidden(mine, header)) {
        bad(i, mine " must never see <" header "> (" chain ")")
        return
    }
    if (header in visited) {
        return
    }
    visited[header] = 1
    n = split(of[header], list, " ")
    for (j = 1; j <= n; j++) {
        check_deep(i, mine, to[list[j]], chain " -> " to[list[j]])
    }
}

END {
    for (i = 1; i <= n_includes; i++) {
        check_direct(i)
        split("", visited)
        check_deep(i, layer_of(from[i]), to[i], to[i])
    }
    printf "layers: %d includes in %d files, %d against the rules\n", n_includes, n_files, n_bad
    exit n_bad > 0
}' $files

#!/bin/sh
# Does check.sh see what it must see? Every forbidden include, planted alone into a clean tree, is reported
# with its file and line, and a clean tree passes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

clean_tree() {
    rm -rf "${tree:?}"/*
    for folder in crypto mpc nn nn/onnx nn/keras net net/http audit cas chain proto roles cli; do
        mkdir -p "$tree/$folder"
    done
    echo '#include <openssl/evp.h>' >"$tree/crypto/identity.h"
    printf '#include <stdint.h>\n' >"$tree/crypto/err.h"
    printf '#include "crypto/err.h"\n' >"$tree/mpc/link.h"
    printf '#include "mpc/link.h"\n' >"$tree/mpc/session.h"
    printf '#include "mpc/session.h"\n' >"$tree/nn/graph.h"
    printf '#include "nn/graph.h"\n#include "onnx.pb-c.h"\n' >"$tree/nn/onnx/onnx.c"
    printf '#include "nn/graph.h"\n#include <hdf5.h>\n#include <zip.h>\n' >"$tree/nn/keras/read.c"
    printf '#include "mpc/link.h"\n#include <uv.h>\n' >"$tree/net/conn.h"
    printf '#include "crypto/err.h"\n' >"$tree/net/http/http.h"
    printf '#include "net/http/http.h"\n#include <curl/curl.h>\n' >"$tree/net/http/http.c"
    printf '#include "net/http/http.h"\n' >"$tree/cas/store.c"
    printf '#include "crypto/err.h"\n' >"$tree/audit/note.h"
    printf '#include "crypto/err.h"\n' >"$tree/chain/address.h"
    printf '#include "audit/note.h"\n#include "net/http/http.h"\n#include <secp256k1.h>\n' >"$tree/chain/rpc.c"
    printf '#include "chain/address.h"\n' >"$tree/net/roster.c"
    printf '#include "control.pb-c.h"\n#include "net/conn.h"\n#include "nn/graph.h"\n' >"$tree/roles/party.c"
    printf '#include "net/conn.h"\n' >"$tree/cli/main.c"
}

n=0
refuses() { # refuses FILE INCLUDE
    clean_tree
    printf '/* planted */\n\n#include %s\n' "$2" >"$tree/$1"
    if out=$(sh "$here/check.sh" "$tree"); then
        echo "not refused: $1 with #include $2"
        exit 1
    fi
    case "$out" in
    "$1:3: "*) n=$((n + 1)) ;;
    *)
        echo "refused without the line $1:3: $out"
        exit 1
        ;;
    esac
}

clean_tree
sh "$here/check.sh" "$tree"
refuses crypto/x.c '"mpc/link.h"'
refuses crypto/x.c '"net/conn.h"'
refuses crypto/x.h '<uv.h>'
refuses crypto/x.c '<sys/socket.h>'
refuses mpc/x.c '<uv.h>'
refuses mpc/x.c '<openssl/evp.h>'
refuses mpc/x.c '"crypto/identity.h"' # reaches openssl
refuses mpc/x.h '"nn/graph.h"'
refuses mpc/x.c '"net/conn.h"'
refuses nn/x.c '<openssl/ssl.h>'
refuses nn/x.c '"uv.h"'
refuses nn/x.c '"onnx.pb-c.h"'
refuses nn/x.c '<protobuf-c/protobuf-c.h>'
refuses nn/x.c '"nn/onnx/onnx.h"'
refuses nn/x.c '"net/conn.h"'
refuses nn/onnx/x.c '"control.pb-c.h"'
refuses nn/onnx/x.c '<uv.h>'
refuses nn/keras/x.c '"onnx.pb-c.h"'
refuses nn/keras/x.c '<openssl/evp.h>'
refuses nn/keras/x.c '"nn/onnx/onnx.h"'
refuses nn/x.c '<hdf5.h>'
refuses cli/x.c '<zip.h>'
refuses net/x.c '"mpc/session.h"'
refuses net/x.c '"nn/graph.h"'
refuses net/x.c '"roles/party.h"'
refuses net/x.c '"chain/rpc.h"'
refuses net/x.c '"net/http/http.h"'
refuses net/x.c '<curl/curl.h>'
refuses net/http/x.c '"net/conn.h"'
refuses net/http/x.c '"cas/store.h"'
refuses cas/x.c '"chain/address.h"'
refuses cas/x.c '"net/conn.h"'
refuses cas/x.c '<sys/socket.h>'
refuses chain/x.c '"cas/store.h"'
refuses chain/x.c '"net/conn.h"'
refuses chain/x.c '<curl/curl.h>'
refuses chain/x.c '<uv.h>'
refuses audit/x.c '"chain/address.h"'
refuses audit/x.c '<uv.h>'
refuses roles/x.c '<secp256k1.h>'
refuses net/x.c '"control.pb-c.h"'
refuses roles/x.c '"cli/args.h"'
refuses roles/x.c '"onnx.pb-c.h"'
refuses cli/x.c '"control.pb-c.h"'
refuses cli/x.c '"../net/conn.h"'
echo "layers: $n planted includes, all refused"

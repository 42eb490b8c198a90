// Vectors by an independent implementation (npm's ethers), as C:
//
//   tests/chain/vectors.sh BUILD_FOLDER --write
//
// With the argument "known", the table of chain/address_known.c instead.
import { AbiCoder, encodeRlp, getCreateAddress, HDNodeWallet, id, Interface, keccak256, Mnemonic, Transaction,
         Wallet, toBeHex, hexlify } from "ethers";

const bytes = (n) => Uint8Array.from({ length: n }, (_, i) => (7 * i + 1) & 255);
const quote = (v) => v === null || v === undefined ? "NULL" : `"${v}"`;
const row = (...v) => `    {${v.join(", ")}},`;
const out = [];

function known() {
    const sets = [
        ["anvil and hardhat", "test test test test test test test test test test test junk", 20],
        ["ganache", "myth like bonus scare over problem client lizard pioneer submit female collect", 10],
        ["truffle", "candy maple cake sugar pudding cream honey rich smooth crumble sweet treat", 10],
    ];
    for (const [name, phrase, n] of sets) {
        out.push(`    /* ${name}: "${phrase}" */`);
        const m = Mnemonic.fromPhrase(phrase);
        for (let i = 0; i < n; i++) {
            out.push(`    "${HDNodeWallet.fromMnemonic(m, `m/44'/60'/0'/0/${i}`).address}",`);
        }
    }
    out.push("    /* the keys 1 to 10 */");
    for (let i = 1; i <= 10; i++) {
        out.push(`    "${new Wallet(toBeHex(i, 32)).address}",`);
    }
}

function digests() {
    out.push("/* Of the bytes 7 i + 1 mod 256, i from 0. */");
    out.push("static const struct {", "    size_t n;", "    const char *hash;", "} keccak_vectors[] = {");
    for (const n of [0, 1, 2, 31, 32, 33, 63, 64, 134, 135, 136, 137, 199, 200, 271, 272, 273, 1000, 4096, 10007]) {
        out.push(row(n, quote(keccak256(bytes(n)))));
    }
    out.push("};", "");
}

const to = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
const wallet = (n) => new Wallet(keccak256(toBeHex(n, 32)));

function transactions() {
    const data = (n) => hexlify(bytes(n));
    const all = [
        { type: 2, chainId: 1, nonce: 0, gasLimit: 21000, maxFeePerGas: 1, maxPriorityFeePerGas: 0, to, data: "0x" },
        { type: 2, chainId: 31337, nonce: 7, gasLimit: 123456, maxFeePerGas: 3_000_000_000, maxPriorityFeePerGas: 1_000_000_000, to, data: data(4) },
        { type: 2, chainId: 137, nonce: 127, gasLimit: 128, maxFeePerGas: 256, maxPriorityFeePerGas: 255, to, data: "0x00" },
        { type: 2, chainId: 11155111, nonce: 128, gasLimit: 30_000_000, maxFeePerGas: 18446744073709551615n, maxPriorityFeePerGas: 18446744073709551615n, to, data: data(55) },
        { type: 2, chainId: 31337, nonce: 300, gasLimit: 5_000_000, maxFeePerGas: 2, maxPriorityFeePerGas: 1, to: null, data: data(300) },
        { type: 2, chainId: 10, nonce: 65536, gasLimit: 1, maxFeePerGas: 0, maxPriorityFeePerGas: 0, to, data: data(56), value: 1000000000000000000n },
        { type: 2, chainId: 4503599627370476n, nonce: 4294967296, gasLimit: 0, maxFeePerGas: 7, maxPriorityFeePerGas: 7, to, data: data(256), value: (1n << 128n) - 1n },
        { type: 0, chainId: 1, nonce: 9, gasLimit: 21000, gasPrice: 20_000_000_000, to, data: "0x" },
        { type: 0, chainId: 110, nonce: 0, gasLimit: 70000, gasPrice: 0, to, data: data(68) },
        { type: 0, chainId: 31337, nonce: 2, gasLimit: 4_000_000, gasPrice: 1, to: null, data: data(1024) },
        { type: 0, chainId: 4503599627370476n, nonce: 3, gasLimit: 255, gasPrice: 65535, to, data: "0x7f" },
    ];
    out.push("struct tx_vector {", "    const char *key, *address;", "    bool legacy;", "    uint64_t chain_id, nonce, gas_limit, max_fee, max_priority;",
             "    const char *to; /* NULL: a creation */", "    const char *value, *data, *signing_hash, *raw, *hash;", "};",
             "static const struct tx_vector tx_vectors[] = {");
    all.forEach((t, i) => {
        const w = wallet(i + 1);
        const tx = Transaction.from(t);
        tx.signature = w.signingKey.sign(tx.unsignedHash);
        const u = (v) => `UINT64_C(${v})`;
        out.push(row(quote(w.privateKey), quote(w.address), t.type === 0, u(t.chainId), u(t.nonce), u(t.gasLimit),
                     u(t.maxFeePerGas ?? t.gasPrice), u(t.maxPriorityFeePerGas ?? 0), quote(t.to),
                     quote(toBeHex(t.value ?? 0, 16)), quote(t.data), quote(tx.unsignedHash), quote(tx.serialized),
                     quote(tx.hash)));
    });
    out.push("};", "");
}

// Of every type, as a node gives them (eth_getTransactionByHash): what else executes a call.
function evidence() {
    const key = (n) => toBeHex(n, 32);
    const data = hexlify(bytes(170));
    const lists = [[], [{ address: to, storageKeys: [] }], [{ address: to, storageKeys: [key(1), key(2)] }, { address: wallet(9).address, storageKeys: [key(3)] }]];
    const authorize = (w, a) => ({ ...a, signature: w.authorizeSync(a).signature });
    const fees = { maxFeePerGas: (1n << 70n) + 5n, maxPriorityFeePerGas: 1n << 69n };
    const more = { chainId: 31337, nonce: 4, gasLimit: 150000, to, data };
    const all = [
        { type: 0, ...more, chainId: 0, gasPrice: 7 }, // without EIP-155
        { type: 0, ...more, gasPrice: 1n << 200n },
        { type: 0, ...more, chainId: 0, gasPrice: 1, to: null },
        ...lists.map((accessList) => ({ type: 1, ...more, gasPrice: 8, accessList })),
        ...lists.map((accessList) => ({ type: 2, ...more, ...fees, accessList })),
        { type: 2, ...more, ...fees, value: 1n << 250n, data },
        { type: 3, ...more, ...fees, accessList: lists[1], maxFeePerBlobGas: 3, blobVersionedHashes: ["0x01" + key(5).slice(4), "0x01" + key(6).slice(4)] },
        { type: 4, ...more, ...fees, accessList: lists[2], authorizationList: [authorize(wallet(5), { address: to, nonce: 0n, chainId: 0n }), authorize(wallet(6), { address: to, nonce: 300n, chainId: 31337n })] },
        { type: 4, ...more, ...fees, authorizationList: [authorize(wallet(7), { address: to, nonce: 1n, chainId: 31337n })] },
    ];
    out.push("static const struct evidence_vector {", "    const char *sender;", "    unsigned type;", "    uint64_t chain_id; /* 0: every chain */",
             "    bool creates, pays;", "    size_t n_data;", "    const char *signing_hash, *raw, *hash, *json;", "} evidence_vectors[] = {");
    all.forEach((t, i) => {
        const w = wallet(20 + i);
        const tx = Transaction.from(t);
        tx.signature = w.signingKey.sign(tx.unsignedHash);
        const q = (v) => "0x" + BigInt(v).toString(16);
        const sig = (s) => ({ yParity: q(s.yParity), r: q(s.r), s: q(s.s) });
        const protectedV = t.chainId === 0 ? 27 : 35 + 2 * t.chainId;
        const json = { hash: tx.hash, type: q(t.type), nonce: q(t.nonce), gas: q(t.gasLimit), to: t.to, value: q(t.value ?? 0), input: t.data,
            ...(t.type < 2 ? { gasPrice: q(t.gasPrice) } : { maxFeePerGas: q(t.maxFeePerGas), maxPriorityFeePerGas: q(t.maxPriorityFeePerGas), gasPrice: "0x5" }),
            ...(t.type === 0 ? {} : { chainId: q(t.chainId), accessList: t.accessList ?? [] }),
            ...(t.type === 3 ? { maxFeePerBlobGas: q(t.maxFeePerBlobGas), blobVersionedHashes: t.blobVersionedHashes } : {}),
            ...(t.type === 4 ? { authorizationList: t.authorizationList.map((a) => ({ chainId: q(a.chainId), address: a.address, nonce: q(a.nonce), ...sig(a.signature) })) } : {}),
            ...(t.type === 0 ? { ...sig(tx.signature), yParity: undefined, v: q(protectedV + tx.signature.yParity) } : { ...sig(tx.signature), v: q(tx.signature.yParity) }) };
        out.push(row(quote(w.address), t.type, `UINT64_C(${t.chainId})`, t.to === null, !!t.value, (t.data.length - 2) / 2, quote(tx.unsignedHash),
                     quote(tx.serialized), quote(tx.hash), JSON.stringify(JSON.stringify(json))));
    });
    out.push("};", "");
}

function creations() {
    out.push("static const struct {", "    const char *sender;", "    uint64_t nonce;", "    const char *contract;", "} create_vectors[] = {");
    for (const nonce of [0, 1, 127, 128, 255, 256, 65536, "18446744073709551614"]) {
        const from = wallet(3).address;
        out.push(row(quote(from), `UINT64_C(${nonce})`, quote(getCreateAddress({ from, nonce }))));
    }
    out.push("};", "");
}

function rlp() {
    const nest = (n) => n === 0 ? [] : [nest(n - 1)];
    out.push("/* Nested lists: their depth, and bytes. */");
    out.push("static const struct {", "    size_t depth;", "    const char *bytes;", "} rlp_vectors[] = {");
    const h = (n) => hexlify(bytes(n));
    const items = [[0, "0x"], [0, "0x00"], [0, "0x7f"], [0, "0x80"], [0, h(55)], [0, h(56)], [0, h(255)], [0, h(256)],
                   [1, []], [1, ["0x", "0x05"]], [1, [h(54)]], [1, [h(55)]], [2, [[], h(300), ["0x01"]]], [3, [[[]], [], "0x1234"]], [16, nest(15)]];
    for (const [depth, item] of items) {
        out.push(row(depth, quote(encodeRlp(item))));
    }
    out.push("};", "");
}

function abi() {
    const coder = AbiCoder.defaultAbiCoder();
    const root = keccak256("0x01");
    out.push("/* f(uint64,bool,address,bytes32), called with 2^64 - 1, true, and the two below. */");
    out.push(`static const char abi_address[] = "${to}";`);
    out.push(`static const char abi_word[] = "${root}";`);
    out.push(`static const char abi_call[] =`, `    "${new Interface(["function f(uint64,bool,address,bytes32)"]).encodeFunctionData("f", [18446744073709551615n, true, to, root])}";`);
    out.push(`static const char abi_topic_of_transfer[] = "${id("Transfer(address,address,uint256)")}";`);
    out.push("/* (string, uint64, bytes): \"a string that is longer than thirty-two bytes\", 5, no bytes. */");
    out.push("static const char abi_dynamic[] =", `    "${coder.encode(["string", "uint64", "bytes"], ["a string that is longer than thirty-two bytes", 5, "0x"])}";`);
    const e = new Interface(["error Error(string)", "error Panic(uint256)", "error Stale(uint64,bytes32)", "error Not(address,bool,uint256)", "error Odd(string)"]);
    const reverts = [["Error", ["not the owner"], "not the owner"], ["Error", [""], ""], ["Panic", [0x11], "panic 0x11: an arithmetic overflow"],
                     ["Panic", [0x99], "panic 0x99: unknown code"], ["Stale", [7, root], `Stale(7, ${root})`],
                     ["Not", [to, false, (1n << 64n)], `Not(${to}, false, ${toBeHex(1n << 64n, 32)})`]];
    out.push("static const struct {", "    const char *data, *text;", "} revert_vectors[] = {");
    for (const [name, args, text] of reverts) {
        out.push(row(quote(e.encodeErrorResult(name, args)), quote(text)));
    }
    out.push("};");
}

if (process.argv[2] === "known") {
    known();
} else {
    out.push("/* Made by tests/chain/vectors.mjs with ethers 6.17.0: do not edit. */", "/* clang-format off */",
             "#ifndef TESTS_CHAIN_VECTORS_H", "#define TESTS_CHAIN_VECTORS_H", "", "#include <stdbool.h>", "#include <stddef.h>", "#include <stdint.h>", "");
    digests();
    transactions();
    evidence();
    creations();
    rlp();
    abi();
    out.push("", "#endif");
}
console.log(out.join("\n"));

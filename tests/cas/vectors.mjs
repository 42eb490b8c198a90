// CIDs of files as npm's ipfs-unixfs-importer makes them: an implementation that is not ours. vectors.sh runs
// it beside the packages of package.json.
//
// Each line of the output is: chunk bytes, links of a node, file bytes, CID. The content of every file is the
// little-endian words mix(1), mix(2), ... (the finaliser of MurmurHash3), cut to its size; test_cas_unixfs
// makes the same.
import { importByteStream } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'

function mix (h) {
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

async function * content (size) {
  const piece = 1 << 20
  for (let at = 0; at < size; at += piece) {
    const words = new DataView(new ArrayBuffer(piece))
    for (let i = 0; i < piece; i += 4) {
      words.setUint32(i, mix(((at + i) / 4 + 1) | 0), true)
    }
    yield new Uint8Array(words.buffer, 0, Math.min(piece, size - at))
  }
}

// What is imported is not kept: only its name counts.
const nowhere = { put: async (cid) => cid, has: async () => false, get: async () => { throw new Error('not kept') } }

async function cidOf (chunk, links, size) {
  const { cid } = await importByteStream(content(size), nowhere, {
    cidVersion: 1,
    rawLeaves: true,
    chunker: fixedSize({ chunkSize: chunk }),
    layout: balanced({ maxChildrenPerNode: links })
  })
  return cid.toString()
}

const K = 1024
const M = K * K
const cases = [
  // The two profiles, at every edge up to 60 MB.
  [256 * K, 174, [0, 1, 256 * K - 1, 256 * K, 256 * K + 1, 512 * K, 512 * K + 1, 173 * 256 * K, 174 * 256 * K - 1,
    174 * 256 * K, 174 * 256 * K + 1, 175 * 256 * K, 175 * 256 * K + 1, 60_000_000]],
  [M, 1024, [0, 1, M - 1, M, M + 1, 2 * M, 2 * M + 1, 174 * 256 * K, 174 * 256 * K + 1, 60_000_000]],
  // Deep trees of small chunks: every size to beyond four levels of three links.
  [2, 3, Array.from({ length: 260 }, (_, i) => i)],
  [64, 174, [63, 64, 65, 174 * 64, 174 * 64 + 1, 174 * 174 * 64, 174 * 174 * 64 + 1]],
  [1000, 2, [1000, 2000, 2001, 4001, 8001, 16001, 32001]],
  [64, 1024, [1024 * 64, 1024 * 64 + 1]]
]
console.log('# chunk bytes, links, file bytes, CID: made by tests/cas/vectors.mjs')
for (const [chunk, links, sizes] of cases) {
  for (const size of sizes) {
    console.log(`${chunk} ${links} ${size} ${await cidOf(chunk, links, size)}`)
  }
}

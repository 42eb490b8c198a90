// Two Helia nodes on loopback behind the part of Kubo's RPC that consilium uses. What is added goes into the
// first; what is read comes out of the second, which has to fetch every block from the first over libp2p.
//
//   node shim.mjs     prints the port of its HTTP server, and ends when its standard input does
import { createServer } from 'node:http'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createHeliaLight } from 'helia'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'

async function startNode () {
  const node = withBitswap(withLibp2pLight(createHeliaLight(), {
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() }
  }))
  await node.start()
  return node
}

const writer = await startNode()
const reader = await startNode()
await reader.libp2p.dial(writer.libp2p.getMultiaddrs())

// The one part of a multipart/form-data body.
function partOf (type, body) {
  const boundary = Buffer.from('--' + /boundary=(\S+)/.exec(type)[1])
  const head = body.indexOf('\r\n\r\n')
  const end = body.lastIndexOf(boundary)
  return body.subarray(head + 4, end - 2)
}

async function add (query, type, body) {
  const options = {
    cidVersion: Number(query.get('cid-version')),
    rawLeaves: query.get('raw-leaves') === 'true',
    chunker: fixedSize({ chunkSize: Number(/^size-(\d+)$/.exec(query.get('chunker'))[1]) }),
    layout: balanced({ maxChildrenPerNode: Number(query.get('max-file-links')) })
  }
  const file = partOf(type, body)
  const cid = await unixfs(writer).addByteStream([file], options)
  return JSON.stringify({ Name: 'package', Hash: cid.toString(), Size: String(file.length) }) + '\n'
}

async function answer (req, res) {
  const pieces = []
  for await (const piece of req) {
    pieces.push(piece)
  }
  const url = new URL(req.url, 'http://localhost')
  if (req.method === 'POST' && url.pathname === '/api/v0/add') {
    res.end(await add(url.searchParams, req.headers['content-type'], Buffer.concat(pieces)))
  } else if (req.method === 'POST' && url.pathname === '/api/v0/cat') {
    for await (const piece of unixfs(reader).cat(CID.parse(url.searchParams.get('arg')))) {
      res.write(piece)
    }
    res.end()
  } else if (req.method === 'GET' && url.pathname.startsWith('/ipfs/') && url.searchParams.get('format') === 'raw') {
    for await (const piece of reader.blockstore.get(CID.parse(url.pathname.slice(6)))) {
      res.write(piece)
    }
    res.end()
  } else {
    res.writeHead(404).end('not here')
  }
}

const server = createServer((req, res) => {
  answer(req, res).catch((err) => {
    console.error(err)
    res.headersSent ? res.destroy() : res.writeHead(500).end(JSON.stringify({ Message: err.message, Code: 0, Type: 'error' }))
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))

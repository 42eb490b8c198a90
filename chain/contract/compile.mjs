// Compiles ConsiliumAnchor.sol to ConsiliumAnchor.json (ABI, code, what made it) and to ../contract_code.c.
//
//   node compile.mjs SOLC_FOLDER           writes both
//   node compile.mjs SOLC_FOLDER --check   exits with 1 when one is not that of the source
//
// SOLC_FOLDER holds node_modules/solc of the version below: `../../scripts/fetch-npm solc FOLDER`.
// Without metadata in the code, the same source and settings give the same bytes everywhere.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const version = '0.8.37'
const here = dirname(fileURLToPath(import.meta.url))
const solc = createRequire(join(resolve(process.argv[2] ?? '.'), 'x.js'))('solc')
if (!solc.version().startsWith(version + '+')) {
  console.error(`compile.mjs: solc ${version} is needed, not ${solc.version()}`)
  process.exit(1)
}

const name = 'ConsiliumAnchor'
const settings = {
  optimizer: { enabled: true, runs: 1000000 },
  viaIR: true,
  evmVersion: 'london', // chains since then run it; nothing newer is needed
  metadata: { bytecodeHash: 'none', appendCBOR: false },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object', 'evm.methodIdentifiers'] } },
}
const input = {
  language: 'Solidity',
  sources: { [name + '.sol']: { content: readFileSync(join(here, name + '.sol'), 'utf8') } },
  settings,
}
const output = JSON.parse(solc.compile(JSON.stringify(input)))
for (const e of output.errors ?? []) {
  console.error(e.formattedMessage)
}
if (output.errors?.length) {
  process.exit(1)
}
const contract = output.contracts[name + '.sol'][name]
const creation = contract.evm.bytecode.object
const runtime = contract.evm.deployedBytecode.object

if (!creation.endsWith(runtime) || creation.length / 2 !== 2498 || runtime.length / 2 !== 2471) {
  console.error(`compile.mjs: ${creation.length / 2} bytes, ${runtime.length / 2} of them code: set CSL_CONTRACT_CREATION_BYTES and ` +
    'CSL_CONTRACT_RUNTIME_BYTES in chain/contract.h, and here')
  process.exit(1)
}
const { outputSelection, ...shown } = settings
const json = JSON.stringify({ contract: name, solc: version, settings: shown, abi: contract.abi, bytecode: '0x' + creation,
  runtime: '0x' + runtime, selectors: contract.evm.methodIdentifiers }, null, 1) + '\n'

const bytes = hex => hex.match(/.{2}/g)
const array = (id, hex) => {
  const lines = []
  const all = bytes(hex).map(b => '0x' + b)
  for (let i = 0; i < all.length; i += 17) {
    lines.push('    ' + all.slice(i, i + 17).join(', ') + ',')
  }
  return `const uint8_t ${id}[CSL_CONTRACT_CREATION_BYTES] = {\n${lines.join('\n')}\n};\n`
}
const c = `/* Written by chain/contract/compile.mjs from ${name}.sol (solc ${version}). */
#include "chain/contract.h"

/* clang-format off */
${array('csl_contract_creation', creation)}/* clang-format on */
`

const files = { [join(here, name + '.json')]: json, [join(here, '..', 'contract_code.c')]: c }
let wrong = 0
for (const [path, text] of Object.entries(files)) {
  if (process.argv[3] !== '--check') {
    writeFileSync(path, text)
  } else if (readFileSync(path, 'utf8') !== text) {
    console.error(`compile.mjs: ${path} is not what ${name}.sol gives; run compile.mjs without --check`)
    wrong = 1
  }
}
if (!wrong) {
  console.log(`${name}: ${runtime.length / 2} bytes of code, ${creation.length / 2} to deploy`)
}
process.exit(wrong)

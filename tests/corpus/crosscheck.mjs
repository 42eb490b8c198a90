// Runs the corpus through onnxruntime-web and compares with the stored outputs: an independent opinion on both
// the files and the numbers. See README.md.
//   node crosscheck.mjs [FOLDER_WITH_NODE_MODULES]
import { readdirSync, readFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = join(dirname(fileURLToPath(import.meta.url)), 'onnx');
const require = createRequire(pathToFileURL(resolve(process.argv[2] ?? '.', 'package.json')));
let ort;
try {
    ort = require('onnxruntime-web');
} catch (error) {
    console.log(`skipped: onnxruntime-web cannot be loaded (npm install onnxruntime-web): ${error.message}`);
    process.exit(77);
}
ort.env.logLevel = 'error';
ort.env.wasm.numThreads = 1;

function readIo(name) {
    const words = readFileSync(join(here, `${name}.io`), 'ascii').trim().split(/\s+/).map(Number);
    const [batch, nIn, nOut] = words;
    const x = words.slice(3, 3 + batch * nIn);
    const y = words.slice(3 + batch * nIn);
    if (y.length !== batch * nOut) {
        throw new Error(`${name}.io has ${y.length} outputs, not ${batch * nOut}`);
    }
    return { batch, nIn, x, y };
}

async function run(name) {
    const io = readIo(name);
    const options = { logSeverityLevel: 3 };
    const data = join(here, `${name}.onnx.data`);
    if (existsSync(data)) {
        options.externalData = [{ path: `${name}.onnx.data`, data: readFileSync(data) }];
    }
    const session = await ort.InferenceSession.create(readFileSync(join(here, `${name}.onnx`)), options);
    const meta = session.inputMetadata[0];
    const dims = meta.shape.map((d, i) => (i === 0 ? io.batch : d));
    const x = meta.type === 'float64' ? Float64Array.from(io.x) : Float32Array.from(io.x);
    const results = await session.run({ [session.inputNames[0]]: new ort.Tensor(meta.type, x, dims) });
    const y = results[session.outputNames[0]].data;
    const top = Math.max(...io.y.map(Math.abs), 1e-3);
    let worst = y.length === io.y.length ? 0 : Infinity;
    io.y.forEach((v, i) => { worst = Math.max(worst, Math.abs(y[i] - v) / top); });
    return worst;
}

let bad = 0;
const names = readdirSync(here).filter((f) => f.endsWith('.io')).map((f) => f.slice(0, -3)).sort();
for (const name of names) {
    try {
        const worst = await run(name);
        bad += worst < 1e-5 ? 0 : 1;
        console.log(`${worst < 1e-5 ? 'same  ' : 'DIFFER'} ${name} ${worst.toExponential(1)}`);
    } catch (error) {
        bad += 1;
        console.log(`FAILED ${name}: ${String(error.message ?? error).slice(0, 200)}`);
    }
}
console.log(`${names.length} files, ${bad} not the same`);
process.exit(bad === 0 && names.length > 0 ? 0 : 1);

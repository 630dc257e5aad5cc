#!/bin/bash
# node.sh - node -e: buffers, zlib, digests, JSON and a worker thread. Nothing is normalised.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=node
real_needs='/usr/bin/node=nodejs'
real_process='(.*/)?node'

real_prepare() {
    perl "$real_dir/generate.pl" words 6000000 >words
    cat >workload.js <<'JS'
const fs = require('fs'), zlib = require('zlib'), crypto = require('crypto');
const { Worker } = require('worker_threads');
const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');
const text = fs.readFileSync(process.argv[1]);
const lines = text.toString().split('\n');
const count = new Map();
for (const line of lines)
    for (const word of line.split(' ').slice(1, -1)) count.set(word, (count.get(word) || 0) + 1);
console.log([...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 20).join(' '));
const packed = zlib.gzipSync(text, { level: 6 });
console.log(packed.length, digest(zlib.gunzipSync(packed)), digest(zlib.brotliCompressSync(text,
    { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } })));
const rows = lines.map((line, i) => ({ i, line, words: line.split(' ') }));
console.log(digest(JSON.stringify(JSON.parse(JSON.stringify(rows.slice(0, 40000))))));
let held = [], sum = 0;
for (let i = 0; i < 60000; i++) {
    const buffer = Buffer.allocUnsafeSlow(16 + (i * 7919) % 9000).fill(i & 255);
    sum = (sum * 31 + buffer[buffer.length - 1] + buffer.length) % 1000003;
    held[(i * 31) % 500] = buffer;
}
console.log(sum, digest(Buffer.concat(held.filter(Boolean))));
let seen = 0;
for (const line of lines) if (/(\w+)zul\w* (mo|an)\b/.test(line)) seen++;
console.log(seen);
const worker = new Worker(`const { parentPort, workerData } = require('worker_threads');
    const hash = require('crypto').createHash('sha512');
    for (let i = 0; i < 200; i++) hash.update(Buffer.alloc(20000, i & 255));
    parentPort.postMessage([hash.digest('hex'), workerData.length]);`,
    { eval: true, workerData: lines.slice(0, 50000) });
worker.on('message', (m) => console.log(m.join(' ')));
worker.on('exit', (code) => console.log('worker', code));
JS
}

real_run() {
    on_heap node -e "$(cat "$real_inputs/workload.js")" "$real_inputs/words"
}

real_main "$@"

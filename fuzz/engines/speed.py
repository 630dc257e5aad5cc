#!/usr/bin/env python3
"""How many inputs of 64 operations a fuzz target takes a second, judged in full, on one core.

  speed.py BINARY CORPUS SEED

BINARY has libFuzzer linked. Two sets of inputs are made from SEED: of bytes that are drawn, and of
operations and settings that are drawn from the inputs in CORPUS. The first is what a fuzzer knows
nothing about yet; what it keeps becomes more like the second. Printed are runs a second of CPU time,
the start of the program not counted, so that who else uses the machine matters little.
"""

import os
import random
import resource
import subprocess
import sys
import tempfile

CONFIG_BYTES, RECORD_BYTES, OPERATIONS = 16, 8, 64  # fuzz/ops.h
INPUTS = 100
ROUNDS = 5  # of so many runs of each input, after the first


def drawn(draw, _):
    return draw.randbytes(CONFIG_BYTES + OPERATIONS * RECORD_BYTES)


def mixed(draw, corpus):
    records = [text[at:at + RECORD_BYTES] for text in corpus
               for at in range(CONFIG_BYTES, len(text) - RECORD_BYTES + 1, RECORD_BYTES)]
    config = draw.choice(corpus)[:CONFIG_BYTES].ljust(CONFIG_BYTES, b"\0")
    return config + b"".join(draw.choice(records) for _ in range(OPERATIONS))


def cpu_seconds(binary, runs, inputs):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([binary, f"-runs={runs}", "-detect_leaks=0", *inputs],
                          capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.stderr.buffer.write(done.stderr[-4000:])
        sys.exit(f"speed.py: {binary} failed on an input made from this seed (status {done.returncode})")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def speed(binary, texts, folder):
    inputs = []
    for number, text in enumerate(texts):
        inputs.append(os.path.join(folder, str(number)))
        with open(inputs[-1], "wb") as file:
            file.write(text)
    seconds = cpu_seconds(binary, 1 + ROUNDS, inputs) - cpu_seconds(binary, 1, inputs)
    return len(inputs) * ROUNDS / max(seconds, 0.001)


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: speed.py BINARY CORPUS SEED")
    binary, folder, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
    corpus = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            corpus.append(file.read())
    for what, make in (("drawn bytes", drawn), ("operations of the corpus", mixed)):
        draw = random.Random(f"{seed} {what}")
        with tempfile.TemporaryDirectory() as work:
            rate = speed(binary, [make(draw, corpus) for _ in range(INPUTS)], work)
        print(f"{what:<26} {rate:8.0f} runs/s of {OPERATIONS} operations, seed {seed}", flush=True)


if __name__ == "__main__":
    main()

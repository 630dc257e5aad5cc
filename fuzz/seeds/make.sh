#!/bin/bash
# fuzz/seeds/make.sh TARGET PROGRAM FOLDER - writes the seeds of a target from their text in
# fuzz/seeds/TARGET into FOLDER: seed_NAME. PROGRAM is the target without an engine.
# What is committed in corpus/ comes from here; //tests/fuzz:seeds_test compares.
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
target=$1 program=$2 folder=$3
mkdir -p "$folder"
for text in "$here/$target"/*.txt; do
    name=$(basename "$text" .txt)
    "$program" --bytes "$text" "$folder/seed_$name"
done

#!/bin/bash
# zip.sh OUT FOLDER - the inputs in FOLDER as the archive that continuous fuzzing unpacks.
set -euo pipefail

out=$(realpath "$1")
cd -P "$2"
rm -f "$out"
python3 -m zipfile -c "$out" ./*

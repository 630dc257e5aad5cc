#!/bin/bash
# tests/fuzz/faults_full_test.sh - faults_test.sh at full length. Ends with "N passed, N failed".
exec bash "$(dirname "${BASH_SOURCE[0]}")/faults_test.sh" full

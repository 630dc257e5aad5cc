#!/bin/bash
# tools/proof/test.sh - the phase `prove` of `kiln test`: the quick proofs, counterexamples replayed,
# and proofs about nothing, or about what no bug breaks, seen. Ends with "N passed, N failed",
# all together.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"

passed=0
failed=0
# part COMMAND... runs it and adds what its last line counts.
part() {
    local status=0 said good bad
    said=$("$@" 2>&1) || status=$?
    printf '%s\n' "$said" | grep -vxE '[0-9]+ passed, [0-9]+ failed' || true
    read -r good _ bad _ <<<"$(printf '%s\n' "$said" | grep -xE '[0-9]+ passed, [0-9]+ failed' | tail -n 1)"
    [[ -n $good && ($status == 0 || $bad != 0) ]] || bad=$((bad + 1)) # also where nothing was counted
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
}
part "$KILN_ROOT/kiln" prove --quick
part bash "$KILN_ROOT/tests/proof/replay_test.sh"
part bash "$KILN_ROOT/tests/proof/reach_test.sh"
echo "$passed passed, $failed failed"
((failed == 0))

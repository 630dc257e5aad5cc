#!/bin/bash
# tools/proof/cover.sh - the phase `cover` of `kiln test`: each line of what is proved is reached by a
# proof, or it is said why not; all harnesses. Ends with "N passed, N failed".
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"

exec "$KILN_ROOT/kiln" prove --cover

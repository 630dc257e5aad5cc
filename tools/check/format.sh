#!/bin/bash
# tools/check/format.sh [FOLDER] - every C file is as .clang-format has it.
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"
source "$KILN_ROOT/tools/lib/sources.sh"
[[ ${1:-} != --* ]] || shift
cd "${1:-$KILN_ROOT}"

passed=0
failed=0
while IFS= read -r -d '' file; do
    if clang-format-19 --style="file:$KILN_ROOT/.clang-format" --dry-run --Werror "$file"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "mend: clang-format-19 -i $file"
    fi
done < <(kiln_sources)
echo "$passed passed, $failed failed"
((failed == 0))

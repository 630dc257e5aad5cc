#!/bin/bash
# kiln help - what kiln can do
source "$(dirname "${BASH_SOURCE[0]}")/../lib/kiln.sh"

if [[ $# -gt 0 && $1 != -* ]]; then
    [[ -f $KILN_ROOT/tools/cmd/$1.sh && $1 != */* && $1 != help ]] || exec "$KILN_ROOT/kiln" "$1"
    exec "$KILN_ROOT/kiln" "$1" --help
fi
case ${1:-} in
'' | -h | --help) ;;
*) kiln_bad_option help "$1" --help ;;
esac

cat <<'END'
Usage: kiln COMMAND ARGS...

Kiln is a fuzzing-hardened heap. Each command installs and builds what it needs by itself.

END
for script in "$KILN_ROOT"/tools/cmd/*.sh; do
    sed -n '2s/^# kiln \([a-z-]*\) - \(.*\)/\1\t\2/p' "$script"
done | while IFS=$'\t' read -r name what; do printf '  %-8s %s\n' "$name" "$what"; done
echo
echo "kiln COMMAND --help tells more."

# tools/lib/cbmc.sh - cbmc, the model checker, for `kiln prove`. Sourced after tools/lib/kiln.sh.

KILN_CBMC=$KILN_OUT/cbmc-trixie/run/cbmc

# kiln_cbmc makes $KILN_CBMC a cbmc that runs. The first call fetches it; of two at once, one does.
kiln_cbmc() {
    local log=$KILN_OUT/cbmc.log
    [[ ! -x $KILN_CBMC ]] || return 0
    mkdir -p "$KILN_OUT"
    exec 8>"$KILN_OUT/cbmc.lock"
    flock 8
    if [[ ! -x $KILN_CBMC ]]; then
        kiln_say "fetching cbmc from Debian 13 into $KILN_OUT (50 MB)"
        kiln_watch "$log" bash "$KILN_ROOT/tools/proof/fetch_cbmc.sh" "${KILN_CBMC%/run/*}" 8>&- || {
            tail -n 15 "$log" >&2
            kiln_die "cbmc cannot be fetched (all that was said is in $log); mend that and try again"
        }
    fi
    exec 8>&-
}

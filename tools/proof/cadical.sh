#!/bin/sh
# tools/proof/cadical.sh FILE.cnf - the solver of the proofs, set for formulas that have no solution:
# most proofs end in half the time.
exec cadical --unsat "$@"

#!/usr/bin/env bash
# What takes too long for each change: random scenarios, on which every engine checks the others, each scenario of the tool
# by all engines, and every mutant of two protocols, those known to be equivalent on all scenarios.
#
#   scripts/nightly.sh [CORPUS]
#
# FUZZ_FOR (as a rule 30m) is how long, FUZZ_SEED (as a rule the day's date) which scenarios. CORPUS (as a rule
# target/fuzz-corpus) is kept from night to night: a failure stays in CORPUS/failures until it is repaired.
# Exit status: 0 nothing found, otherwise that of what failed first; all of it is run.
set -uo pipefail
cd "$(dirname "$0")/.."

corpus=${1:-target/fuzz-corpus}
for=${FUZZ_FOR:-30m}
seed=${FUZZ_SEED:-$(date -u +%Y%m%d)}
status=0

run() {
  echo "\$ $*"
  "$@"
  local code=$?
  if [ "$status" -eq 0 ]; then status=$code; fi
}

cargo build --release --locked -p lockproof-cli || exit 1
run target/release/lockproof fuzz --for "$for" --seed "$seed" --corpus "$corpus"
run target/release/lockproof check --engine all --no-real --quiet --time-max 2m
for protocol in v1_24 one_way_upgrade; do
  run target/release/lockproof mutants --protocol "$protocol" --thorough
done
exit "$status"

#!/usr/bin/env bash
# The explorer and SPIN on every scenario that can be exported: verdicts, states, seconds, the ratio of the seconds.
# Fails if a verdict differs.
#
#   scripts/compare-spin.sh [SCENARIO [PROTOCOL…]]     only scenarios whose names contain SCENARIO, under these protocols
#
# The explorer's states are those of its reductions (partial order, symmetry, local runs). SPIN's are those of its own
# partial-order reduction, with -DMERGE and -DCOLLAPSE. Its seconds are those of `pan`, built by tcc: gcc
# takes half a minute to compile what is searched in less than a second, and gains a fifth. What `spin -a` and tcc take is
# not counted. What takes longer than LOCKPROOF_SPIN_SECONDS, 30 if it is not set, is cut.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in spin gcc tcc; do
  command -v "$program" >/dev/null || { echo "there is no $program: apt-get install spin gcc tcc" >&2; exit 2; }
done
export LOCKPROOF_REQUIRE_SPIN=1 LOCKPROOF_SPIN_ONLY="${1:-}"
shift || true
export LOCKPROOF_SPIN_PROTOCOLS="$*"
exec cargo test --quiet -p lockproof-cli --test spin -- --ignored --nocapture --exact spin_and_the_explorer_side_by_side

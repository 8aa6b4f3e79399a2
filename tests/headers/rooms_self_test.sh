#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A test that cannot fail is none: rooms.sh must accept a good tree and refuse each of these bad ones in its words.
set -eu
rooms="$(cd "$(dirname "$0")" && pwd)/rooms.sh"
tree="$(mktemp -d)"
trap 'rm -rf "$tree"' EXIT

start() {
    rm -rf "$tree/snug"
    mkdir -p "$tree/snug/memory" "$tree/snug/kernels" "$tree/snug/backend/host"
    printf '#define SNUG_TARGET inline x86_v1\n' >"$tree/snug/target.hpp"
    printf '#include <snug/target.hpp>\nnamespace snug::SNUG_TARGET {\n' >"$tree/snug/units.hpp"
    printf '#include <snug/units.hpp>\nnamespace snug {\nnamespace snug::SNUG_TARGET {\n' >"$tree/snug/batch.hpp"
    printf '#include <snug/units.hpp>\n' >"$tree/snug/memory/plan.hpp"
    printf '#include <snug/memory/plan.hpp>\n' >"$tree/snug/plan.hpp"
    printf '#include <snug/units.hpp>\n#include <thrust/reduce.h>\n' >"$tree/snug/backend/host/reduce.hpp"
}

refused() { # refused WORDS HEADER INCLUDE...
    words="$1" header="$tree/snug/$2"
    shift 2
    for include; do printf '#include %s\n' "$include" >>"$header"; done
    if output="$(sh "$rooms" "$tree")"; then
        echo "not refused: $words"
        exit 1
    fi
    case "$output" in
        *"$words"*) ;;
        *) printf 'expected: %s\nfound: %s\n' "$words" "$output"; exit 1 ;;
    esac
    start
}

start
sh "$rooms" "$tree"
refused "is in a room below" units.hpp "<snug/memory/plan.hpp>"
refused "is in a room below" memory/plan.hpp "<snug/kernels/norm.hpp>"
refused "in no room" attic.hpp "<cstdint>"
refused "a .hpp includes snug/kernels/norm.cuh" kernels/norm.hpp "<snug/kernels/norm.cuh>"
refused "a .hpp includes CUDA" kernels/norm.hpp "<cuda_runtime.h>"
refused "in place of" kernels/norm.hpp '"softmax.hpp"'
refused "run in a circle" memory/plan.hpp "<snug/memory/plan.hpp>"
printf 'namespace snug::memory {\n' >>"$tree/snug/memory/plan.hpp"
refused "write namespace snug::SNUG_TARGET" memory/plan.hpp
printf 'namespace snug {\n' >>"$tree/snug/memory/plan.hpp"
refused "write namespace snug::SNUG_TARGET" memory/plan.hpp
printf 'namespace snug::SNUG_TARGET::kernels {\n' >"$tree/snug/kernels/norm.hpp"
refused "does not include snug/target.hpp" kernels/norm.hpp
refused "the plan must need no backend" plan.hpp "<snug/backend/host/reduce.hpp>"
refused "the plan must need no backend" memory/plan.hpp "<omp.h>"

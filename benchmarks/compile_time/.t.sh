#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compile_time.sh [flag...]: how long a compiler takes over snug, beside the bars. Flags are added to every call, for
# instance -idirafter /usr/local/cuda/include/cccl where Thrust is that of a CUDA toolkit. CXX names the compiler.
#
# "seconds" is what passes on the clock, which is what the bar is about; "processor" is what the compiler used of it.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
compiler=${CXX:-g++}
export CCACHE_DISABLE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/llama2_70b.cpp" <<'SOURCE'
#include <snug/plan.hpp>

using namespace snug;

struct training : snug::trainer<snug::models::llama2_70b, snug::batch<1, 4096>,
                                snug::precision::mixed<snug::bf16>, snug::checkpointing::every_block> {};

static_assert(snug::fits<training, snug::budget<1300_GiB>>);
static_assert(!snug::fits<training, snug::devices::h200>);
SOURCE

# measure NAME FILE BAR FLAG...
measure() {
    name=$1 file=$2 bar=$3
    shift 3
    if ! [ -f "$file" ]; then
        echo "compile_time.sh: $file is missing" >&2
        exit 1
    fi
    start=$(date +%s%N)
    # The second line of `times` is what the children of the subshell used: minutes, then seconds, user and system.
    used=$(
        "$compiler" -std=c++20 -O2 -fopenmp -ffp-contract=fast -fno-math-errno -I"$root/include" "$@" -c "$file" -o "$work/out.o" >&2
        times
    )
    end=$(date +%s%N)
    printf '%s\n' "$used" | awk -v name="$name" -v bar="$bar" -v wall="$((end - start))" '
        function seconds(time, parts) { split(time, parts, /[ms]/); return parts[1] * 60 + parts[2] }
        NR == 2 {
            wall /= 1e9
            printf "| %-34s | %7.1f | %9.1f | < %2d: %-6s |\n", name, wall, seconds($1) + seconds($2), bar,
                   wall < bar ? "holds" : "MISSED"
        }'
}

echo "$("$compiler" --version | head -n 1), load average $(cut -d ' ' -f 1 /proc/loadavg)"
echo
echo "| file                               | seconds | processor | bar          |"
measure "examples/train.cpp, -O2" /tmp/b/t2.cpp 10 "$@"
measure "the budget of a Llama-2 70B" "$work/llama2_70b.cpp" 5 "$@"

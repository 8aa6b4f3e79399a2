#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check.sh NM OBJDUMP V2_OBJECT V3_OBJECT V2_ALONE V3_ALONE V2_FIRST V3_FIRST: trainer.cpp compiled for two processors, and the
# programs linked of one of them or of both in either order.
set -eu
nm="$1" objdump="$2" v2="$3" v3="$4" v2_alone="$5" v3_alone="$6" v2_first="$7" v3_first="$8"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
fail() { echo "$*" >&2; exit 1; }

# Names that the linker would keep one of: W and V are weak, u is a variable of which a program has one.
shared_names() { "$nm" --defined-only "$1" | awk '$2 ~ /^[WVu]$/ { print $3 }' | LC_ALL=C sort; }
shared_names "$v2" >"$folder/v2.names"
shared_names "$v3" >"$folder/v3.names"
grep -q 4snug6x86_v2 "$folder/v2.names" || fail "no function of snug's was found for x86-64-v2"
grep -q 4snug6x86_v3 "$folder/v3.names" || fail "no function of snug's was found for x86-64-v3"
# But for OpenMP's team, a variable that has to be one (backend/host/parallel.hpp).
both="$(LC_ALL=C comm -12 "$folder/v2.names" "$folder/v3.names" | grep 4snug | grep -v '^_ZN4snug11openmp_team3ownE$' || true)"
[ -z "$both" ] || fail "of snug's, the same for both processors: $both"

# Instructions that x86-64-v2 does not have: all of AVX's begin with v, and BMI's.
beyond() { # beyond PROGRAM NAMES: those in functions that match NAMES, a regular expression, or are listed in the file NAMES
    "$objdump" -d --no-show-raw-insn "$1" | awk -v names="$2" '
        BEGIN { is_list = names ~ /^\//; if (is_list) while ((getline name <names) > 0) listed[name] = 1 }
        />:$/ { name = substr($2, 2, length($2) - 3); wanted = is_list ? name in listed : name ~ names }
        wanted && $2 ~ /^(v[a-z].*|k(mov|or|and|not|xor|shift|unpck|add|test).*|(andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|movbe|lzcnt)[lq]?)$/ {
            print name ": " $0
        }'
}
for program in "$v2_first" "$v3_first"; do
    found="$(beyond "$program" 6x86_v2)"
    [ -z "$found" ] || fail "in snug's functions for x86-64-v2: $found"
    beyond "$program" 6x86_v3 | grep -q ymm || fail "no instruction of x86-64-v3 was found where there must be some"
done
# What is of the standard library and of nlohmann/json is the first object's (docs/host.md).
found="$(beyond "$v2_first" "$folder/v2.names")"
[ -z "$found" ] || fail "in functions of the object for x86-64-v2 that came first: $found"

for program in "$v2_alone" "$v3_alone"; do "$program" "$folder" || fail "failed: $program"; done >"$folder/alone"
cat "$folder/alone"
grep -q '^v2: loss' "$folder/alone" || fail "nothing was trained"
for program in "$v2_first" "$v3_first"; do
    "$program" "$folder" >"$folder/together" || fail "failed: $program"
    cmp "$folder/alone" "$folder/together" || fail "other numbers in one program: $(cat "$folder/together")"
done
[ "$(sed 's/^v[24]//' "$folder/alone" | sort -u | wc -l)" -eq "$(wc -l <"$folder/alone")" ] ||
    fail "the two have the same numbers: what the linker chose could not be told"

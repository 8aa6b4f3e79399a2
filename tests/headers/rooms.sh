#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rooms.sh INCLUDE_DIR: checks that headers include only from their own room or a room above it, that a .hpp needs
# no CUDA, that no include runs in a circle, that snug/plan.hpp reaches no library of a backend (it knows a backend's
# workspace sizes), and that what a header declares is in the namespace of snug/target.hpp. Prints every violation.
set -eu
cd "$1"
# shellcheck disable=SC2016 # the program is awk's
find snug -name '*.hpp' -o -name '*.cuh' | LC_ALL=C sort | xargs awk '
BEGIN {
    # In order of dependency; a name that ends in a slash is a folder.
    rooms = "version.hpp target.hpp units.hpp utf8.hpp error.hpp meta.hpp random.hpp diagnose/ policy.hpp batch.hpp precision/ quantization/ memory/ kernels/ " \
            "ops/ backend/ layers/ models/ adapters/ checkpointing/ accumulation/ sharding/ " \
            "optimizers/ distributed/ io/ hub/ data/ engine/ training.hpp trainer.hpp search/ plan.hpp snug.hpp snug.cuh"
    room_count = split(rooms, room)
    cuda = "^(cuda|cub/|cublas|cudnn|curand|cusparse|cusolver|cutlass|cute/|nccl|nvrtc|mma\\.h|thrust/system/cuda)"
    # Types without a function that runs, of which messages are made, and what a process has one of.
    clean = "^snug/(policy|batch|models/options|diagnose/bill|backend/host/parallel)\\.hpp$"
    heavy = "^(thrust/|omp\\.h|dnnl|oneapi/|nlohmann/)"
}
function refuse(what) { print what; refused = 1 }
function room_of(header,   i) {
    sub(/^snug\//, "", header)
    for (i = 1; i <= room_count; i++)
        if (header == room[i] || (room[i] ~ /\/$/ && index(header, room[i]) == 1)) return i
    return 0
}
# A header that has moved is still found where it was: io/tokens.hpp is data/tokens.hpp.
function is_address(old, new) {
    return old ~ /^snug\/io\// && sub(/^snug\/io\//, "", old) && sub(/^snug\/(hub|data)\//, "", new) && old == new
}
function visit(header, path,   i, n, list) {
    state[header] = "open"
    n = split(included[header], list)
    for (i = 1; i <= n; i++) {
        if (state[list[i]] == "open") refuse(path ": includes run in a circle, back to " list[i])
        else if (state[list[i]] == "") visit(list[i], path " -> " list[i])
    }
    state[header] = "done"
}
function reach(header, path,   i, n, list) {
    if (header ~ heavy) refuse(path ": the plan must need no backend library")
    if (header in reached) return
    reached[header] = 1
    n = split(included[header], list)
    for (i = 1; i <= n; i++) reach(list[i], path " -> " list[i])
}
function reaches(header, wanted,   i, n, list) {
    if (header == wanted) return 1
    if (header in seen) return 0
    seen[header] = 1
    n = split(included[header], list)
    for (i = 1; i <= n; i++) if (reaches(list[i], wanted)) return 1
    return 0
}
FNR == 1 && !room_of(FILENAME) { refuse(FILENAME ": it is in no room (docs/architecture.md, Rooms)") }
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    header = $0
    sub(/^[^<"]*[<"]/, "", header)
    sub(/[>"].*/, "", header)
    here = FILENAME ":" FNR ": "
    if ($0 ~ /"/ && header !~ /^snug\//) refuse(here "write #include <snug/...> in place of \"" header "\"")
    if (FILENAME ~ /\.hpp$/ && header ~ /\.cuh$/) refuse(here "a .hpp includes " header)
    if (FILENAME ~ /\.hpp$/ && header ~ cuda) refuse(here "a .hpp includes CUDA: " header)
    if (header ~ /^snug\// && room_of(FILENAME) && room_of(header) > room_of(FILENAME) && !is_address(FILENAME, header))
        refuse(here header " is in a room below (docs/architecture.md, Rooms)")
    included[FILENAME] = included[FILENAME] " " header
}
/^namespace snug/ {
    if ($2 ~ /^snug::SNUG_TARGET(::|$)/) in_target[FILENAME] = 1
    else if (FILENAME !~ clean) refuse(FILENAME ":" FNR ": write namespace snug::SNUG_TARGET (docs/architecture.md)")
}
END {
    for (header in in_target) {
        split("", seen)
        if (!reaches(header, "snug/target.hpp")) refuse(header ": it does not include snug/target.hpp, nor does what it includes")
    }
    for (header in included) if (state[header] == "") visit(header, header)
    reach("snug/plan.hpp", "snug/plan.hpp")
    exit refused
}'

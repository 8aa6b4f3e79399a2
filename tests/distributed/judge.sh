# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154 # sourced by dies.sh and dies_saving.sh, which set program, folder, launcher
export SNUG_DEADLINE_SECONDS=2

# start ARGUMENTS...: sets status and ended; what is said goes to FOLDER/said.
start() {
    status=0
    # shellcheck disable=SC2086 # words of a command
    timeout -k 1 "${patience:-60}" $launcher "$program" "$@" "$folder" >"$folder/said" 2>&1 || status=$?
    ended="$(date +%s%N)"
}

# expected_training FOLDER: what the training writes there when nothing happens.
expected_training() {
    mkdir -p "$1"
    # shellcheck disable=SC2086
    timeout -k 1 60 $launcher "$program" undisturbed - "$1" >"$1/said" 2>&1 || { cat "$1/said"; exit 1; }
}

# A process whose parent has not asked for it yet is none.
is_there() {
    case "$(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null || true)" in '' | Z) return 1 ;; esac
}
any_rank_is_there() {
    for pid in "$folder"/pid.*; do
        if is_there "$(cat "$pid")"; then return 0; fi
    done
    return 1
}

# watch_ranks: after the deed, the time at which no rank is left to FOLDER/gone.
watch_ranks() {
    until [ -e "$folder/time" ]; do sleep 0.05; done
    while any_rank_is_there; do sleep 0.02; done
    date +%s%N >"$folder/gone"
}

# judge_end LIMIT: adds to wrong unless mpirun ended by an error in LIMIT milliseconds after the deed and left no process.
judge_end() {
    milliseconds="$(((ended - $(cat "$folder/time")) / 1000000))"
    [ "$milliseconds" -le "$1" ] || wrong="$wrong; it took longer than $1 ms"
    case "$status" in 0 | 124) wrong="$wrong; mpirun ended with $status" ;; esac # 124 is timeout's
    for pid in "$folder"/pid.*; do
        pid="$(cat "$pid")"
        if is_there "$pid"; then
            wrong="$wrong; process $pid is still there"
            kill -9 "$pid"
        fi
    done
}

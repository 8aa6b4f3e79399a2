# SPDX-License-Identifier: Apache-2.0
# What the scripts of this folder share; to be sourced: a folder of their own to work in, and refusals. The script defines
# `run`, which starts its program.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() { echo "${0##*/}: $*" >&2; exit 1; }

# refused WORDS OPTION...: the program ends with one sentence that has the words, on stderr, and a status that is not 0. What
# $absent names, if anything, is not there then.
refused() {
    words=$1
    shift
    if run "$@" >stdout 2>stderr; then fail "not refused: $*"; fi
    [ "$(wc -l <stderr)" -eq 1 ] || fail "more or less than a sentence for '$*': $(cat stderr)"
    grep -q -e "$words" stderr || fail "no '$words' for '$*', but: $(cat stderr)"
    [ -z "${absent-}" ] || [ ! -e "$absent" ] || fail "$absent was made for: $*"
}

# in_pages PAGE...: every row of the tables on stdin stands in a page.
in_pages() {
    rows=$(grep '^|') || fail "it prints no table"
    cat "$@" >pages
    missing=$(printf '%s\n' "$rows" | grep -vxFf pages || true)
    [ -z "$missing" ] || fail "not in $*: $missing"
}

# interrupted LINES [NUMBER]: waits until parts/metrics.csv has as many lines, and sends a signal (2, SIGINT) to the program in
# $process, which says so.
interrupted() {
    while ! [ -f parts/metrics.csv ] || [ "$(wc -l <parts/metrics.csv)" -lt "$1" ]; do
        kill -0 "$process" 2>/dev/null || fail "it ended before it was interrupted"
        sleep 0.02
    done
    kill -"${2-2}" "$process"
    status=0
    wait "$process" || status=$?
    [ $status -eq $((128 + ${2-2})) ] || fail "status $status after an interrupt (too fast for this test, if it is 0)"
    grep -q "Stopped after step .*--resume" stdout || fail "no word about the interrupt"
}

#!/bin/sh
# libfuzz.sh BIN SRC: runs BIN/X_libfuzzer of all targets named *T*, each for SECONDS_EACH seconds,
# and adds to SRC/X_corpus what reached code that nothing there reaches.  Crashes stay in BIN.
set -e
bin=$(cd "$1" && pwd)
src=$(cd "$2" && pwd)
status=0

for t in "$bin"/*"$T"*_libfuzzer; do
	name=$(basename "$t" _libfuzzer)
	work=$bin/$name.work
	mkdir -p "$work"
	echo "== $name"
	if (cd "$bin" && "$t" -max_total_time="${SECONDS_EACH:-300}" -timeout=10 -rss_limit_mb=4096 \
		-max_len="${MAX_LEN:-4096}" -print_final_stats=1 \
		-artifact_prefix="$name-" "$work" "$src/${name}_corpus") >"$bin/$name.log" 2>&1; then
		"$t" -merge=1 -use_counters=0 "$src/${name}_corpus" "$work" >>"$bin/$name.log" 2>&1
	else
		status=1
		grep -E 'ERROR|SUMMARY|runtime error|fuzz: |Test unit written' "$bin/$name.log" || true
		echo "FAIL $name: $bin/$name.log"
	fi
	grep -E '^(#[0-9]+.DONE|stat::number_of_executed_units|Done )' "$bin/$name.log" || true
done
exit $status

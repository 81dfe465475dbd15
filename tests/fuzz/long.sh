#!/usr/bin/env bash
# Fuzzes with the sanitizers, one format at a time: tests/fuzz/long.sh [COUNT [FORMAT...]]
# COUNT (1000000) inputs each of config, csv, idx, folder, numpy, safetensors, dataset and checkpoint, or of the named formats. If clang has libFuzzer
# (Debian's libclang-rt-14-dev), it generates the inputs, guided by coverage; otherwise they are the mutations of
# tests/fuzz/driver.c. Findings are left in build-fuzz as crash-* or finding-*.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${1:-1000000}
[[ $count =~ ^[0-9]+$ ]] || { echo "usage: tests/fuzz/long.sh [COUNT [FORMAT...]]" >&2; exit 2; }
formats=("${@:2}")
[[ ${#formats[@]} -gt 0 ]] || formats=(config csv idx folder numpy safetensors dataset checkpoint)
sanitizers=(-Ddebug=true -Doptimization=1 "-Db_sanitize=address,undefined" -Db_lundef=false)
source=$PWD
clang=$(command -v clang-14 || command -v clang || true)

has_libfuzzer() {
  [[ -n $clang ]] && echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }' |
    "$clang" -x c - -fsanitize=fuzzer,address -o /dev/null 2>/dev/null
}

fuzzer=false
options=()
if has_libfuzzer; then
  fuzzer=true
  export CC=$clang
  options=(-Dc_args=-fsanitize=fuzzer-no-link -Dwerror=false) # clang has other warnings than gcc
fi
build="build-fuzz"
[[ -f $build/meson-private/coredata.dat ]] || meson setup "$build" "${sanitizers[@]}" "${options[@]}"
ninja -C "$build"
cd "$build"

export OMPI_MCA_pml=ob1 OPENBLAS_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=handle_abort=1:allocator_may_return_null=1:detect_stack_use_after_return=1:quarantine_size_mb=4
export LSAN_OPTIONS=print_suppressions=0:suppressions=$source/tests/lsan.supp
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

seeds_of() {
  case $1 in
    dataset) echo tests/fuzz/dataset ;;
    checkpoint) echo "$source/tests/cli/formats" ;;
    *) echo "$source/tests/fuzz/corpus/$1" ;;
  esac
}

failed=0
for format in "${formats[@]}"; do
  echo "== $format"
  if $fuzzer; then
    mkdir -p "corpus-$format"
    "tests/fuzz/libfuzzer_$format" -runs="$count" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -detect_leaks=0 \
      "corpus-$format" "$(seeds_of "$format")" || failed=1
  else
    "tests/fuzz/fuzz_$format" "$(seeds_of "$format")" "$count" || failed=1
  fi
done
exit "$failed"

#!/usr/bin/env bash
# All tests, from nothing but Rust and Python: style, documentation, the crates' own tests, and every export here
# rewritten by the built program and held to its recorded answers in ONNX Runtime. Ends with `N passed, N failed`.
#
# ONNX_PASS_TEST_ENV names the folder of the Python environment, made when it is not there; PYTHON another python3.
set -u
cd "$(dirname "$0")/.." || exit 1
target=${CARGO_TARGET_DIR:-target}
env=${ONNX_PASS_TEST_ENV:-$target/test-env}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0

# check NAME COMMAND...: one check, told in a line; what it said when it fails.
check() {
    local name=$1 start=$SECONDS
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name ($((SECONDS - start)) s)"
    else
        failed=$((failed + 1))
        echo "FAIL $name ($((SECONDS - start)) s): $*"
        cat "$log"
        return 1
    fi
}

# tally NAME COMMAND...: a command that counts for itself, in lines `… N passed…; N failed`.
tally() {
    local name=$1 start=$SECONDS good bad code
    shift
    "$@" >"$log" 2>&1
    code=$?
    read -r good bad < <(awk '{ for (i = 2; i <= NF; i++) { if ($i ~ /^passed/ && $(i-1) ~ /^[0-9]+$/) g += $(i-1);
        if ($i ~ /^failed/ && $(i-1) ~ /^[0-9]+$/) b += $(i-1) } } END { print g + 0, b + 0 }' "$log")
    # A command that broke before it could count.
    if [ $code -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    echo "$([ "$bad" -eq 0 ] && echo "ok  " || echo FAIL) $name: $good passed, $bad failed ($((SECONDS - start)) s)"
    if [ "$bad" -ne 0 ] || [ "$name" = "numbers" ]; then cat "$log"; fi
}

make_env() {
    [ -x "$env/bin/python" ] || "${PYTHON:-python3}" -m venv "$env" || return 1
    "$env/bin/python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null && return 0
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check -r testdata/requirements.txt
}

check environment make_env
# `onnx-pass verify` takes ONNX Runtime from the python3 on the PATH.
PATH=$(cd "$env/bin" 2>/dev/null && pwd):$PATH
export PATH
check fmt cargo fmt --all --check
check clippy cargo clippy --quiet --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" check doc cargo doc --quiet --workspace --no-deps
# The tests of the command build it, so what is proven below is what they made.
rm -f "$target/debug/onnx-pass"
tally tests cargo test --workspace
if [ -x "$target/debug/onnx-pass" ]; then
    tally numbers python3 testdata/prove_all.py "$target/debug/onnx-pass"
    tally split python3 testdata/check/split.py "$target/debug/onnx-pass" testdata/*/
    check mutants python3 testdata/check/mutate.py "$target/debug/onnx-pass" testdata/*/ --count 200 --seed 1
    for kind in reranker embedding; do
        case=testdata/qwen3_vl_$kind
        check "snapshot of $kind" "$target/debug/onnx-pass" snapshot "passes/qwen3-vl-$kind.yaml" "$case/model.onnx" \
            -o "$case/qwen3-vl-$kind.snap" --check
    done
else
    failed=$((failed + 1))
    echo "FAIL program: the tests did not build $target/debug/onnx-pass, so no numbers were held to it"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

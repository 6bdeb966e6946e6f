#!/usr/bin/env bash
# check.sh [gcc|clang|address|thread|all]: what `make test` leaves out for its length. gcc and clang: the whole tree with
# warnings as errors, and its tests, the round trips of all networks among them. address: everything under AddressSanitizer and
# UndefinedBehaviorSanitizer. thread: the runtime under ThreadSanitizer. Each in build-NAME; takes hours together.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}

# check NAME TESTS CMAKE-OPTION...
check() {
  local name=$1 tests=$2
  shift 2
  echo "== $name"
  cmake -S . -B "build-$name" -G Ninja -DFST_PYTHON=.venv/bin/python -DFST_VARIANTS=OFF "$@" >/dev/null
  cmake --build "build-$name" -j "$jobs"
  (cd "build-$name" && FST_ALL_NETWORKS=1 ctest -j "$jobs" --output-on-failure -R "$tests")
}

for name in $([ "${1:-all}" = all ] && echo gcc clang address thread || echo "$@"); do
  case $name in
    gcc) check gcc . -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ ;;
    clang) check clang . -DCMAKE_C_COMPILER="${CLANG:-clang}" -DCMAKE_CXX_COMPILER="${CLANG:-clang}++" ;;
    address) check address '^(unit|ir|py)[.]' -DFST_SANITIZE=address,undefined ;;
    thread) check thread '^unit.runtime_' -DFST_SANITIZE=thread ;;
    *) echo "check.sh: unknown check '$name': expected gcc, clang, address, thread or all" >&2; exit 2 ;;
  esac
done

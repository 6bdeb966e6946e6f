#!/usr/bin/env bash
# Installs what is missing: packages of the system with apt, the Python side into .venv. Quick and silent when
# everything is there: a stamp remembers the requirements that were met.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=scripts/requirements.txt
stamp=.venv/firesteel-ready

say() { if [ -t 2 ]; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi; }
fail() { printf 'firesteel: %s\n' "$*" >&2; exit 1; }

# A key that changes with whatever was asked for; the stamp holds the key of what was done.
key() { cat "$requirements" scripts/setup.sh | cksum; }
is_ready() {
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(key)" ] && [ -x .venv/bin/python ] && [ -x .venv/bin/lit ] || return 1
  local tool
  for tool in gcc g++ cmake ninja pkg-config FileCheck-19 llvm-config-19 espeak-ng; do command -v "$tool" >/dev/null || return 1; done
  [ -f /usr/include/zip.h ] && [ -f /usr/include/cjson/cJSON.h ] && [ -f /usr/include/cmocka.h ]
}
if is_ready; then exit 0; fi

# ---- packages of the system: Debian 12 and Ubuntu 24.04 name them alike ----
packages=(gcc g++ cmake ninja-build pkg-config llvm-19-dev llvm-19-tools libzip-dev libcjson-dev libcmocka-dev espeak-ng python3 python3-venv python3-dev)
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "these are missing and there is no apt-get to install them: ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    printf 'These packages are missing. Run this once, then try again:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends %s\n' "${missing[*]}" >&2
    exit 1
  fi
  say "Installing packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install: ${missing[*]}"
  fi
  rm -f "$log"
fi

# ---- Python ----
python=
for candidate in python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed"
if ! .venv/bin/python -c '' 2>/dev/null; then
  say "Making .venv"
  rm -rf .venv
  "$python" -m venv .venv
fi
pip_install() {
  # Progress only where somebody watches.
  local bar=off
  [ -t 2 ] && bar=on
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar "$bar" "$@" >&2
}
say "Installing Python packages: $(grep -v '^#' "$requirements" | tr '\n' ' ')"
grep -v -e '^#' -e '# no-deps' "$requirements" >.venv/requirements.txt
pip_install -r .venv/requirements.txt || fail "pip could not install the Python packages"
sed -n 's/ *# no-deps.*//p' "$requirements" | while read -r package; do
  pip_install --no-deps "$package" || fail "pip could not install $package"
done
key >"$stamp"

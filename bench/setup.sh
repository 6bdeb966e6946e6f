#!/usr/bin/env bash
# Makes .venv-peers, with the frameworks that bench/peers.py measures: about 3 GB. Only when asked for.
set -euo pipefail
cd "$(dirname "$0")/.."

requirements=bench/requirements.txt
stamp=.venv-peers/ready
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cksum <"$requirements")" ] && exit 0

[ -x .venv-peers/bin/python ] || .venv/bin/python -m venv .venv-peers
pip_install() { .venv-peers/bin/python -m pip install --quiet --disable-pip-version-check "$@" >&2; }
printf 'Installing the peers into .venv-peers\n' >&2
grep -v -e '^#' -e '# no-deps' "$requirements" >.venv-peers/requirements.txt
pip_install -r .venv-peers/requirements.txt
sed -n 's/ *# no-deps.*//p' "$requirements" | while read -r package; do pip_install --no-deps "$package"; done
cksum <"$requirements" >"$stamp"

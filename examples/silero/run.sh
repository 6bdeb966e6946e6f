#!/usr/bin/env bash
# The main job of the README: pack silero's voice detector, compile it ahead of time, run it, compare with PyTorch.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$root/build/silero}
python=$root/.venv/bin/python
here=$root/examples/silero/silero.py
export PYTHONPATH=$root/build/python PYTHONWARNINGS=ignore OMP_NUM_THREADS=1
mkdir -p "$out"
step() { printf '\n== %s\n' "$*"; }

step "silero_vad.jit, wrapped and packed as a Neuropod: $out/silero.neuropod"
"$python" "$here" pack "$out/silero.neuropod"

step "compiled ahead of time: $out/silero-compiled.neuropod"
rm -f "$out/silero-compiled.neuropod"
"$root/build/bin/firesteel" compile "$out/silero.neuropod" -o "$out/silero-compiled.neuropod"

step "a minute of speech (espeak-ng), silence and noise"
[ -s "$out/speech.npy" ] || "$python" "$here" speech "$out/speech.npy"

step "speech found by the compiled package, with the runtime alone: picture in $out/speech.svg"
"$python" "$here" detect "$out/silero-compiled.neuropod" "$out/speech.npy" "$out/firesteel.json"

step "the same through PyTorch, one thread"
for form in as_is frozen optimized batched; do
  "$python" "$here" reference "$out/silero.neuropod" "$out/speech.npy" "$out/torch_$form.json" "$form" ||
    { printf '  (PyTorch cannot run it %s)\n' "$form"; rm -f "$out/torch_$form.json"; }
done
"$python" "$here" report "$out"

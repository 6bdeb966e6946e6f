"""The main job: a real voice detector, packed, compiled ahead of time, and run with the runtime alone.

Each step is a command, so that the measured ones are processes of their own:

  pack OUT            wrap silero_vad.jit in a scripted module and pack it as a Neuropod        (torch)
  speech OUT          a minute of espeak-ng speech, silence and noise between the sentences     (numpy)
  detect PKG AUDIO OUT    run the compiled package over the audio; the table and the SVG        (runtime alone)
  reference PKG AUDIO OUT FORM    the same through PyTorch, FORM: as_is, frozen, optimized, batched  (torch)
  report DIR          compare, and print what was measured
"""
import io
import json
import os
import pickle
import subprocess
import sys
import time
import wave
import zipfile

import numpy as np

RATE, CHUNK = 16000, 512
CONFIG = {
    "custom_ops": [],
    "input_spec": [{"dtype": "float32", "name": "x", "shape": ["n", "s"]}, {"dtype": "int64", "name": "sr", "shape": [1]}],
    "input_tensor_device": {"sr": "GPU", "x": "GPU"},
    "name": "silero_vad",
    "output_spec": [{"dtype": "float32", "name": "probability", "shape": ["n", 1]}],
    "platform": "torchscript",
    "platform_version_semver": "*",
}
SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "A compiler takes the model that people already run, and makes it native.",
    "She sells sea shells by the sea shore, and the shells she sells are surely sea shells.",
    "Silence, and then a voice again.",
    "How much wood would a woodchuck chuck, if a woodchuck could chuck wood?",
    "Numbers, please: one, two, three, four, five, six, seven, eight, nine, ten.",
    "This is the end of the test.",
]


def rss_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def archive_path():
    import importlib.util

    spec = importlib.util.find_spec("silero_vad")
    return os.path.join(os.path.dirname(spec.origin), "data", "silero_vad.jit")


def build_module():
    import torch
    from typing import Dict

    class Detector(torch.nn.Module):
        def __init__(self, vad):
            super().__init__()
            self.vad = vad

        def forward(self, x: torch.Tensor, sr: torch.Tensor) -> Dict[str, torch.Tensor]:
            return {"probability": self.vad(x, int(sr.item()))}

        @torch.jit.export
        def reset_states(self):
            self.vad.reset_states()

    return torch.jit.script(Detector(torch.jit.load(archive_path(), map_location="cpu").eval()).eval())


def pack(out):
    import torch

    module = build_module()
    archive = io.BytesIO()
    torch.jit.save(module, archive)
    test_input = {"x": np.zeros((1, CHUNK), np.float32), "sr": np.array([RATE], np.int64)}
    with torch.no_grad():
        answer = module(**{k: torch.from_numpy(v) for k, v in test_input.items()})
    test_data = {"test_input": test_input, "test_output": {k: v.numpy() for k, v in answer.items()}}
    members = {
        "config.json": json.dumps(CONFIG, indent=4, sort_keys=True).encode(),
        "0/data/model.pt": archive.getvalue(),
        "test_data.pkl": pickle.dumps(test_data, protocol=2),
    }
    with zipfile.ZipFile(out + ".part", "w", zipfile.ZIP_STORED) as z:
        for name in sorted(members):
            z.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), members[name])
    os.replace(out + ".part", out)


def say(sentence, voice):
    raw = subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "--stdout", sentence], check=True, stdout=subprocess.PIPE).stdout
    with wave.open(io.BytesIO(raw)) as w:
        rate = w.getframerate()
        # espeak-ng streams: the header's length is not to be trusted.
        samples = np.frombuffer(raw[44:], np.int16).astype(np.float32) / 32768
    at = np.arange(0, len(samples) - 1, rate / RATE)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def speech(out, seconds=60):
    random = np.random.default_rng(0)
    parts, length, turn = [], 0, 0
    while length < seconds * RATE:
        voice = ("en", "en-us+f3", "en-gb+m5")[turn % 3]
        gap = random.normal(0, 0.02 if turn % 2 else 0.0003, int(RATE * random.uniform(0.8, 2.0)))
        for part in (gap.astype(np.float32), say(SENTENCES[turn % len(SENTENCES)], voice) * 0.7):
            parts.append(part)
            length += len(part)
        turn += 1
    audio = np.concatenate(parts)[: seconds * RATE // CHUNK * CHUNK]
    np.save(out, audio)


def chunks(audio):
    return audio.reshape(-1, 1, CHUNK)


def segments(probability, enter=0.5, leave=0.35, shortest=0.25, gap=0.1):
    """Speech as (start, end) seconds: in at `enter`, out below `leave` for `gap` seconds."""
    step, found, start, quiet = CHUNK / RATE, [], None, 0.0
    for i, p in enumerate(probability):
        t = i * step
        if start is None:
            if p >= enter:
                start, quiet = t, 0.0
        elif p < leave:
            quiet += step
            if quiet >= gap:
                found.append((start, t + step - quiet))
                start = None
        else:
            quiet = 0.0
    if start is not None:
        found.append((start, len(probability) * step))
    return [s for s in found if s[1] - s[0] >= shortest]


def svg(audio, probability, found, path):
    width, height = 1200, 260
    seconds = len(audio) / RATE
    x = lambda t: t / seconds * width
    columns = np.array_split(audio, width)
    peak = max(1e-6, float(np.abs(audio).max()))
    bars = "".join(f"M{i} {80 - 70 * c.max() / peak:.1f}V{80 - 70 * c.min() / peak:.1f}" for i, c in enumerate(columns))
    line = " ".join(f"{x(i * CHUNK / RATE):.1f},{240 - 70 * p:.1f}" for i, p in enumerate(probability))
    boxes = "".join(f'<rect x="{x(a):.1f}" y="0" width="{x(b) - x(a):.1f}" height="{height}" fill="#f5c26b" opacity="0.35"/>' for a, b in found)
    ticks = "".join(f'<text x="{x(t):.0f}" y="256" font-size="11" fill="#555">{t}s</text>' for t in range(0, int(seconds) + 1, 5))
    with open(path, "w") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
                f'<rect width="{width}" height="{height}" fill="white"/>{boxes}<path d="{bars}" stroke="#456" stroke-width="1"/>'
                f'<line x1="0" x2="{width}" y1="205" y2="205" stroke="#ccc" stroke-dasharray="4"/>'
                f'<polyline points="{line}" fill="none" stroke="#c2410c" stroke-width="1.5"/>{ticks}'
                f'<text x="4" y="14" font-size="12">waveform</text><text x="4" y="168" font-size="12">probability of speech</text></svg>\n')


def measure(call, audio):
    probability, times = [], []
    for chunk in chunks(audio):
        start = time.perf_counter_ns()
        p = call(chunk)
        times.append(time.perf_counter_ns() - start)
        probability.append(float(np.asarray(p).reshape(-1)[0]))
    warm = np.array(times[20:]) / 1e3
    return {"probability": probability, "first_us": times[0] / 1e3, "p50_us": float(np.percentile(warm, 50)), "p99_us": float(np.percentile(warm, 99))}


def detect(package, audio_path, out):
    import firesteel

    audio, sr = np.load(audio_path), np.array([RATE], np.int64)
    start = time.perf_counter_ns()
    model = firesteel.load(package)
    load_ms = (time.perf_counter_ns() - start) / 1e6
    result = measure(lambda chunk: model.infer({"x": chunk, "sr": sr})["probability"], audio)
    maps = open("/proc/self/maps").read()
    assert "libtorch" not in maps and "libLLVM" not in maps, "the process that runs the model holds a framework or a compiler"
    assert not model.report()["fallback_ops"], model.report()
    found = segments(result["probability"])
    print("  speech      from       to   length")
    for i, (a, b) in enumerate(found, 1):
        print(f"  {i:6d} {a:8.2f}s {b:8.2f}s {b - a:7.2f}s")
    svg(audio, result["probability"], found, os.path.join(os.path.dirname(out), "speech.svg"))
    json.dump({**result, "load_ms": load_ms, "rss_mb": rss_mb(), "segments": len(found)}, open(out, "w"))


def reference(package, audio_path, out, form):
    import torch

    torch.set_num_threads(1)
    audio, sr = np.load(audio_path), torch.tensor([RATE])
    with zipfile.ZipFile(package) as z:
        archive = io.BytesIO(z.read("0/data/model.pt"))
    start = time.perf_counter_ns()
    model = torch.jit.load(archive).eval()
    if form in ("frozen", "optimized"):
        model = torch.jit.freeze(model)
    if form == "optimized":
        model = torch.jit.optimize_for_inference(model)
    load_ms = (time.perf_counter_ns() - start) / 1e6
    copies = 3 if form == "batched" else 1  # the same audio several times: PyTorch then takes other kernels
    with torch.inference_mode():
        result = measure(lambda chunk: model(torch.from_numpy(chunk).repeat(copies, 1), sr)["probability"], audio)
    json.dump({**result, "load_ms": load_ms, "rss_mb": rss_mb()}, open(out, "w"))


def report(folder):
    ours = json.load(open(os.path.join(folder, "firesteel.json")))
    forms = {"as it is": "as_is", "frozen": "frozen", "optimized": "optimized"}
    rows = [("Firesteel", ours)]
    for name, form in forms.items():
        path = os.path.join(folder, f"torch_{form}.json")
        if os.path.exists(path):
            rows.append((f"PyTorch, {name}", json.load(open(path))))
    print(f"\n  {'':22s} {'load ms':>9s} {'first us':>10s} {'p50 us':>9s} {'p99 us':>9s} {'peak MB':>9s}")
    for name, r in rows:
        print(f"  {name:22s} {r['load_ms']:9.1f} {r['first_us']:10.0f} {r['p50_us']:9.1f} {r['p99_us']:9.1f} {r['rss_mb']:9.1f}")
    difference = lambda a, b: max(abs(x - y) for x, y in zip(a["probability"], b["probability"]))
    worst, best = difference(ours, rows[1][1]), min(r["p50_us"] for _, r in rows[1:])
    print(f"\n  {len(ours['probability'])} chunks; largest difference to PyTorch {worst:.2e}; p50 {ours['p50_us'] / best:.2f} of PyTorch's best (both called from Python)")
    # Two layers cancel large biases, which magnifies the rounding of f32: PyTorch differs this much from itself.
    own = difference(rows[1][1], json.load(open(os.path.join(folder, "torch_batched.json"))))
    print(f"  PyTorch to itself, one chunk a call against the same chunk three times in a batch: {own:.2e}")
    if not worst <= max(1e-5, 1.5 * own):
        sys.exit("the results differ from PyTorch's by more than PyTorch's own rounding")


if __name__ == "__main__":
    {"pack": pack, "speech": speech, "detect": detect, "reference": reference, "report": report}[sys.argv[1]](*sys.argv[2:])

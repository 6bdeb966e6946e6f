"""The compiler worker, spoken to directly: it answers, keeps its limits, and goes when its host goes."""
import array
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import ADD, WORKER, write  # noqa: E402

MAGIC, VERSION = 0x4D545346, 1
DESCRIBE, COMPILE, DUMP, REPLY = 1, 2, 3, 100
PATH, METHOD, ARGUMENTS, STATE, STAGE, TARGET, OPTIONS, TIME_LIMIT, MEMORY_LIMIT, BRIDGE, MESSAGE, TEXT = range(1, 13)
INVALID, NOT_FOUND, CORRUPT, UNSUPPORTED, IO, RESOURCE = 1, 2, 3, 4, 5, 6


class Worker:
    def __init__(self):
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(60)
        self.process = subprocess.Popen([str(WORKER)], preexec_fn=lambda: os.dup2(theirs.fileno(), 3), close_fds=False, stderr=subprocess.PIPE)
        theirs.close()

    def ask(self, kind, fields):
        payload = b"".join(struct.pack("<II", key, len(text)) + text + b"\0" for key, text in ((k, str(t).encode()) for k, t in fields.items()))
        self.ours.sendall(struct.pack("<IIIIQ", MAGIC, VERSION, kind, 0, len(payload)) + payload)
        return self.reply()

    def reply(self):
        head, ancillary, _, _ = self.ours.recvmsg(24, socket.CMSG_SPACE(4))
        if not head:
            return None
        magic, version, kind, code, size = struct.unpack("<IIIIQ", head)
        assert (magic, version, kind) == (MAGIC, VERSION, REPLY)
        payload = b""
        while len(payload) < size:
            payload += self.ours.recv(size - len(payload))
        fields, at = {}, 0
        while at < size:
            key, length = struct.unpack_from("<II", payload, at)
            fields[key] = payload[at + 8:at + 8 + length].decode()
            at += 8 + length + 1
        fds = array.array("i")
        for level, kind, data in ancillary:
            fds.frombytes(data[:4])
        return code, fields, fds[0] if fds else None

    def close(self):
        self.ours.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture
def worker():
    w = Worker()
    yield w
    w.close()


@pytest.fixture
def model(tmp_path):
    return write(tmp_path / "add.ir", ADD)


def test_describe_compile_dump(worker, model):
    for kind, fields in ((DESCRIBE, {}), (COMPILE, {METHOD: "forward", ARGUMENTS: "x: f32[2]; y: f32[2]"})):
        code, told, fd = worker.ask(kind, {PATH: model, **fields})
        assert code == 0 and fd is not None, told
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        assert data[:4] == b"PK\3\4" and b"0/compiled/plan.bin" in data
        with pytest.raises(OSError):
            os.ftruncate(fd, 10)
        os.close(fd)
    code, told, fd = worker.ask(DUMP, {PATH: model, STAGE: "imported"})
    assert code == 0 and "aten::add.Tensor" in told[TEXT]


def test_errors_are_answers(worker, model, tmp_path):
    code, told, _ = worker.ask(COMPILE, {PATH: model, OPTIONS: "nonsense=1"})
    assert code == INVALID and "nonsense" in told[MESSAGE]
    code, told, _ = worker.ask(COMPILE, {PATH: model, ARGUMENTS: "x: f32["})
    assert code != 0 and told[MESSAGE]
    code, told, _ = worker.ask(DUMP, {PATH: model, STAGE: "nonsense"})
    assert code == INVALID and "nonsense" in told[MESSAGE]
    code, told, _ = worker.ask(77, {PATH: model})
    assert code == UNSUPPORTED
    code, told, _ = worker.ask(DESCRIBE, {})
    assert code == INVALID
    code, _, fd = worker.ask(DESCRIBE, {PATH: model})
    assert code == 0
    os.close(fd)


def test_a_changed_file_is_read_again(worker, model):
    code, told, _ = worker.ask(DUMP, {PATH: model})
    assert "aten::add" in told[TEXT]
    time.sleep(0.02)
    write(model, ADD.replace("aten::add.Tensor(%x, %y, 1)", "aten::mul.Tensor(%x, %y)"))
    code, told, _ = worker.ask(DUMP, {PATH: model})
    assert "aten::mul" in told[TEXT]


def test_a_file_that_cannot_be_read_ends_the_worker(worker, tmp_path):
    code, told, _ = worker.ask(DESCRIBE, {PATH: write(tmp_path / "bad.pt", "nonsense")})
    assert code == CORRUPT and "bad.pt" in told[MESSAGE]
    assert worker.reply() is None
    assert worker.process.wait(10) == 0


def test_time_limit(worker, tmp_path):
    os.mkfifo(tmp_path / "hangs.pt")  # nobody ever writes
    start = time.time()
    code, told, _ = worker.ask(DESCRIBE, {PATH: tmp_path / "hangs.pt", TIME_LIMIT: 1})
    assert code == RESOURCE and "1 seconds" in told[MESSAGE]
    assert time.time() - start < 10
    assert worker.process.wait(10) == 1


def test_goes_with_its_host(worker, model):
    assert worker.ask(DUMP, {PATH: model})[0] == 0
    worker.ours.close()
    assert worker.process.wait(10) == 0


def test_goes_with_its_host_while_it_works(worker, tmp_path):
    os.mkfifo(tmp_path / "hangs.pt")
    payload = struct.pack("<II", PATH, len(str(tmp_path / "hangs.pt"))) + str(tmp_path / "hangs.pt").encode() + b"\0"
    worker.ours.sendall(struct.pack("<IIIIQ", MAGIC, VERSION, DESCRIBE, 0, len(payload)) + payload)
    time.sleep(0.3)
    assert worker.process.poll() is None
    worker.ours.close()
    assert worker.process.wait(10) == 0


def test_nonsense_on_the_wire(worker):
    worker.ours.sendall(b"GET / HTTP/1.0\r\n\r\n" + bytes(100))
    assert worker.process.wait(10) == 0


def test_started_by_hand():
    done = subprocess.run([str(WORKER)], capture_output=True, text=True)
    assert done.returncode == 2 and "not a command" in done.stderr


def test_a_killed_worker_is_an_error_and_the_host_lives(model):
    """Through the runtime: the next call starts another."""
    import numpy as np
    import firesteel
    m = firesteel.load(str(model))
    x = np.float32([1, 2])
    assert list(m(x, x)) == [2, 4]
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    assert [list(row) for row in m(x.reshape(2, 1), x.reshape(2, 1))] == [[2], [4]]


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as f:
        return [int(pid) for pid in f.read().split()]

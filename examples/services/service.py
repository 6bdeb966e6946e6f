"""A service in Python, over HTTP: POST {"x": [1, 2], "y": [3, 4]} and get {"out": [4, 6]}. A compiled package is ready as soon as it is opened.

    python service.py model.neuropod 8080
"""
import http.server
import json
import sys

import numpy as np
from firesteel.neuropod import NeuropodError, load_neuropod

model = load_neuropod(sys.argv[1], allow_compile=False)
dtypes = {spec["name"]: "U" if spec["dtype"] == "string" else spec["dtype"] for spec in model.inputs}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            result = model.infer({name: np.asarray(value, dtypes.get(name)) for name, value in body.items()})
            self.answer(200, {name: value.tolist() for name, value in result.items()})
        except (NeuropodError, ValueError, AttributeError, TypeError) as error:
            self.answer(400, {"error": str(error)})

    def do_GET(self):
        self.answer(200, {"name": model.name, "inputs": model.inputs, "outputs": model.outputs})

    def answer(self, code, value):
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)  # a model may be called by any number of threads
print(f"ready on port {server.server_port}", flush=True)
server.serve_forever()

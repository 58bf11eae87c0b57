"""A receiver of webhooks on this machine that answers as it is told."""
import base64
import http.server
import json
import pathlib
import queue
import re
import subprocess
import tempfile
import threading

from http1 import TIMEOUT_S

SIGNATURE = re.compile(r"t=(\d+),kid=([^,]+),ed25519=([A-Za-z0-9_-]+)")
KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")  # of an Ed25519 key in DER


def decode(text):
    """base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Delivery:
    """One POST that has come, with what its sender says about itself."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body

    def json(self):
        return json.loads(self.body)

    def signature(self):
        """Its time, the key that it names, and what it is, as text."""
        return SIGNATURE.fullmatch(self.headers["Webhook-Signature"]).groups()

    def is_signed_by(self, jwks):
        """Does openssl say so, with the key of the set that the signature names?"""
        time, kid, signature = self.signature()
        key, = [key for key in jwks["keys"] if key["kid"] == kid]
        with tempfile.TemporaryDirectory() as scratch:
            files = [pathlib.Path(scratch) / name for name in ("key", "signature", "message")]
            for file, content in zip(files, (KEY_PREFIX + decode(key["x"]), decode(signature),
                                             time.encode() + b"." + self.body)):
                file.write_bytes(content)
            done = subprocess.run(
                ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", files[0],
                 "-rawin", "-sigfile", files[1], "-in", files[2]], capture_output=True)
        return done.returncode == 0


class Receiver(http.server.ThreadingHTTPServer):
    """`answer` is called with a Delivery and returns a status and a body; it may block."""

    daemon_threads = True

    def __init__(self, answer=lambda delivery: (200, b"")):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.deliveries = queue.Queue()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def next(self, timeout_s=TIMEOUT_S):
        """The oldest delivery that nobody has looked at."""
        try:
            return self.deliveries.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError("no webhook has come") from None

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        delivery = Delivery(self.path, self.headers, body)
        self.server.deliveries.put(delivery)
        status, text = self.server.answer(delivery)
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:
            """The sender has given up."""

    def log_message(self, *_):
        """The deliveries say it all."""

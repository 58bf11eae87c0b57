"""A receiver of webhooks on this machine that answers as it is told."""
import http.server
import json
import queue
import threading

from http1 import TIMEOUT_S


class Delivery:
    """One POST that has come, with what its sender says about itself."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body

    def json(self):
        return json.loads(self.body)


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

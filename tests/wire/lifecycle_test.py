"""Starting and stopping: the ready line, options, SIGTERM with everything under way."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from case import CLOSE, ROOT, TEXT
from http1 import Closed, Connection, EventStream, encode_request
from server import BINARY, Server

PATH = ROOT + "life"


class LifecycleTest(unittest.TestCase):
    def start(self, *options):
        """A server that the test stops; it is killed if the test fails before."""
        server = Server(*options)
        self.addCleanup(lambda: server.alive() and server.kill())
        return server

    def connect(self, server):
        connection = Connection(server.port)
        self.addCleanup(connection.close)
        return connection

    def create(self, server, body=b""):
        connection = self.connect(server)
        response = connection.request("PUT", PATH, TEXT, body)
        self.assertEqual(response.status, 201, response)
        return connection

    def parked(self, server):
        connection = self.connect(server)
        connection.send(encode_request("GET", PATH + "?offset=now&live=long-poll"))
        self.assertTrue(connection.silent())
        return connection


class Stop(LifecycleTest):
    def test_of_an_idle_server_is_quick(self):
        self.assertLess(self.start().stop(), 2)

    def test_with_idle_connections_is_quick_and_ends_them(self):
        server = self.start()
        connections = [self.create(server), self.connect(server)]
        connections += [self.connect(server) for _ in range(10)]
        self.assertLess(server.stop(), 2)
        for connection in connections:
            self.assertTrue(connection.ended())

    def test_answers_long_polls(self):
        server = self.start("--long-poll-timeout-ms", 20000, "--acceptors", 2)
        self.create(server, b"abc")
        waiting = [self.parked(server) for _ in range(20)]
        server.terminate()
        for connection in waiting:
            response = connection.read_response()
            self.assertEqual(response.status, 204, response)
            self.assertEqual(response["stream-up-to-date"], "true")
            self.assertEqual(response["stream-next-offset"], f"{0:016}_{3:016}")
            self.assertEqual(response["stream-closed"], None)
        self.assertLess(server.wait(), 2)

    def test_ends_event_streams_properly(self):
        server = self.start("--acceptors", 2)
        self.create(server, b"abc")
        streams = [EventStream(self.connect(server), PATH + "?offset=-1&live=sse") for _ in range(20)]
        for events in streams:
            events.batch()
        server.terminate()
        for events in streams:
            self.assertTrue(events.ended())
        self.assertLess(server.wait(), 2)

    def test_answers_what_is_under_way(self):
        server = self.start()
        self.create(server)
        uploads = []
        for n in range(10):
            connection = self.connect(server)
            connection.send(encode_request("POST", PATH, TEXT, b"%d" % n)[:-1])
            self.assertTrue(connection.silent(0.01))
            uploads.append(connection)
        server.terminate()
        time.sleep(0.2)
        for n, connection in enumerate(uploads):
            connection.send(b"%d" % n)
            response = connection.read_response()
            self.assertEqual(response.status, 204, response)
            self.assertFalse(connection.reusable)
        self.assertLess(server.wait(), 3)

    def test_answers_all_that_was_sent_at_once(self):
        server = self.start()
        connection = self.create(server)
        connection.send(encode_request("POST", PATH, TEXT, b"x") * 200)
        for _ in range(20):
            self.assertEqual(connection.read_response().status, 204)
        server.terminate()
        answered = 20
        try:
            while connection.reusable:
                self.assertEqual(connection.read_response().status, 204)
                answered += 1
        except (Closed, ConnectionError):
            pass
        self.assertGreaterEqual(answered, 20)
        self.assertLess(server.wait(), 3)

    def test_takes_no_new_connections(self):
        server = self.start("--drain-timeout-ms", 3000)
        upload = self.connect(server)
        upload.send(b"PUT " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        self.assertTrue(upload.silent(0.05))
        server.terminate()
        time.sleep(0.2)
        with self.assertRaises(ConnectionError):
            Connection(server.port)
        upload.send(b"12345")
        self.assertEqual(upload.read_response().status, 201)
        server.wait()
        self.assertNotIn("drain_timed_out", server.stderr())

    def test_does_not_wait_for_ever(self):
        server = self.start("--drain-timeout-ms", 500)
        upload = self.connect(server)
        upload.send(b"PUT " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1")
        reader = Connection(server.port, receive_buffer=4096)
        self.addCleanup(reader.close)
        self.create(server, b"x" * 8000000)
        reader.send(encode_request("GET", PATH))
        self.assertTrue(upload.silent(0.1))
        server.terminate()
        self.assertLess(server.wait(), 4)
        log = server.stderr()
        self.assertIn("drain_timed_out", log)
        self.assertIn(" stopped ms=", log)

    def test_delivers_what_was_appended_before(self):
        server = self.start()
        writer = self.create(server)
        events = EventStream(self.connect(server), PATH + "?offset=-1&live=sse")
        events.control()
        for n in range(100):
            self.assertEqual(writer.request("POST", PATH, TEXT, b"%02d" % n).status, 204)
        server.terminate()
        seen = b""
        while (event := events.event()) is not None:
            if event.kind == "data":
                seen += event.data
            else:
                offset = event.json()["streamNextOffset"]
        # What it did not get it can ask for: the last control says from where.
        self.assertEqual(int(offset[17:]), len(seen))
        self.assertEqual(seen, b"".join(b"%02d" % n for n in range(100))[:len(seen)])
        server.wait()

    def test_twice_ends_at_once(self):
        server = self.start("--drain-timeout-ms", 60000)
        upload = self.connect(server)
        upload.send(b"PUT " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1")
        self.assertTrue(upload.silent(0.1))
        server.terminate()
        # The distance of the signals is what is tried: within half a second they would be one.
        time.sleep(0.6)
        self.assertTrue(server.alive())
        server.terminate()
        self.assertEqual(server.process.wait(3), 1)
        server.process.stdout.close()

    def test_that_comes_twice_at_once_is_one(self):
        """As when a process and its group are told."""
        for _ in range(5):
            server = self.start()
            upload = self.connect(server)
            upload.send(b"PUT " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1")
            self.assertTrue(upload.silent(0.1))
            server.terminate()
            # The kernel makes one of two that are pending: the first has to arrive. Nothing a client
            # could see tells that, and the two are far closer than half a second all the same.
            time.sleep(0.01)
            server.terminate()
            self.assertTrue(upload.silent(0.1))
            upload.send(b"2345")
            self.assertEqual(upload.read_response().status, 201)
            server.wait()

    def test_by_sigint_or_sighup_is_the_same(self):
        for number in (signal.SIGINT, signal.SIGHUP):
            server = self.start()
            server.process.send_signal(number)
            self.assertLess(server.wait(), 2)

    def test_under_load(self):
        server = self.start("--shards", 4, "--acceptors", 2, "--long-poll-timeout-ms", 20000)
        self.create(server)
        connections = [self.connect(server) for _ in range(100)]
        for n, connection in enumerate(connections):
            mine = f"{ROOT}load/{n}"
            connection.send(encode_request("PUT", mine, TEXT, b"a" * 1000)
                            + encode_request("POST", mine, {**TEXT, **CLOSE}, b"b" * 1000)
                            + encode_request("GET", mine)
                            + encode_request("GET", PATH + "?offset=now&live=long-poll"))
        server.terminate()
        self.assertLess(server.wait(), 5)


class Start(unittest.TestCase):
    def run_binary(self, *arguments, **environment):
        return subprocess.run([BINARY, *arguments], env={**os.environ, **environment}, timeout=20, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def test_wrong_usage_is_exit_code_1_and_a_line_that_says_what(self):
        for arguments in (("serve", "--nonsense"), ("serve", "--shards", "0"), ("serve", "--shards", "x"),
                          ("serve", "--shards"), ("serve", "--listen", "nowhere"), ("serve", "extra"),
                          ("serve", "--acceptors", "100000"), ("serve", "--long-poll-timeout-ms", "-1"),
                          ("serve", "--listen", "127.0.0.1:99999"), ("serve", "--config", "/does/not/exist"),
                          ("nonsense",), ("options", "extra"), ("--version", "extra"), ()):
            with self.subTest(arguments=arguments):
                done = self.run_binary(*arguments)
                self.assertEqual(done.returncode, 1, done)
                self.assertTrue(done.stderr)
                self.assertEqual(done.stdout, "")

    def test_help_and_version(self):
        for arguments in (("--help",), ("serve", "--help"), ("options", "--help"), ("--version",)):
            done = self.run_binary(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("sluice", done.stdout)

    def test_tells_of_log_files_that_are_too_small_for_bodies(self):
        with tempfile.TemporaryDirectory(dir=pathlib.Path(BINARY).resolve().parent) as place:
            where = ("--data-dir", place + "/data")
            Server(*where, "--wal-file-bytes", 1 << 20, "--max-body-bytes", 1000).stop()
            for size, is_told in ((458752, False), (458753, True), (1 << 26, True)):
                server = Server(*where, "--max-body-bytes", size)
                log = server.stderr()
                server.stop()
                self.assertEqual("log_files_small" in log, is_told, log)

    def test_port_in_use_is_exit_code_1(self):
        server = Server()
        try:
            done = self.run_binary("serve", "--memory", "--listen", f"127.0.0.1:{server.port}")
            self.assertEqual(done.returncode, 1, done)
            self.assertIn('todo="end the program that has it, or choose another with --listen"',
                          done.stderr)
        finally:
            server.stop()

    def test_options_also_come_from_the_environment_and_the_command_line_wins(self):
        done = self.run_binary("serve", SLUICE_SHARDS="x")
        self.assertEqual(done.returncode, 1)
        os.environ["SLUICE_STREAM_ROOT"] = "/from/environment"
        try:
            servers = [Server(), Server("--stream-root", "/from/arguments")]
        finally:
            del os.environ["SLUICE_STREAM_ROOT"]
        for server, root in zip(servers, ("/from/environment", "/from/arguments")):
            connection = Connection(server.port)
            self.assertEqual(connection.request("PUT", root + "/a").status, 201)
            self.assertEqual(connection.request("PUT", ROOT + "a").status, 404)
            connection.close()
            server.stop()

    def test_listens_on_several_addresses(self):
        server = Server("--listen", "127.0.0.1:0")
        try:
            second = server.process.stdout.readline()
            port = int(second.rsplit(":", 1)[1])
            self.assertNotEqual(port, server.port)
            one, other = Connection(server.port), Connection(port)
            self.assertEqual(one.request("PUT", PATH, TEXT, b"abc").status, 201)
            self.assertEqual(other.request("GET", PATH).body, b"abc")
            one.close(), other.close()
        finally:
            server.stop()

"""A directory in which what was stored of a subscription is damaged."""
import json
import unittest

from case import BYTES, JSON, ToolTest, bytes_of

SUBSCRIPTION = "__ds/subscriptions/damaged"
MARK = b'"wake_stream":"wake/of/the/damaged"'


class Damaged(ToolTest):
    def subscribe(self, client, name, wake_stream, expected):
        body = {"type": "pull-wake", "pattern": "jobs/*", "wake_stream": wake_stream}
        client.ask("PUT", name, JSON, json.dumps(body).encode(), expected=expected)

    def flushed(self):
        """The segment in which the state of the subscription is, after a clean end."""
        server = self.start()
        client = self.client(server)
        self.subscribe(client, SUBSCRIPTION, "wake/of/the/damaged", (201,))
        self.subscribe(client, SUBSCRIPTION + "-not", "wake/of/the/other", (201,))
        for i in range(20):
            client.ask("PUT", f"filler/{i}", BYTES, bytes_of(f"filler/{i}", 390000))
        server.stop()
        return next(path for path in self.segments() if MARK in path.read_bytes())

    def test_is_left_out_and_can_be_made_again(self):
        segment = self.flushed()
        self.flip(segment, segment.read_bytes().index(MARK))
        self.assertIn("a chunk is damaged", self.sluice("fsck", self.sample, expected=3))
        for expected in (201, 200):
            server = self.start()
            client = self.client(server)
            if expected == 201:
                client.ask("GET", SUBSCRIPTION, expected=(404,))
                metrics = client.connection.request("GET", "/metrics").body
                self.assertIn(b"\nsluice_subscriptions_damaged 1\n", metrics)
            client.ask("GET", SUBSCRIPTION + "-not")
            self.assertEqual(client.read("json"), self.content["json"])
            self.subscribe(client, SUBSCRIPTION, "wake/of/another", (expected,))
            server.stop()
        self.assertNotIn("__ds/subscriptions/damaged/", self.sluice("fsck", self.sample, expected=(0, 3)))


if __name__ == "__main__":
    unittest.main()

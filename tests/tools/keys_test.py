"""The keys of a server: sluice rotate-keys."""
import json
import unittest

from case import JSON, ToolTest
from receiver import Receiver

TEXT = {"Content-Type": "text/plain"}
SUBSCRIPTION = "__ds/subscriptions/s"
RETIRED_MAX = 7


class KeysTest(ToolTest):
    def setUp(self):
        super().setUp()
        self.appended = 0

    def jwks(self, client):
        return client.ask("GET", "__ds/jwks.json").json()

    def kids(self, client):
        return [key["kid"] for key in self.jwks(client)["keys"]]

    def rotate(self):
        """The id that the command says."""
        output = self.sluice("rotate-keys", self.sample)
        self.assertRegex(output, r"^webhooks are signed with the new key ds_[\w-]{43};")
        return output.split(";")[0].rsplit(" ", 1)[1]

    def receiver(self):
        receiver = Receiver(lambda delivery: (200, b'{"done":true}'))
        self.addCleanup(receiver.close)
        return receiver

    def subscribe(self, client, **members):
        body = {"pattern": "hooked/*", "lease_ttl_ms": 600000, **members}
        client.ask("PUT", SUBSCRIPTION, JSON, json.dumps(body).encode())

    def subscribe_webhook(self, client, receiver):
        self.subscribe(client, type="webhook", webhook={"url": receiver.url})

    def delivery(self, client, receiver):
        """The one that an append makes."""
        client.ask("PUT", f"hooked/{self.appended}", TEXT, b"x")
        self.appended += 1
        return receiver.next()

    def claim(self, client):
        """A wake that is held, as a worker reports it; and the header that it needs."""
        self.subscribe(client, type="pull-wake", wake_stream="wake")
        client.ask("PUT", "hooked/0", TEXT, b"x")
        wake = client.ask("POST", SUBSCRIPTION + "/claim", JSON, b'{"worker":"w"}').json()
        report = {"wake_id": wake["wake_id"], "generation": wake["generation"], "done": True,
                  "acks": [{"stream": "hooked/0", "offset": wake["streams"][0]["tail_offset"]}]}
        return json.dumps(report).encode(), {**JSON, "Authorization": f"Bearer {wake['token']}"}

    def assertAcked(self, client, claim):
        report, headers = claim
        response = client.ask("POST", SUBSCRIPTION + "/ack", headers, report)
        self.assertEqual(response.json(), {"ok": True, "next_wake": False})


class Rotation(KeysTest):
    def test_signs_with_the_new_key_and_keeps_the_old_one(self):
        receiver = self.receiver()
        server = self.start(None, "--allow-local-webhooks")
        client = self.client(server)
        old_id, = self.kids(client)
        self.subscribe_webhook(client, receiver)
        old = self.delivery(client, receiver)
        new_id = self.rotate()
        new = self.delivery(client, receiver)
        for life in (1, 2):
            jwks = self.jwks(client)
            self.assertEqual([key["kid"] for key in jwks["keys"]], [new_id, old_id])
            view = client.ask("GET", SUBSCRIPTION).json()
            self.assertEqual(view["webhook"]["signing"]["kid"], new_id)
            for delivery, kid in ((old, old_id), (new, new_id)):
                self.assertEqual(delivery.signature()[1], kid)
                self.assertTrue(delivery.is_signed_by(jwks))
            old.body += b" "
            self.assertFalse(old.is_signed_by(jwks))
            old.body = old.body[:-1]
            if life == 1:
                server.crash()
                client = self.client(server)
                new = self.delivery(client, receiver)
        server.stop()

    def test_leaves_tokens_valid(self):
        server = self.start()
        client = self.client(server)
        claim = self.claim(client)
        self.rotate()
        self.assertAcked(client, claim)
        server.stop()

    def test_needs_a_server(self):
        for directory in (self.sample, self.place / "nothing"):
            self.sluice("rotate-keys", directory, expected=1)
            self.assertIn(f"start one with sluice serve --data-dir {directory}", self.errors)
        self.assertFalse((self.place / "nothing").exists())
        self.sluice("rotate-keys", expected=1)

    def test_forgets_no_key_before_its_time(self):
        server = self.start()
        client = self.client(server)
        ids = self.kids(client)
        for _ in range(RETIRED_MAX):
            ids.insert(0, self.rotate())
        self.sluice("rotate-keys", self.sample, expected=1)
        self.assertIn("OVERLOADED as many keys as may be", self.errors)
        self.assertEqual(self.kids(client), ids)
        server.stop()


if __name__ == "__main__":
    unittest.main()

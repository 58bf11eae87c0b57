"""The keys of a server: rotate-keys, and what backup, restore, fsck and dump do with KEYS."""
import json
import os
import stat
import threading
import unittest

from case import JSON, ToolTest
from disk import crc32c
from receiver import Receiver

TEXT = {"Content-Type": "text/plain"}
SUBSCRIPTION = "__ds/subscriptions/s"
RETIRED_MAX = 7
SECRETS = slice(16, 80)  # of the file: the secret of the tokens, and the seed of the key
VERSION_AT = 8


class KeysTest(ToolTest):
    """`self.file` is the file of the sample."""

    def setUp(self):
        super().setUp()
        self.file = self.sample / "KEYS"
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

    def assertPrivate(self, file):
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        self.assertEqual(os.stat(file).st_nlink, 1)


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
        self.sluice("rotate-keys", self.sample, expected=1)
        self.assertIn(f"start one with sluice serve --data-dir {self.sample}", self.errors)
        self.sluice("rotate-keys", self.place / "nothing", expected=1)
        self.assertIn("nothing: its server cannot be asked: No such file or directory", self.errors)
        self.assertFalse((self.place / "nothing").exists())
        self.sluice("rotate-keys", expected=1)

    def test_forgets_no_key_before_its_time(self):
        server = self.start()
        client = self.client(server)
        ids = self.kids(client)
        for _ in range(RETIRED_MAX):
            ids.insert(0, self.rotate())
        self.sluice("rotate-keys", self.sample, expected=1)
        self.assertIn("as many keys as may be were retired within 24 hours: wait, or stop the "
                      f"server, remove {self.sample}/KEYS", self.errors)
        self.assertNotIn("the log of the server", self.errors)
        self.assertEqual(self.kids(client), ids)
        server.stop()

    def test_is_said_when_keys_were_lost_and_somebody_needs_them(self):
        for is_needed in (False, True):
            self.file.unlink()
            server = self.start()
            self.assertEqual("keys_made" in server.stderr(), is_needed, server.stderr())
            client = self.client(server)
            if is_needed:
                kid, = self.kids(client)
                self.assertIn(f"warn hooks keys_made kid={kid} subscriptions=1 ", server.stderr())
            self.subscribe(client, type="pull-wake", wake_stream="wake")
            server.crash()
            self.assertEqual(server.stderr().count("keys_made"), is_needed)
            server.stop()


class Backup(KeysTest):
    def setUp(self):
        super().setUp()
        self.backup, self.restored = self.place / "backup", self.place / "restored"

    def restore(self):
        return self.sluice("restore", self.backup, self.restored)

    def test_goes_on_with_the_same_keys_and_tokens(self):
        server = self.start()
        client = self.client(server)
        claim = self.claim(client)
        self.rotate()
        jwks = self.jwks(client)
        self.assertIn("keys: webhooks are signed with " + jwks["keys"][0]["kid"],
                      self.sluice("backup", self.sample, self.backup))
        self.rotate()
        server.stop()
        self.assertIn("/KEYS", self.restore())
        for directory in (self.backup, self.restored):
            self.assertPrivate(directory / "KEYS")
        server = self.start(self.restored)
        client = self.client(server)
        self.assertEqual(self.jwks(client), jwks)
        self.assertAcked(client, claim)
        server.stop()

    def test_of_a_stopped_server_has_them_too(self):
        self.sluice("backup", self.sample, self.backup)
        self.restore()
        self.assertEqual((self.restored / "KEYS").read_bytes(), self.file.read_bytes())
        self.assertPrivate(self.restored / "KEYS")

    def test_of_a_directory_without_keys_has_none(self):
        self.file.unlink()
        self.assertIn("note: there are no KEYS", self.sluice("backup", self.sample, self.backup))
        self.restore()
        self.assertFalse((self.restored / "KEYS").exists())
        self.assertServes(self.restored)
        self.assertPrivate(self.restored / "KEYS")

    def test_has_those_of_one_moment(self):
        """Whatever is rotated while it is made."""
        server = self.start()
        ids = self.kids(self.client(server))
        rotation = threading.Thread(
            target=lambda: ids.extend(self.rotate() for _ in range(RETIRED_MAX)))
        rotation.start()
        backups = [self.place / f"backup{i}" for i in range(RETIRED_MAX)]
        for backup in backups:
            self.sluice("backup", self.sample, backup)
        rotation.join()
        self.assertEqual(len(ids), 1 + RETIRED_MAX)
        server.stop()
        for backup in backups:
            restored = backup.with_name("of-" + backup.name)
            self.sluice("restore", backup, restored)
            lines = map(json.loads, self.sluice("dump", restored).splitlines())
            kids = [line["kid"] for line in lines if line["kind"] == "key"]
            self.assertEqual(kids, ids[:len(kids)][::-1])

    def test_says_that_they_are_damaged(self):
        self.flip(self.file, 100)
        self.sluice("backup", self.sample, self.backup, expected=3)
        self.assertIn("the backup is durable, but damaged", self.errors)


class Look(KeysTest):
    def dump(self, *options, expected=0):
        output = self.sluice("dump", self.sample, *options, expected=expected)
        return [json.loads(line) for line in output.splitlines()]

    def test_names_the_keys_and_tells_no_secret(self):
        server = self.start()
        old, = self.kids(self.client(server))
        new = self.rotate()
        server.stop()
        self.assertIn(f"keys: webhooks are signed with {new}\n", self.sluice("fsck", self.sample))
        keys = [line for line in self.dump("--payload") if line["kind"] == "key"]
        self.assertEqual([(key["kid"], key["retired_ms"] > 0) for key in keys],
                         [(new, False), (old, True)])
        self.assertEqual({key for line in keys for key in line}, {"kind", "kid", "retired_ms"})

    def test_keys_are_of_no_shard(self):
        self.flip(self.file, 100)
        self.sluice("fsck", self.sample, "--shard", 0)
        for options in (("--shard", 0), ("--log",), ("--segments",)):
            self.assertNotIn("key", {line["kind"] for line in self.dump(*options)})

    def test_finds_damage(self):
        for at in (0, SECRETS.start, SECRETS.stop - 1, -1):
            self.flip(self.file, at)
            self.assertIn("error: KEYS at 0:", self.sluice("fsck", self.sample, expected=3))
            damage, = [line for line in self.dump(expected=3) if line["kind"] == "damage"]
            self.assertEqual(damage["file"], "KEYS")
            with self.assertRaisesRegex(AssertionError, "the signing key is damaged"):
                self.start()
            self.flip(self.file, at)
        self.sluice("fsck", self.sample)

    def test_finds_another_version(self):
        content = bytearray(self.file.read_bytes())
        content[VERSION_AT] += 1
        content[-4:] = crc32c(content[:-4]).to_bytes(4, "little")
        self.file.write_bytes(content)
        self.sluice("fsck", self.sample, expected=5)

    def test_finds_that_others_may_read_them(self):
        self.file.chmod(0o640)
        self.assertIn("chmod 600", self.sluice("fsck", self.sample, expected=3))
        with self.assertRaisesRegex(AssertionError, "others than its owner"):
            self.start()
        self.file.chmod(0o600)
        self.sluice("fsck", self.sample)

    def test_changes_nothing(self):
        self.file.unlink()
        self.assertIn("note: there are no KEYS", self.sluice("fsck", self.sample))
        self.assertNotIn("key", {line["kind"] for line in self.dump()})
        self.assertFalse(self.file.exists())


if __name__ == "__main__":
    unittest.main()

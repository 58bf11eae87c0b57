"""sluice dump: everything is there, as valid JSON."""
import base64
import json
import unittest
import urllib.parse

from case import ToolTest


class Dump(ToolTest):
    def lines(self, *options, expected=0):
        output = self.sluice("dump", self.sample, *options, expected=expected)
        return [json.loads(line) for line in output.splitlines()]

    def test_has_every_stream_with_every_byte(self):
        own, base = {}, {}
        names = {}
        for line in self.lines("--payload"):
            if line["kind"] in ("entry", "create"):
                names[line["stream_id"]] = line["name"]
                base[line["name"]] = line["base"]
            if line["kind"] == "payload" or line.get("payload") is not None:
                data = base64.b64decode(line["payload"], validate=True)
                self.assertEqual(len(data), line["size"])
                own.setdefault(line["stream_id"], {})[line["offset"]] = data
        by_name = {}
        for stream_id, name in names.items():
            position = base[name]
            parts = own.get(stream_id, {})
            content = b""
            while position in parts:
                content += parts[position]
                position += len(parts[position])
            by_name[name] = content
        for name, content in self.content.items():
            name = urllib.parse.unquote(name) if "%" not in name else name
            self.assertTrue(by_name[name] == content[base[name]:], name)

    def test_has_producers_and_closed_flags(self):
        lines = self.lines()
        producers = {line["producer"] for line in lines if "producer" in line}
        producers |= {p["id"] for line in lines for p in line.get("producers", [])}
        self.assertEqual(producers, {"p\xe4\"\\"})
        closed = [line["name"] for line in lines if line.get("closed") or
                  (line["kind"] == "create" and line["close"])]
        self.assertIn("closed", closed)

    def test_has_no_payload_unless_asked(self):
        self.assertFalse([line for line in self.lines() if "payload" in line])

    def test_chooses(self):
        log = {"create", "append", "remove", "touch", "log_end"}
        self.assertFalse(log & {line["kind"] for line in self.lines("--segments")})
        self.assertTrue({line["kind"] for line in self.lines("--log")} <= log | {"shard"})
        self.assertEqual({line["shard"] for line in self.lines("--shard", 1)}, {1})

    def test_goes_on_behind_damage(self):
        self.flip(self.segments(0)[0], -1)
        lines = self.lines(expected=3)
        self.assertIn("damage", {line["kind"] for line in lines})
        self.assertEqual(len([line for line in lines if line["kind"] == "log_end"]), 2)


if __name__ == "__main__":
    unittest.main()

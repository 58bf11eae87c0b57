#!/usr/bin/env python3
"""kill -9 while streams grow and workers claim and ack, and see that no wake is lost.

Writers append to streams that two patterns match; a worker per subscription claims, acks what it
was told, and reports done or lets go. After each kill every subscription must
  - have, in each stream, a cursor that is not before the last ack that was answered, nor behind
    what was asked for at all, nor beyond the tail of the stream;
  - have a generation that is not before the last one that anybody saw;
  - be awake, with an event in its wake stream that says so, if a cursor is before its tail;
and at the end, when the workers have been through, each cursor stands at its tail.
"""
import argparse
import json
import pathlib
import random
import sys
import tempfile
import threading
import time

from client import Broken, Client, position_of, token
from process import SMALL, Process

ROOT = "/v1/stream/"
JSON = {"Content-Type": "application/json"}
STREAMS, WRITERS = 12, 2
PATTERNS = ("load/*", "load/even/*", "**")
LEASE_MS = 2000
PATIENCE_S = 20
LOOK_AGAIN_S = 0.02  # the list of subscriptions cannot be waited for


def control(client, method, subscription, suffix="", body=None, bearer=None):
    headers = JSON if bearer is None else {**JSON, "Authorization": f"Bearer {bearer}"}
    data = None if body is None else json.dumps(body).encode()
    target = f"{ROOT}__ds/subscriptions/{subscription}{suffix}"
    return client.call(method, target, headers, data)


class Subscription:
    """What its worker and the checks know of it."""

    def __init__(self, index):
        self.id, self.wake_stream = f"sub-{index}", f"wake/{index}"
        self.pattern = PATTERNS[index % len(PATTERNS)]
        self.acked = {}      # stream -> position of the last ack that was answered, or the first
        self.asked = {}      # stream -> highest position that was asked for
        self.generation = 0  # highest that was seen
        self.wakes = 0

    def create(self, client):
        status = client.call("PUT", ROOT + self.wake_stream, JSON, b"[]").status
        body = {"type": "pull-wake", "pattern": self.pattern, "wake_stream": self.wake_stream,
                "lease_ttl_ms": LEASE_MS}
        answer = control(client, "PUT", self.id, body=body)
        if status != 201 or answer.status != 201:
            raise AssertionError(f"{self.id} cannot be made: {answer}")
        self.acked = self.cursors(client)

    def work(self, client, chance):
        """One claim and what follows. False: there was nothing to do."""
        answer = control(client, "POST", self.id, "/claim", {"worker": "w"})
        if answer.status == 409:
            return False
        wake = answer.json()
        if wake["generation"] < self.generation:
            raise AssertionError(f"{self.id}: generation {wake['generation']} after "
                                 f"{self.generation}")
        self.generation = wake["generation"]
        self.wakes += 1
        body = {"wake_id": wake["wake_id"], "generation": wake["generation"]}
        if chance.random() < 0.1:
            control(client, "POST", self.id, "/release", body, wake["token"])
            return True
        tails = {link["path"]: position_of(link["tail_offset"]) for link in wake["streams"]}
        for path, tail in tails.items():
            self.asked[path] = max(tail, self.asked.get(path, 0))
        acks = [{"stream": path, "offset": token(tail)} for path, tail in tails.items()]
        answer = control(client, "POST", self.id, "/ack", {**body, "acks": acks, "done": True},
                         wake["token"])
        if answer.status == 200:
            self.acked.update(tails)
        elif answer.status != 409:
            raise AssertionError(f"{self.id}: an ack was answered by {answer}")
        return True

    def cursors(self, client):
        answer = control(client, "GET", self.id)
        if answer.status != 200:
            raise AssertionError(f"{self.id} is gone: {answer}")
        offsets = {link["path"]: link["acked_offset"] for link in answer.json()["streams"]}
        return {path: -1 if offset == "-1" else position_of(offset)
                for path, offset in offsets.items()}


class Round:
    """One life of the server: load until it is killed, or until `stop`."""

    def __init__(self, port, subscriptions, seed):
        self.port, self.stop, self.failure = port, threading.Event(), None
        self.threads = [threading.Thread(target=self.guard, args=(self.write, seed + i))
                        for i in range(WRITERS)]
        self.threads += [threading.Thread(target=self.guard, args=(self.work, one, seed))
                         for one in subscriptions]
        for thread in self.threads:
            thread.start()

    def guard(self, target, *args):
        try:
            target(*args)
        except Broken:
            """The server was killed."""
        except Exception as failure:  # noqa: BLE001 - whatever it was, the round has failed
            self.failure = failure

    def write(self, seed):
        chance, client = random.Random(seed), Client(self.port)
        while not self.stop.is_set():
            path = stream_name(chance.randrange(STREAMS))
            answer = client.call("POST", ROOT + path, {"Content-Type": "text/plain"}, b"x" * 10)
            if answer.status == 404:
                client.call("PUT", ROOT + path, {"Content-Type": "text/plain"}, b"first")
        client.close()

    def work(self, subscription, seed):
        chance, client = random.Random(f"{seed} {subscription.id}"), Client(self.port)
        while not self.stop.is_set():
            subscription.work(client, chance)
        client.close()

    def join(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if self.failure is not None:
            raise self.failure


def stream_name(index):
    return f"load/even/{index}" if index % 2 == 0 else f"load/{index}"


def tail_of(client, path):
    return position_of(client.call("HEAD", ROOT + path)["stream-next-offset"])


def is_woken(client, subscription):
    """It is awake, and whoever reads its wake stream knows."""
    page = client.call("GET", "/subscriptions").json()["subscriptions"]
    state = next(one for one in page if one["id"] == subscription.id)
    events = client.call("GET", ROOT + subscription.wake_stream).json()
    return state["state"] == "waking" and any(
        event["generation"] == state["generation"] for event in events)


def check(client, subscription):
    """After a restart, before anybody works. Returns whether there was something pending."""
    cursors = subscription.cursors(client)
    tails = {path: tail_of(client, path) for path in cursors}
    for path, at in subscription.acked.items():
        if cursors.get(path, -2) < at:
            raise AssertionError(f"{subscription.id}: {path} at {cursors.get(path)} after an ack "
                                 f"of {at}")
    for path, at in cursors.items():
        if at > max(subscription.asked.get(path, -1), subscription.acked.get(path, -1)):
            raise AssertionError(f"{subscription.id}: {path} at {at}, which nobody acked")
        if at > tails[path]:
            raise AssertionError(f"{subscription.id}: {path} at {at}, beyond {tails[path]}")
    if all(at >= tails[path] for path, at in cursors.items()):
        return False
    deadline = time.monotonic() + PATIENCE_S
    while not is_woken(client, subscription):
        if time.monotonic() > deadline:
            raise AssertionError(f"{subscription.id} is pending, and nobody is woken")
        time.sleep(LOOK_AGAIN_S)
    return True


def drain(client, subscription, chance):
    """Works until nothing is left: then each cursor is at its tail."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        subscription.work(client, chance)
        cursors = subscription.cursors(client)
        if cursors and all(at == tail_of(client, path) for path, at in cursors.items()):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{subscription.id} never comes to its end: {cursors}")


def run(args, folder):
    options = (*SMALL, "--shards", 2, "--acceptors", 2)
    log = folder / "log"
    subscriptions = [Subscription(i) for i in range(args.subscriptions)]
    chance, woken = random.Random(args.seed), 0
    process = Process(args.binary, folder / "data", options, log).wait_ready()
    client = Client(process.port)
    for one in subscriptions:
        one.create(client)
    for cycle in range(args.cycles):
        load = Round(process.port, subscriptions, args.seed * 1000 + cycle)
        load.stop.wait(chance.uniform(0.05, 0.6))
        process.kill()
        load.join()
        process = Process(args.binary, folder / "data", options, log).wait_ready()
        client = Client(process.port)
        for one in subscriptions:
            woken += check(client, one)
    for one in subscriptions:
        drain(client, one, chance)
    client.close()
    code = process.terminate()
    if code != 0:
        raise AssertionError(f"exit code {code}: {process.last_lines()}")
    return woken, sum(one.wakes for one in subscriptions)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--subscriptions", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    base = pathlib.Path(args.binary).resolve().parent
    with tempfile.TemporaryDirectory(dir=base) as folder:
        try:
            woken, wakes = run(args, pathlib.Path(folder))
        except AssertionError as failure:
            print(f"subscriptions: FAILED with seed {args.seed}: {failure}")
            return 1
    print(f"subscriptions: {args.cycles} kills, {wakes} wakes, {woken} times pending after a kill, "
          "nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())

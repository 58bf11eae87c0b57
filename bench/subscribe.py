"""Makes subscriptions, before anything is measured."""
import http.client
import json

STREAMS_EACH = 10


def subscribe(running, streams):
    """A pull-wake subscription for each ten streams of the set `s`; those that are there stay."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port)
    for first in range(0, streams, STREAMS_EACH):
        names = [f"s/{i}" for i in range(first, min(first + STREAMS_EACH, streams))]
        body = {"type": "pull-wake", "streams": names, "wake_stream": "wake"}
        path = f"{running.subject.path}__ds/subscriptions/{first}"
        connection.request("PUT", path, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"PUT {path}: {answer.status} {text}")
    connection.close()

"""Runs the load generator against a server and reads what both used meanwhile."""
import json
import subprocess
import threading

import machine
import server

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1}
DEADLINE_S = 600  # of one run of the generator: a server that answers no more must not hold us


class LoadFailed(Exception):
    """The generator could not do its work at all."""


class Load:
    """The generator with what is the same for all its runs."""

    def __init__(self, binary, cores=(), threads=1, warmup_ms=500, measure_ms=2000):
        self.binary, self.cores, self.threads = str(binary), cores, threads
        self.warmup_ms, self.measure_ms = warmup_ms, measure_ms

    def command(self, running, words, measure_ms=None):
        """`measure_ms` 0: until the roles with a count are done; None: as long as all others."""
        measure_ms = self.measure_ms if measure_ms is None else measure_ms
        return [*running.priority, self.binary, f"port={running.port}",
                f"path={running.subject.path}", f"threads={self.threads}",
                f"warmup-ms={self.warmup_ms}", f"measure-ms={measure_ms}", *words.split()]

    def run_to_end(self, running, words):
        """Until the roles with a count are done."""
        return self.run(running, words, measure_ms=0)

    def run(self, running, words, measure_ms=None):
        """Loads, and returns what the generator printed, with `server`: seconds of processor of its
        threads within the measurement, and its memory at the end.
        """
        command = self.command(running, words, measure_ms)
        with server.on_cores(self.cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        try:
            return self._watch(process, running, command)
        finally:
            deadline.cancel()

    @staticmethod
    def _watch(process, running, command):
        said, before, used, rss, busy_s = [], {}, {}, 0, 0
        for line in process.stderr:
            if line == "start\n":
                before, busy_s = running.cpu_s(), machine.busy_s()
            elif line == "end\n":
                used = {name: s - before.get(name, 0) for name, s in running.cpu_s().items()}
                busy_s, rss = machine.busy_s() - busy_s, running.rss_bytes()
            else:
                said.append(line)
        output = process.stdout.read()
        if process.wait() != 0:
            raise LoadFailed(f"{command}\n{''.join(said)}\n{running.said()}")
        result = json.loads(output)
        result["server"] = {"cpu_s": used, "rss_bytes": rss}
        result["others_cpu_s"] = max(busy_s - sum(used.values()) - result["cpu_seconds"], 0)
        result["command"] = command
        return result


def errors(result, tolerates=()):
    """What went wrong, as text; empty: nothing. `tolerates` are statuses and counts of the first
    role.

    What was not answered in time is no error but slow: it counts among the latencies.
    """
    found = []
    for n, role in enumerate(result["roles"]):
        bad = {status: n for status, n in role["status"].items()
               if not status.startswith("2") and status != "304"}
        bad |= {name: role[name] for name in ("refused", "lost", "bad") if role[name]}
        bad = {name: count for name, count in bad.items() if n > 0 or name not in tolerates}
        if bad:
            found.append(f"{role['role']}: {bad}")
    return "; ".join(found)


def _latencies(histogram, prefix, arrived=1):
    """The percentiles of a histogram from which all but a share `arrived` is missing: what is
    missing took longer than everything that is there, so percentiles beyond are not known."""
    return {f"{prefix}{name}_us": histogram[name] for name, share in PERCENTILES.items()
            if histogram["count"] and arrived >= share}


def _role_metrics(role, before, seconds):
    """The figures of a role; `before` is the role before it, which appends if this one is live."""
    found = {"rate": role["rate"], "bytes_per_s": role["bytes_received"] / seconds,
             "unfinished": role["unfinished"],
             "least_share": role["connection_least"] / max(role["connection_most"], 1)}
    if "latency_us" in role:
        found |= _latencies(role["latency_us"], "")
        found |= _latencies(role["service_us"], "service_")
        return found
    if role["deliveries"]:
        found["delivery_rate"] = role["delivery_rate"]
    arrived = 1
    if before:
        wanted = before["latency_us"]["count"] * role["connections"] / role["streams"]
        arrived = found["delivered_share"] = role["delivery_us"]["count"] / max(wanted, 1)
    return found | _latencies(role["delivery_us"], "delivery_", arrived)


def metrics(result):
    """The figures of a run by name; those of a second role are "2.NAME", and so on."""
    found, before = {}, None
    for n, role in enumerate(result["roles"], 1):
        prefix = f"{n}." if n > 1 else ""
        found |= {prefix + name: value
                  for name, value in _role_metrics(role, before, result["seconds"]).items()}
        before = role
    done = sum(role["operations"] + role.get("deliveries", 0) for role in result["roles"])
    cpu_s = sum(result["server"]["cpu_s"].values())
    if done > 0:
        found["cpu_us"] = cpu_s * 1e6 / done
        found["generator_cpu_us"] = result["cpu_seconds"] * 1e6 / done
    found["cpu_share"] = cpu_s / result["seconds"]
    found["generator_cpu_share"] = result["cpu_seconds"] / result["seconds"]
    found["others_cpu_share"] = result["others_cpu_s"] / result["seconds"]
    found["rss_bytes"] = result["server"]["rss_bytes"]
    return found

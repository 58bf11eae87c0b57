#!/usr/bin/env python3
"""Measures sluice beside its ceilings and rivals: ./dev bench [quick|rivals] [SCENARIO...]

Writes build/bench/DATE-COMMIT.json with every round, a Markdown table and plots beside it.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time

import machine
import report
import rivals
import scenarios
import server
from load import Load, LoadFailed

CORES = {
    # The generator and the subject never wait for each other's processor.
    "split": ((0,), (1,)),
    "free": ((), ()),
}


class Bench:
    """One run: how to start subjects and the generator."""

    def __init__(self, args, profile):
        self.args, self.profile = args, profile
        build = pathlib.Path(args.build)
        self.build = build
        load_cores, self.cores = CORES[args.pin]
        self.load = Load(build / "sluice-bench", load_cores, warmup_ms=profile.warmup_ms,
                         measure_ms=profile.measure_ms)
        self.subjects = {"sluice": server.Sluice(build / "sluice"),
                         "h2o": server.Ceiling("h2o", build),
                         "sse": server.Ceiling("sse", build)}

    def start(self, variant):
        running = server.Running(self.subjects[variant.subject], variant.mode, variant.options,
                                 self.cores, server.realtime() if variant.realtime else ())
        try:
            for words in variant.setup:
                scenarios.check(self.load.run_to_end(running, words))
        except BaseException:
            running.stop()
            raise
        return running

    def run_program(self, variant):
        """A ceiling that prints its figures by itself."""
        command = [str(self.build / f"{variant.subject}_ceiling"), *map(str, variant.options)]
        if variant.subject == "commit":
            command += ["--dir", str(server.BUILD / "bench")]
        with server.on_cores(self.cores if variant.subject == "commit" else ()):
            printed = json.loads(subprocess.run(command, check=True, capture_output=True,
                                                text=True).stdout)
        return report.program_metrics(printed), [{"command": command, "printed": printed}]

    def sample(self, variant, kept):
        """One round of one variant. Returns its metrics and the raw results."""
        if variant.mode == "program":
            return self.run_program(variant)
        running = kept.get(variant.label) or self.start(variant)
        try:
            measure = variant.measure or scenarios.measure
            found, raw = measure(variant, self.load, running, self.profile)
            return found, [{"subject": running.argv, **result} for result in raw]
        finally:
            if variant.label not in kept:
                running.stop()

    def round(self, scenario, variant, state):
        """One round of one variant. What goes wrong spoils only that variant."""
        if variant.label in state.wrong:
            return
        try:
            lives_on = scenario.keep and variant.mode != "program"
            if lives_on and variant.label not in state.kept:
                state.kept[variant.label] = self.start(variant)
            found, results = self.sample(variant, state.kept)
            if not {scenario.metric, scenario.ceiling_metric} & found.keys():
                raise scenarios.Errors(f"no {scenario.metric}")
        except (scenarios.Errors, LoadFailed, RuntimeError) as error:
            state.wrong[variant.label] = str(error)
            say(f"{scenario.name} {variant.label}: ERROR {error}")
            return
        state.samples[variant.label].append(found)
        state.raw[variant.label].append(results)
        say(f"{scenario.name} {variant.label}: {report.brief(scenario, found)}")

    def run(self, scenario):
        """All rounds, in which the variants take turns, beginning with another one each time."""
        state = State(scenario)
        variants = scenario.variants
        rounds = min(self.profile.rounds * scenario.rounds_times, scenario.rounds_max)
        pool = concurrent.futures.ThreadPoolExecutor(self.profile.jobs)
        try:
            for number in range(rounds):
                turn = number % len(variants)
                for done in [pool.submit(self.round, scenario, variant, state)
                             for variant in variants[turn:] + variants[:turn]]:
                    done.result()
        finally:
            pool.shutdown(cancel_futures=True)  # a signal ends the run, not only its variant
            for running in state.kept.values():
                running.stop()
        return report.scenario_result(scenario, state.samples, state.raw, state.wrong)


class State:
    """What the rounds of a scenario have brought so far, by label of the variant."""

    def __init__(self, scenario):
        self.samples = {variant.label: [] for variant in scenario.variants}  # metrics
        self.raw = {variant.label: [] for variant in scenario.variants}  # what was printed
        self.wrong = {}  # errors
        self.kept = {}  # servers that live through the rounds


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def positive(word):
    number = int(word)
    if number < 1:
        raise ValueError
    return number


def parse():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO",
                        help="of the list; with quick, rivals or smoke before them if wanted")
    parser.add_argument("--build", default=str(server.BUILD), help="folder of the programs")
    parser.add_argument("--pin", choices=CORES, default="free",
                        help="split: generator on one core, subject on another; see README")
    parser.add_argument("--rounds", type=positive, help="instead of the profile's")
    parser.add_argument("--measure-ms", type=positive, help="instead of the profile's")
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    return parser.parse_intermixed_args()


def chosen(args):
    """The profile and the scenarios that the words ask for."""
    words = list(args.names)
    kind = words.pop(0) if words and words[0] in ("quick", "rivals", "smoke") else "full"
    profile = scenarios.PROFILES[kind]
    changes = {"rounds": args.rounds, "measure_ms": args.measure_ms}
    profile = dataclasses.replace(
        profile, **{name: value for name, value in changes.items() if value})
    every = scenarios.scenarios(profile)
    unknown = set(words) - {s.name for s in every}
    if unknown:
        sys.exit(f"no such scenario: {' '.join(sorted(unknown))}\n"
                 f"there are: {' '.join(s.name for s in every)}")
    wanted = {"quick": lambda s: s.quick, "rivals": lambda s: s.rivals}.get(kind, lambda s: True)
    return kind, profile, [s for s in every if (s.name in words if words else wanted(s))]


def install_rivals():
    """Those that can be had, and why the others cannot."""
    had, missing = [], {}
    for rival in rivals.RIVALS:
        say(f"installing {rival.name}, unless it is there")
        try:
            rival.install()
            had.append(rival)
        except rivals.Unavailable as error:
            missing[rival.name] = str(error)
            say(f"{rival.name} cannot be had: {error}")
    return had, missing


def end_on_signal(number, _):
    """Servers are stopped and directories removed, as at any other end."""
    sys.exit(128 + number)


def main():
    args = parse()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_on_signal)
    kind, profile, picked = chosen(args)
    if args.list:
        print("\n".join(f"{s.name:20} {s.what}" for s in picked))
        return 0
    bench = Bench(args, profile)
    had, missing = install_rivals() if kind == "rivals" else ([], {})
    bench.subjects |= {rival.name: server.Rival(rival) for rival in had}
    picked = [scenarios.with_rivals(scenario, had) for scenario in picked]
    start = time.time()
    result = {"kind": kind, "profile": vars(profile), "pin": args.pin, "arguments": sys.argv[1:],
              "realtime": bool(server.realtime()),
              "machine": machine.fingerprint(server.BUILD), "commit": machine.commit(server.ROOT),
              "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
              "missing": missing, "scenarios": []}
    for scenario in picked:
        result["scenarios"].append(bench.run(scenario))
    result["seconds"] = time.time() - start
    folder = report.write(result, server.BUILD / "bench")
    if kind != "smoke":
        print(report.markdown(result))
    say(f"{result['seconds']:.0f} s; {folder}")
    wrong = [s["name"] for s in result["scenarios"] if s["errors"]]
    if wrong:
        say(f"FAILED: {' '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""What the bench suite makes of rounds, and whether its list of scenarios fits together."""
import pathlib
import sys
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import load  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402

RIVAL = types.SimpleNamespace(name="other", modes={"memory": "", "durable": ""}, scenarios=None)
SELECTIVE = types.SimpleNamespace(name="few", modes={"memory": ""}, scenarios=("fan-out",))


def every_scenario():
    for profile in scenarios.PROFILES.values():
        for scenario in scenarios.scenarios(profile):
            yield scenario
            yield scenarios.with_rivals(scenario, [RIVAL, SELECTIVE])


class ListTest(unittest.TestCase):
    def test_names_and_labels_are_unique(self):
        for profile in scenarios.PROFILES.values():
            names = [s.name for s in scenarios.scenarios(profile)]
            self.assertEqual(len(names), len(set(names)))
        for scenario in every_scenario():
            labels = [v.label for v in scenario.variants]
            self.assertEqual(len(labels), len(set(labels)), scenario.name)

    def test_bars_are_about_variants_that_exist(self):
        for scenario in every_scenario():
            labels = {v.label for v in scenario.variants}
            for bar in scenario.bars:
                about = {bar.of, bar.over or bar.of, bar.plus[0] if bar.plus else bar.of}
                self.assertLessEqual(about, labels, scenario.name)
                self.assertTrue(bar.at_least is None or bar.at_most is None, bar.what)

    def test_ceilings_exist(self):
        for scenario in every_scenario():
            if scenario.ceiling:
                self.assertIn(scenario.ceiling,
                              {f"{v.subject}-{v.mode}" for v in scenario.variants})

    def test_rivals_do_what_ours_does_in_the_mode_that_is_worth_the_same(self):
        profile = scenarios.PROFILES["rivals"]
        for scenario in scenarios.scenarios(profile):
            for variant in scenarios.with_rivals(scenario, [RIVAL]).variants:
                if variant.subject == "other":
                    ours = {(v.mode, v.case): v for v in scenario.variants
                            if v.subject == "sluice"}[variant.mode, variant.case]
                    self.assertEqual((variant.load, variant.setup), (ours.load, ours.setup))

    def test_a_rival_of_another_protocol_is_asked_only_for_what_it_can_do(self):
        for scenario in scenarios.scenarios(scenarios.PROFILES["rivals"]):
            subjects = {v.subject for v in scenarios.with_rivals(scenario, [SELECTIVE]).variants}
            self.assertEqual("few" in subjects, scenario.name == "fan-out")


def bar(**more):
    return scenarios.Bar("share", "rate", "a", "b", **more)


class BarTest(unittest.TestCase):
    def test_compares_within_rounds(self):
        # The ratio of the medians would be 1.
        samples = {"a": [{"rate": 1}, {"rate": 20}, {"rate": 300}],
                   "b": [{"rate": 2}, {"rate": 400}, {"rate": 20}]}
        found = report.bar_result(bar(at_least=0.5), samples)
        self.assertEqual(found["rounds"], [0.5, 0.05, 15])
        self.assertEqual((found["median"], found["least"], found["most"]), (0.5, 0.05, 15))

    def test_reaches_exactly_its_limit_and_not_less(self):
        for value, least, most in ((99, False, True), (100, True, True), (101, True, False)):
            samples = {"a": [{"rate": value}], "b": [{"rate": 100}]}
            self.assertEqual(report.bar_result(bar(at_least=1), samples)["reached"], least)
            self.assertEqual(report.bar_result(bar(at_most=1), samples)["reached"], most)

    def test_adds_what_it_is_compared_with(self):
        samples = {"a": [{"rate": 6}], "b": [{"rate": 1}], "c": [{"p50_us": 2}]}
        found = report.bar_result(bar(plus=("c", "p50_us"), at_most=2), samples)
        self.assertEqual(found["median"], 2)

    def test_without_a_figure_it_is_not_reached(self):
        for samples in ({"a": [], "b": []}, {"a": [{"rate": 1}], "b": []},
                        {"a": [{"rate": 1}], "b": [{"rate": 0}]}):
            found = report.bar_result(bar(at_least=1), samples)
            self.assertNotIn("median", found)
            self.assertIn("not measured", report._bar_row("s", found))


    def test_with_a_round_that_has_no_figure_it_is_not_reached(self):
        samples = {"a": [{"rate": 9}, {}, {"rate": 9}], "b": [{"rate": 1}] * 3}
        found = report.bar_result(bar(at_least=1), samples)
        self.assertNotIn("median", found)
        row = report._bar_row("s", found)
        self.assertIn("not measured in 1 of 3 rounds", row)
        self.assertIn("NO", row)

    def test_one_for_information_is_neither_reached_nor_missed(self):
        samples = {"a": [{"rate": 1}], "b": [{"rate": 2}]}
        row = report._bar_row("s", report.bar_result(bar(), samples))
        self.assertIn("0.5", row)
        self.assertTrue(row.endswith("|  |  |"), row)


class ScenarioTest(unittest.TestCase):
    def found(self, wrong):
        variants = (scenarios.Variant("a", "m"), scenarios.Variant("b", "m"))
        bars = (scenarios.Bar("share", "rate", "a-m", "b-m", at_least=1),)
        scenario = scenarios.Scenario("s", "what", variants, bars, ceiling="b-m")
        samples = {"a-m": [{"rate": 2}, {"rate": 2}], "b-m": [{"rate": 1}]}
        return report.scenario_result(scenario, samples, {"a-m": [1, 2], "b-m": [1]}, wrong)

    def test_a_variant_that_failed_in_a_later_round_has_no_figures_and_no_bar(self):
        for label in ("a-m", "b-m"):
            found = self.found({label: "lost"})
            self.assertNotIn("median", found["bars"][0])
            self.assertIsNone(found["variants"][0]["ceiling_share"])
            failed, = (v for v in found["variants"] if v["label"] == label)
            self.assertEqual((failed["metrics"], failed["error"]), ({}, "lost"))

    def test_the_others_have_theirs(self):
        self.assertTrue(self.found({})["bars"][0]["reached"])
        self.assertEqual(self.found({})["variants"][0]["ceiling_share"]["median"], 2)
        self.assertEqual(self.found({"b-m": "lost"})["variants"][0]["metrics"]["rate"]["median"], 2)


class ErrorTest(unittest.TestCase):
    @staticmethod
    def result(**role):
        none = {"role": "append", "status": {}, "refused": 0, "lost": 0, "bad": 0}
        return {"roles": [none | role]}

    def test_success_and_not_modified_are_none(self):
        self.assertEqual(load.errors(self.result(status={"200": 1, "204": 2, "304": 3})), "")

    def test_everything_else_is_one_unless_it_is_tolerated(self):
        for wrong in ({"status": {"503": 1}}, {"status": {"404": 1}}, {"refused": 1},
                      {"lost": 1}, {"bad": 1}):
            self.assertNotEqual(load.errors(self.result(**wrong)), "")
        self.assertEqual(load.errors(self.result(status={"503": 1}), ("503",)), "")

    def test_it_is_tolerated_of_the_first_role_only(self):
        refused = self.result(status={"503": 1})["roles"]
        good = self.result(status={"200": 1})["roles"]
        self.assertEqual(load.errors({"roles": refused + good}, ("503",)), "")
        self.assertNotEqual(load.errors({"roles": good + refused}, ("503",)), "")


class LatencyTest(unittest.TestCase):
    HISTOGRAM = {"count": 1, "p50": 1, "p90": 2, "p99": 3, "p99.9": 4, "max": 5}

    def known(self, arrived, **more):
        return list(load._latencies(self.HISTOGRAM | more, "", arrived))

    def test_nothing_is_known_beyond_what_arrived(self):
        self.assertEqual(self.known(1), ["p50_us", "p90_us", "p99_us", "p99.9_us", "max_us"])
        self.assertEqual(self.known(0.99), ["p50_us", "p90_us", "p99_us"])
        self.assertEqual(self.known(0.989), ["p50_us", "p90_us"])
        self.assertEqual(self.known(0.499), [])

    def test_nothing_is_known_of_an_empty_one(self):
        self.assertEqual(self.known(1, count=0), [])


class CommandTest(unittest.TestCase):
    def words(self, priority=()):
        subject = types.SimpleNamespace(path="/v1/")
        running = types.SimpleNamespace(priority=priority, port=4437, subject=subject)
        return load.Load("generator", warmup_ms=500).command(running, "warmup-ms=7 read")

    def test_the_warm_up_of_a_scenario_comes_after_that_of_the_profile_and_counts(self):
        words = self.words()
        self.assertLess(words.index("warmup-ms=500"), words.index("warmup-ms=7"))
        self.assertLess(words.index("warmup-ms=7"), words.index("read"))

    def test_the_generator_runs_with_the_priority_of_the_subject(self):
        self.assertEqual(self.words()[0], "generator")
        self.assertEqual(self.words(("chrt", "1"))[:3], ["chrt", "1", "generator"])


class QuantityTest(unittest.TestCase):
    def test_has_its_unit(self):
        for metric, value, text in (
                ("rate", 12345.6, "12,346/s"), ("p50_us", 999.5, "999.5 µs"),
                ("p99.9_us", 1500, "1.50 ms"), ("2.delivery_p99.9_us", 1500, "1.50 ms"),
                ("2.delivery_rate", 10, "10/s"), ("bytes_per_s", 3 << 20, "3 MiB/s"),
                ("rss_bytes", 3 << 19, "1.5 MiB"), ("bytes_each", 400, "400 B"),
                ("cpu_share", 0.031, "3.1 %"), ("ready_s", 0.25, "0.250 s")):
            self.assertEqual(report.quantity(metric, value), text)


if __name__ == "__main__":
    unittest.main()

"""Turns rounds into medians, shares and bars; writes JSON, a Markdown table and plots."""
import json
import pathlib
import shutil
import statistics
import subprocess
import textwrap
import time

MIB = 1 << 20
PLOT_SIZE = "800,500"
TITLE_WIDTH = 80  # characters of a line of that width
TITLES = {"rate": "operations per second", "bytes_per_s": "bytes per second",
          "2.delivery_rate": "deliveries per second", "ready_s": "seconds to ready"}


def program_metrics(printed):
    """The figures of a ceiling that prints them itself, under the names of the generator's."""
    if "batches" in printed:
        one = printed["batches"][0]
        found = {"rate": one["writes_per_s"], "p50_us": one["p50_us"], "p99_us": one["p99_us"]}
        return found | {f"records_per_s_{b['records']}": b["records_per_s"]
                        for b in printed["batches"]}
    return {"rate": 0, "bytes_per_s": printed["loopback_bytes_per_s"],
            "memcpy_bytes_per_s": printed["memcpy_bytes_per_s"]}


def quantity(metric, value):
    """A figure with its unit."""
    name = metric.split(".")[-1] if not metric.endswith("99.9_us") else metric
    if name.endswith("bytes_per_s"):
        return f"{value / MIB:,.0f} MiB/s"
    if name == "rss_bytes":
        return f"{value / MIB:,.1f} MiB"
    if name == "bytes_each":
        return f"{value:,.0f} B"
    if name.endswith("_us"):
        return f"{value / 1000:,.2f} ms" if value >= 1000 else f"{value:,.1f} µs"
    if name.endswith("share"):
        return f"{value * 100:.1f} %"
    if name == "ready_s":
        return f"{value:.3f} s"
    return f"{value:,.0f}/s"


def brief(scenario, found):
    """One line about one round."""
    names = dict.fromkeys((scenario.metric, "rate", "p50_us", "p99_us", "cpu_us"))
    return ", ".join(f"{name} {quantity(name, found[name])}" for name in names if name in found)


def spread(values):
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def _compared(bar, samples, n):
    """What the bar is about, in round n; None: there is no figure."""
    value = samples[bar.of][n].get(bar.metric)
    if value is None or not bar.over:
        return value
    base = samples[bar.over][n].get(bar.over_metric or bar.metric)
    if base is not None and bar.plus:
        label, metric = bar.plus
        base += samples[label][n].get(metric, 0) if samples.get(label) else 0
    return value / base if base else None


def bar_result(bar, samples):
    """The bar with what was reached: the median over the rounds of the ratio within a round. With a
    round that has no figure there is none: what is missing may be the worst."""
    labels = [label for label in (bar.of, bar.over, bar.plus[0] if bar.plus else "") if label]
    rounds = min((len(samples.get(label, [])) for label in labels), default=0)
    values = [_compared(bar, samples, n) for n in range(rounds)]
    found = {"what": bar.what, "metric": bar.metric, "of": bar.of, "over": bar.over,
             "at_least": bar.at_least, "at_most": bar.at_most, "rounds": values}
    if values and None not in values:
        found |= spread(values)
        found["reached"] = ((bar.at_least is None or found["median"] >= bar.at_least) and
                            (bar.at_most is None or found["median"] <= bar.at_most))
    return found


def _share(scenario, variant, samples):
    """Of the ceiling with the same case, or of the one for all cases, round by round."""
    labels = "/".join(filter(None, (scenario.ceiling, variant.case))), scenario.ceiling
    if variant.label in labels or variant.beside:
        return None
    metric = scenario.ceiling_metric or scenario.metric
    theirs = samples.get(labels[0]) or samples.get(labels[1], [])
    values = [a[scenario.metric] / b[metric] for a, b in zip(samples[variant.label], theirs)
              if scenario.metric in a and b.get(metric)]
    return spread(values) if values else None


def scenario_result(scenario, samples, raw, wrong):
    """Everything about a scenario, as it goes into the JSON. A variant that failed in one round has
    no figures, and no bar that needs them is reached."""
    samples = {label: [] if label in wrong else rounds for label, rounds in samples.items()}
    variants = []
    for variant in scenario.variants:
        rounds = samples[variant.label]
        # A figure that is missing in one round would be flattered by the others.
        names = [name for name in (rounds[0] if rounds else ())
                 if all(name in found for found in rounds)]
        variants.append({
            "label": variant.label, "subject": variant.subject, "mode": variant.mode,
            "case": variant.case, "x": variant.x, "load": variant.load,
            "setup": variant.setup, "options": variant.options,
            "metrics": {name: spread([r[name] for r in rounds]) for name in names},
            "ceiling_share": _share(scenario, variant, samples),
            "rounds": rounds, "raw": raw[variant.label], "error": wrong.get(variant.label)})
    return {"name": scenario.name, "what": scenario.what, "metric": scenario.metric,
            "ceiling_metric": scenario.ceiling_metric, "latency": scenario.latency,
            "axis": scenario.axis, "variants": variants, "errors": wrong,
            "bars": [bar_result(bar, samples) for bar in scenario.bars]}


# ---- Markdown --------------------------------------------------------------------------------

COLUMNS = ("p50_us", "p99_us", "p99.9_us", "cpu_us", "rss_bytes")


def _cell(variant, name):
    found = variant["metrics"].get(name)
    return quantity(name, found["median"]) if found else ""


def _row(scenario, variant):
    if variant["error"]:
        return f"| {variant['label']} | error: {variant['error'].splitlines()[0][:80]} |||||||"
    found = variant["metrics"]
    metric = scenario["metric"] if scenario["metric"] in found else scenario["ceiling_metric"]
    main = found.get(metric)
    if main is None:
        return f"| {variant['label']} | |||||||"
    value = f"{quantity(metric, main['median'])} ({quantity(metric, main['least'])} to " \
            f"{quantity(metric, main['most'])})"
    share = f"{variant['ceiling_share']['median']:.2f}" if variant["ceiling_share"] else ""
    cells = [_cell(variant, (scenario["latency"] if name.startswith("p") else "") + name)
             for name in COLUMNS]
    return f"| {variant['label']} | {value} | {share} | " + " | ".join(cells) + " |"


def _bar_row(name, bar):
    wanted = f"at least {bar['at_least']:g}" if bar["at_least"] is not None else \
        f"at most {bar['at_most']:g}" if bar["at_most"] is not None else ""
    if "median" not in bar:
        missing = bar["rounds"].count(None)
        got = "not measured" + (f" in {missing} of {len(bar['rounds'])} rounds" if missing else "")
        return f"| {name}: {bar['what']} | {got} | {wanted} | {'NO' if wanted else ''} |"
    got = f"{bar['median']:.3g} ({bar['least']:.3g} to {bar['most']:.3g})"
    reached = ("yes" if bar["reached"] else "NO") if wanted else ""
    return f"| {name}: {bar['what']} | {got} | {wanted} | {reached} |"


def _others(result):
    """How much of a core others used meanwhile: with much of it the figures say little."""
    shares = [r["others_cpu_share"] for s in result["scenarios"] for v in s["variants"]
              for r in v["rounds"] if "others_cpu_share" in r]
    if not shares:
        return ""
    return f" Others used {statistics.median(shares):.2f} of a core meanwhile (median), " \
           f"{max(shares):.2f} at most."


def markdown(result):
    """The tables of a run."""
    found = result["machine"]
    lines = [f"{result['started']}, commit {result['commit']}, {found['cores']} x {found['cpu']}, "
             f"{found['memory_bytes'] >> 30} GiB, Linux {found['kernel']}, {found['file_system']}; "
             f"rounds of {result['profile']['measure_ms']} ms, "
             f"pin {result['pin']}.{_others(result)}", ""]
    if not result["realtime"]:
        lines[0] += " Real-time priority is not allowed here: nothing was measured with it."
    bars = [_bar_row(s["name"], bar) for s in result["scenarios"] for bar in s["bars"]]
    if bars:
        lines += ["| bar | median (range) | wanted | reached |", "|---|---|---|---|", *bars, ""]
    lines += [f"{name} could not be had: {why}" for name, why in result["missing"].items()]
    for scenario in result["scenarios"]:
        rounds = max((len(variant["rounds"]) for variant in scenario["variants"]), default=0)
        lines += [f"**{scenario['name']}**: {scenario['what']}; rounds: {rounds}", "",
                  f"| variant | {scenario['metric']}: median (range) | of ceiling | p50 | p99 | "
                  "p99.9 | CPU each | RSS |", "|---|---|---|---|---|---|---|---|",
                  *(_row(scenario, variant) for variant in scenario["variants"]), ""]
    return "\n".join(lines)


# ---- plots -----------------------------------------------------------------------------------

def _series(scenario):
    """subject and mode -> [(x, median, least, most)]"""
    series = {}
    for variant in scenario["variants"]:
        found = variant["metrics"].get(scenario["metric"])
        if found and variant["x"]:
            series.setdefault(f"{variant['subject']} {variant['mode']}", []).append(
                (variant["x"], found["median"], found["least"], found["most"]))
    return {name: sorted(points) for name, points in series.items()}


def _gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def _title(text):
    """In lines that fit above a plot."""
    return "\\n".join(textwrap.wrap(text, TITLE_WIDTH))


def _axes_plot(scenario):
    blocks, plots = [], []
    for n, (name, points) in enumerate(_series(scenario).items()):
        rows = "\n".join(" ".join(map(str, point)) for point in points)
        blocks.append(f"$d{n} << E\n{rows}\nE\n")
        plots.append(f"$d{n} using 1:2:3:4 with yerrorlines title '{name}' lw 2")
    return "".join(blocks) + (
        f"set logscale x\nset xlabel '{scenario['axis']}'\n"
        f"set ylabel '{TITLES.get(scenario['metric'], scenario['metric'])}'\n"
        f"set yrange [0:*]\nset title \"{_title(scenario['what'])}\"\nset key below\nset grid\n"
        f"plot {', '.join(plots)}\n")


def _latency_plot(scenario):
    blocks, plots = [], []
    for n, variant in enumerate(scenario["variants"]):
        names = ("p50_us", "p90_us", "p99_us", "p99.9_us", "max_us")
        found = [variant["metrics"].get(scenario["latency"] + name) for name in names]
        rows = [f"{k} {values['median'] / 1000}" for k, values in enumerate(found)
                if values and values["median"] > 0]
        if not rows:
            continue
        blocks.append(f"$d{n} << E\n" + "\n".join(rows) + "\nE\n")
        plots.append(f"$d{n} using 1:2 with linespoints title '{variant['label']}' lw 2")
    if not plots:
        return None
    return "".join(blocks) + (
        "set xtics ('p50' 0, 'p90' 1, 'p99' 2, 'p99.9' 3, 'max' 4)\nset ylabel 'ms'\n"
        f"set logscale y\nset title \"{_title('latency: ' + scenario['what'])}\"\n"
        "set key below\nset grid\n"
        f"plot {', '.join(plots)}\n")


def plots(result, folder):
    """SVG and PNG of every scenario: by its axis if it has one, and its latencies."""
    if shutil.which("gnuplot") is None:
        raise RuntimeError("gnuplot is not installed")
    for scenario in result["scenarios"]:
        kinds = {"latency": _latency_plot(scenario)}
        if scenario["axis"] and _series(scenario):
            kinds["axis"] = _axes_plot(scenario)
        for kind, script in kinds.items():
            for suffix, terminal in (("svg", "svg"), ("png", "pngcairo")):
                if script:
                    name = folder / f"{scenario['name']}-{kind}.{suffix}"
                    _gnuplot(f"set terminal {terminal} noenhanced size {PLOT_SIZE}\n"
                             f"set output '{name}'\n{script}")


def write(result, folder):
    """JSON, table and plots of a run. Returns where they are."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    name = f"{stamp}-{result['commit']}"
    folder = pathlib.Path(folder) / name
    folder.mkdir(parents=True)
    (folder.parent / f"{name}.json").write_text(json.dumps(result, indent=1))
    (folder / "table.md").write_text(markdown(result) + "\n")
    if result["kind"] != "smoke":
        plots(result, folder)
    return folder

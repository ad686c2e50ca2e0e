"""The table: one row for each proxy of each scenario, readable in a terminal and as Markdown."""

import statistics
from dataclasses import dataclass

from spec import CPU

COLUMNS = ("scenario", "proxy", "figure", "ours / it", "must hold", "", "requests/s", "p50 us", "p99 us", "memory MiB", "each unit")

LEGEND = """\
How to read it. The figure is CPU time of the proxy's processes per request in microseconds (user + system, the whole tree of
processes, control included) unless it names another unit: the median of rounds in which all proxies of a scenario take turns, with
the lowest and the highest in brackets. "ours / it" is the median of the ratios of the rounds; beside a proxy of others it divides
our figure of that scenario by theirs, beside one of ours it names our own case that it is divided by. Latencies are taken at one
fixed rate for all proxies of a scenario, half of the throughput of the slowest. Throughput with a * was limited by the load, which
has one core too; compare CPU there, not throughput. Ours and Envoy add x-request-id and the like to each request; nginx, HAProxy and
the bare pingora-proxy only forward. Memory is the proportional set size of what carries traffic, then + that of
control and `up`. "each unit" is the cost of one more route, host, upstream or connection."""


@dataclass(frozen=True)
class Verdict:
    """A bound with what came of it."""

    scenario: str
    what: str
    limit: str
    got: str
    held: bool | None  # None: could not be judged


def ratio(one, other):
    """Median, lowest and highest of the rounds' ratios."""
    each = sorted(a / b if b else float("inf") for a, b in zip(one.figures, other.figures))
    return (statistics.median(each), each[0], each[-1]) if each else None


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def share(value):
    """A ratio, with a digit more where two would say nothing."""
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def spread(values):
    ordered = sorted(values)
    middle = number(statistics.median(ordered))
    return middle if len(ordered) < 2 else f"{middle} ({number(ordered[0])}-{number(ordered[-1])})"


def judge(scenario, bound, measured):
    """The texts for "ours / it", "must hold" and the verdict, and the Verdict itself if there is a limit."""
    ours, other = measured.get(bound.case), measured.get(bound.to)
    what = f"{bound.case} / {bound.to}" if bound.to else bound.case
    if ours is None or (bound.to and other is None):
        verdict = Verdict(scenario.title, what, limit(scenario, bound), "not measured", None) if bound.most is not None else None
        return "", verdict
    if bound.to is None:
        value, shown = statistics.median(ours.figures), spread(ours.figures)
    else:
        value, low, high = ratio(ours, other)
        shown = share(value) if len(ours.figures) < 2 else f"{share(value)} ({share(low)}-{share(high)})"
    if bound.most is None:
        return shown, None
    return shown, Verdict(scenario.title, what, limit(scenario, bound), shown, round(value, 2) <= bound.most)


def limit(scenario, bound):
    return f"<= {bound.most:g}" + ("" if bound.to else f" {scenario.figure}")


def rows(scenario, measured):
    """The scenario's rows and verdicts."""
    cells, verdicts = [], []
    judged = {}
    for bound in scenario.bounds:
        shown, verdict = judge(scenario, bound, measured)
        if verdict:
            verdicts.append(verdict)
        # Beside the other proxy; beside our own case when it is compared with another of ours.
        mine = bound.to is None or bound.to.startswith("portcullis")
        if bound.to and mine and shown:
            shown += f" x {bound.to.removeprefix('portcullis ')}"
        elif bound.to is None:
            shown = ""
        judged.setdefault(bound.case if mine else bound.to, []).append((shown, verdict))
    title = scenario.title
    for case in scenario.cases:
        one = measured.get(case.key)
        if one is None:
            continue
        beside = judged.get(case.key, [])
        unit = "" if scenario.figure == CPU else f" {scenario.figure}"
        memory = "" if not one.memory else number(one.memory[0]) + (f" + {number(one.memory[1])}" if one.memory[1] else "")
        cells.append((
            title, case.key.replace(" ", ", ", 1), spread(one.figures) + unit,
            "; ".join(shown for shown, _ in beside if shown), "; ".join(verdict.limit for _, verdict in beside if verdict),
            "; ".join(word(verdict) for _, verdict in beside if verdict),
            f"{statistics.median(one.rates):.0f}{'*' if one.limited else ''}" if one.rates else "",
            number(statistics.median(one.median_us)) if one.median_us else "",
            number(statistics.median(one.p99_us)) if one.p99_us else "", memory, one.growth,
        ))
        title = ""
    return cells, verdicts


def word(verdict):
    return {True: "held", False: "**missed**", None: "not measured"}[verdict.held]


def change_rows(changes):
    """Rows of change.py: each {title, figure, unit, bound, held}."""
    cells, verdicts = [], []
    for row in changes:
        figure = row["figure"] if isinstance(row["figure"], str) else number(row["figure"])
        bound = row.get("bound")
        shown = "" if bound is None else bound if isinstance(bound, str) else f"<= {bound:g} {row['unit']}"
        verdict = Verdict(row["title"], "portcullis", shown, f"{figure} {row['unit']}", row.get("held")) if shown else None
        cells.append((row["title"], "portcullis", f"{figure} {row['unit']}", "", shown, word(verdict) if verdict else "", "", "", "", "", ""))
        verdicts += [verdict] if verdict else []
    return cells, verdicts


def table(cells):
    """Columns padded to the same width; those that are empty throughout are left out."""
    used = [index for index, name in enumerate(COLUMNS) if index < 3 or any(row[index] for row in cells)]
    lines = [[COLUMNS[index] for index in used], *([row[index] for index in used] for row in cells)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(used))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def summary(verdicts):
    """How many bounds held, and each that did not."""
    held = [verdict for verdict in verdicts if verdict.held]
    missed = [verdict for verdict in verdicts if verdict.held is False]
    unknown = [verdict for verdict in verdicts if verdict.held is None]
    lines = [f"{len(held)} of {len(verdicts)} bounds held, {len(missed)} missed, {len(unknown)} could not be measured."]
    lines += [f"- missed: {v.scenario}: {v.what}: {v.got}, must be {v.limit}" for v in missed]
    lines += [f"- not measured: {v.scenario}: {v.what}, must be {v.limit}" for v in unknown]
    return "\n".join(lines)

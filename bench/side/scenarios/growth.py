"""Many routes, hosts and upstreams: the cost of finding the one, and the memory of each."""

from spec import Bound, Case, Load, Scenario, Spec

# Few connections: with 64 of them a proxy that looks at one route after the other answers none within a second.
CONNECTIONS = 16
# One round against another differs by a quarter on a machine that others share; the bounds are on a tenth.
TIMES = 3


def few(**how):
    return Load(connections=CONNECTIONS, paced=False, **how)


def service(number):
    return few(path=f"/service-{number}/")


def routes(count):
    """First, middle, last and none of many routes on one host."""
    spec = Spec(services=count)
    loads = {"first": service(0), "middle": service(count // 2), "last": service(count - 1), "none": few(path="/nowhere", status=404)}
    ours = [Case("portcullis", spec, load, f"{where} of {count:,}", count, "route") for where, load in loads.items()]
    envoy = Case("envoy", spec, service(count - 1), f"last of {count:,}", count, "route")
    first = [Case(peer, Spec(), few(), "one route", units=1, unit="route") for peer in ("portcullis", "envoy")]
    bounds = [Bound(case.key, first[0].key, 1.10) for case in ours] + [Bound(ours[2].key, envoy.key, 0.15)]
    return Scenario(f"routes-{count}", f"{count:,} routes on one host", (*first, *ours, envoy), tuple(bounds), times=TIMES)


def many(name, unit, sizes, make, load):
    """One more thing of which there are many, at several sizes; ours and Envoy's."""
    cases = [Case(peer, make(size), load(size), f"{size:,} {unit}s", size, unit) for peer in ("portcullis", "envoy") for size in sizes]
    ours, envoys = cases[: len(sizes)], cases[len(sizes):]
    bounds = [Bound(case.key, ours[0].key, 1.10) for case in ours[1:]] + [Bound(ours[-1].key, envoys[-1].key)]
    return Scenario(name, f"{sizes[-1]:,} {unit}s", tuple(cases), tuple(bounds), times=TIMES)


SCENARIOS = [
    routes(10_000),
    routes(100_000),
    many("hosts", "host", (1, 1_000, 10_000), lambda n: Spec(hosts=n), lambda n: few(host=f"h{n - 1}.test")),
    many("upstreams", "upstream", (1, 1_000, 10_000), lambda n: Spec(services=n, upstreams=n), lambda n: service(n - 1)),
]

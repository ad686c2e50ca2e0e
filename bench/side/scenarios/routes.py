"""Many routes on one host, and many hosts: the cost of finding the one."""

from spec import Load, Route, Scenario, Spec


def many(count):
    return tuple(Route(f"/service-{n}/") for n in range(count))


SCENARIOS = [
    Scenario(
        f"routes-{count}-{where}", f"{count} routes, {where}", Spec(routes=many(count)), Load(path=f"/service-{index}/"),
        must={"baseline": 1.10, **({"envoy": 0.15} if where == "last" and count >= 10000 else {})},
        peers=("envoy", "nginx") if where == "last" else (), baseline="h1-keepalive",
    )
    for count in (100, 10000)
    for where, index in (("first", 0), ("middle", count // 2), ("last", count - 1))
] + [
    Scenario(
        "hosts-10000", "10000 hosts, the last one", Spec(hosts=10000), Load(host="h9999.test"),
        must={"baseline": 1.10}, peers=(), baseline="h1-keepalive",
    ),
]

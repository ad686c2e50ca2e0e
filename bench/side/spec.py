"""What a scenario says, in neutral terms: what is configured, how it is asked, what must hold.

Each peer renders a Spec in its own language, each load tool a Load in its own arguments.
"""

from dataclasses import dataclass

CPU = "us CPU/request"


@dataclass(frozen=True)
class Route:
    """One route of each host; the first match wins, in list order."""

    prefix: str = "/"
    headers: tuple = ()  # (name, exact value) pairs that must match
    rewrite: str | None = None  # prefix rewrite
    split: tuple = (100,)  # weights over backends, all of which are the same server
    set_headers: tuple = ()  # (name, value) pairs added to the request
    upstream: int = 0  # its number


@dataclass(frozen=True)
class Spec:
    """What the proxy is asked to do."""

    routes: tuple = (Route(),)
    services: int = 0  # when set: this many routes /service-N/ in place of `routes`, over the upstreams in turn
    hosts: int = 1  # virtual hosts h0.test, h1.test ... that all have these routes
    upstreams: int = 1  # all of them are the same server
    tls: bool = False
    backend: str = "http1"  # which server of peers/backend.py is the upstream: http1 or grpc
    telemetry: bool = False  # access log to a file, traces of 1 % of requests to a collector

    @property
    def h2_upstream(self):
        return self.backend == "grpc"

    @property
    def all_routes(self):
        if not self.services:
            return self.routes
        return tuple(Route(f"/service-{n}/", upstream=n % self.upstreams) for n in range(self.services))


@dataclass(frozen=True)
class Load:
    """How it is asked. `tool` is a function of load.py."""

    tool: str = "wrk"
    connections: int = 64
    streams: int = 32  # per connection of HTTP/2
    path: str = "/"
    host: str = "h0.test"
    headers: tuple = ()
    body: int = 0  # bytes that are posted
    grpc: bool = False
    status: int = 200  # what must come back
    paced: bool = True  # measure latency at a fixed rate as well


@dataclass(frozen=True)
class Case:
    """One row of the table: a proxy, what it does and how it is asked. Cases of a scenario alternate in each round."""

    peer: str
    spec: Spec = Spec()
    load: Load = Load()
    label: str = ""  # tells cases of one peer apart
    units: int = 0  # how many routes, hosts, upstreams or connections it has, for the cost of each
    unit: str = ""

    @property
    def key(self):
        return f"{self.peer} {self.label}".strip()


@dataclass(frozen=True)
class Bound:
    """`case` costs at most `most` times `to`; without `to` at most `most` units; without `most` it is only shown."""

    case: str
    to: str | None = None
    most: float | None = None


@dataclass(frozen=True)
class Scenario:
    """What is compared with what. `kind` is a module of kinds/ that measures it."""

    name: str
    title: str
    cases: tuple
    bounds: tuple = ()
    kind: str = "requests"
    figure: str = CPU
    note: str = ""  # what a reader of the table should know
    times: int = 1  # so many times the run's rounds: where a bound is near to 1, the median of few rounds is chance


def against(peers, spec, load, label=""):
    """Ours and each peer with one spec and one load; `peers` gives the highest ratio that holds, or None."""
    named = [Case("portcullis", spec, load, label), *(Case(peer, spec, load, label) for peer in peers)]
    return tuple(named), tuple(Bound(named[0].key, case.key, peers[case.peer]) for case in named[1:])

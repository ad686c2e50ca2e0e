"""What a scenario says: routes and listeners in neutral terms. Each peer renders it in its own language."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Route:
    """One route of the host; the first match wins, in list order."""

    prefix: str = "/"
    headers: tuple = ()  # (name, exact value) pairs that must match
    rewrite: str | None = None  # prefix rewrite
    split: tuple = (100,)  # weights over backends, all of which are the same server
    set_headers: tuple = ()  # (name, value) pairs added to the request


@dataclass(frozen=True)
class Spec:
    """What the proxy is asked to do."""

    routes: tuple = (Route(),)
    hosts: int = 1  # number of virtual hosts h0.test, h1.test ... that all have these routes
    tls: bool = False
    h2_upstream: bool = False


@dataclass(frozen=True)
class Load:
    """How it is asked. `tool` is a function of load.py."""

    tool: str = "wrk"
    connections: int = 64
    streams: int = 32
    path: str = "/"
    host: str = "h0.test"
    headers: tuple = ()
    close: bool = False  # a new connection, and so a new handshake, for each request


@dataclass(frozen=True)
class Scenario:
    """A row of the table."""

    name: str
    title: str
    spec: Spec
    load: Load
    must: dict = field(default_factory=dict)  # peer or "one-route" -> highest ratio that holds
    peers: tuple = ("pingora", "envoy", "nginx", "haproxy")
    baseline: str | None = None  # scenario whose own figure "one-route" refers to

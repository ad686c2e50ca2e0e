"""HTTP/1.1 keep-alive: plain, and with what routes and operators ask for."""

from spec import Bound, Case, Load, Route, Scenario, Spec, against

PLAIN, TOLD = Spec(), Spec(telemetry=True)

WORK = Spec(routes=(
    *(Route(f"/never-{n}", headers=(("x-team", f"t{n}"),)) for n in range(3)),
    Route(
        "/api", rewrite="/", headers=(("x-stage", "live"),), split=(90, 10),
        set_headers=tuple((f"x-added-{n}", f"value-{n}") for n in range(5)),
    ),
))

plain_cases, plain_bounds = against({"pingora": 0.95, "envoy": 0.65, "nginx": 1.35, "haproxy": None}, PLAIN, Load())

SCENARIOS = [
    Scenario("h1-keepalive", "HTTP/1.1 keep-alive, one route", plain_cases, plain_bounds),
    Scenario(
        "h1-telemetry", "with access log, metrics and traces of 1 %",
        (
            Case("portcullis", PLAIN, label="without"), Case("portcullis", TOLD, label="with"),
            Case("envoy", PLAIN, label="without"), Case("envoy", TOLD, label="with"),
        ),
        (Bound("portcullis with", "portcullis without", 1.25), Bound("portcullis with", "envoy with", 0.65)),
        note="JSON lines with the same fields to a file; spans by OTLP over HTTP to a collector",
        times=3,
    ),
    Scenario(
        "h1-work", "90/10 split, header matchers, five header edits, prefix rewrite",
        (
            Case("portcullis", PLAIN, label="one route"),
            *(Case(peer, WORK, Load(path="/api", headers=(("x-stage", "live"),)), "all of it") for peer in ("portcullis", "envoy")),
        ),
        (Bound("portcullis all of it", "portcullis one route", 1.15), Bound("portcullis all of it", "envoy all of it", 0.70)),
    ),
]

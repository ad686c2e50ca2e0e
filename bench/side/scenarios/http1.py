"""HTTP/1.1 keep-alive, plain and with the things that routes do."""

from spec import Load, Route, Scenario, Spec

WORK = tuple(
    Route(f"/never-{n}", headers=(("x-team", f"t{n}"),)) for n in range(3)
) + (
    Route(
        "/api", rewrite="/", split=(90, 10),
        set_headers=tuple((f"x-added-{n}", f"value-{n}") for n in range(5)),
    ),
)

SCENARIOS = [
    Scenario(
        "h1-keepalive", "HTTP/1.1 keep-alive, one route", Spec(), Load(),
        must={"pingora": 0.95, "envoy": 0.65, "nginx": 1.35},
    ),
    Scenario(
        "h1-work", "90/10 split, header matchers, five header edits, prefix rewrite", Spec(routes=WORK), Load(path="/api"),
        must={"envoy": 0.70, "baseline": 1.15}, peers=("envoy",), baseline="h1-keepalive",
    ),
]

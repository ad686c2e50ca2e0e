"""The harness checked by itself: every scenario's configuration is rendered, and each peer that is installed accepts it."""

import subprocess
import sys
from dataclasses import replace

from peers import PEERS

FEW = 20


def all_configurations(scenarios, files):
    """0 when all is well. Each different configuration is checked once."""
    wrong, checked, absent = [], 0, set()
    for scenario in scenarios:
        wrong += names(scenario)
    for peer, spec in dict.fromkeys((case.peer, few(case.spec)) for scenario in scenarios for case in scenario.cases):
        if not PEERS[peer].path(files):
            absent.add(peer)
            continue
        one = PEERS[peer](spec, files)
        one.render()
        command = one.check()
        if command is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        checked += 1
        if done.returncode:
            wrong.append(f"{peer} refuses {spec}: {(done.stdout + done.stderr)[-600:]}")
    for text in wrong:
        print(text, file=sys.stderr)
    print(f"{len(scenarios)} scenarios, {checked} configurations accepted or told above, not installed: {', '.join(sorted(absent)) or 'none'}")
    return 1 if wrong else 0


def few(spec):
    """The same at a size that is quick to check."""
    return replace(spec, services=min(spec.services, FEW), hosts=min(spec.hosts, FEW), upstreams=min(spec.upstreams, FEW))


def names(scenario):
    """Bounds must name cases, and keys must differ."""
    keys = [case.key for case in scenario.cases]
    twice = {key for key in keys if keys.count(key) > 1}
    unknown = {name for bound in scenario.bounds for name in (bound.case, bound.to) if name and name not in keys}
    return [f"{scenario.name}: {what} {', '.join(sorted(which))}" for what, which in (("cases of one name:", twice), ("bounds on no case:", unknown)) if which]

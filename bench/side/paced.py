#!/usr/bin/env python3
"""Requests at a steady pace from a process of its own, until its standard input ends; prints what they took, in JSON.

    python3 bench/side/paced.py HOSTS PER_SECOND
"""

import json
import select
import sys
import time

from fleet import Kept


def main():
    hosts, every = int(sys.argv[1]), 1 / float(sys.argv[2])
    connections = [Kept() for _ in range(8)]
    took, failed, number = [], [], 0
    due = time.perf_counter()
    while not select.select([sys.stdin], [], [], 0)[0]:
        due += every
        pause = due - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        # From the moment at which it should be sent: a stall counts for every request that it holds up.
        number += 1
        at = number % len(connections)
        try:
            status, _ = connections[at].ask(f"h{number % hosts}.test")
            if status != 200:
                failed.append(status)
        except (OSError, StopIteration) as error:
            failed.append(str(error))
            connections[at] = Kept()
        took.append((time.perf_counter() - due) * 1000)
    took.sort()
    at = lambda part: took[min(len(took) - 1, int(len(took) * part))]
    print(json.dumps({"requests": len(took), "failed": failed[:5], "failures": len(failed), "median": at(0.5), "p99": at(0.99), "max": took[-1]}))


if __name__ == "__main__":
    main()

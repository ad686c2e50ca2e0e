"""One large body to one reader, with the proxy's memory watched: it must not follow the size of the body."""

import socket
import time

from . import Measured

MIB = 1 << 20
SAMPLE = 0.1
SLOW_SECONDS = 4
SLOW_RATE = 20 * MIB


def measure(scenario, bench):
    measured = {}
    for case in scenario.cases:
        with bench.running(scenario, [case]) as peers:
            if case.key in peers:
                peer = peers[case.key]
                bench.load.run(peer.address, case.spec, case.load, 1)
                measured[case.key] = download(bench, case, peer, slow="slow" in case.label)
    return measured


def download(bench, case, peer, slow):
    """Reads the body, for the first seconds at a low rate if `slow`; the figure is the growth of memory in MiB."""
    before = peer.memory()[0]
    peak, got, begin, sampled = before, 0, time.monotonic(), 0.0
    used = peer.cpu_seconds()
    with socket.create_connection(("127.0.0.1", peer.port), 10) as connection:
        connection.sendall(f"GET /1g HTTP/1.1\r\nHost: {case.load.host}\r\n\r\n".encode())
        length, buffer = None, bytearray(MIB)
        head = b""
        while length is None or got < length:
            count = connection.recv_into(buffer)
            if not count:
                bench.error(f"{case.key}: ended after {got} bytes")
                break
            if length is None:
                head += buffer[:count]
                if b"\r\n\r\n" not in head:
                    continue
                top, _, body = head.partition(b"\r\n\r\n")
                length = next(int(line.split(b":")[1]) for line in top.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                got = len(body)
            else:
                got += count
            now = time.monotonic() - begin
            if slow and now < SLOW_SECONDS:
                time.sleep(max(0, got / SLOW_RATE - now))
            if now - sampled > SAMPLE:
                sampled, peak = now, max(peak, peer.memory()[0])
    took = time.monotonic() - begin
    return Measured(
        figures=[max(0.0, peak - before)], memory=(peak, peer.memory()[1]),
        growth=f"{(peer.cpu_seconds() - used) * 1000 / max(1, got / MIB):.2f} ms CPU/MiB, {got / MIB / took:.0f} MiB/s",
    )

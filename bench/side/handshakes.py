#!/usr/bin/env python3
"""TLS connections with one request each, from four processes: full handshakes, or each with the ticket of the one before.

    handshakes.py 127.0.0.1:8443 h0.test SECONDS [resume]

Every answer is read to its end and must be a 200; a session that was (or was not) resumed against what was asked for
counts as failed.
"""

import os
import socket
import ssl
import sys
import time

PROCESSES = 4


def connect(context, address, host, session):
    """One connection and one request. Gives the session, whether it was resumed, and whether the answer was good."""
    with socket.create_connection(address, 5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname=host, session=session, suppress_ragged_eofs=True) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := tls.recv(16384):
                answer += part
            return tls.session, tls.session_reused, answer.startswith(b"HTTP/1.1 200 ")


def work(address, host, seconds, resume):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    done = failed = 0
    session = connect(context, address, host, None)[0] if resume else None
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        try:
            ticket, resumed, good = connect(context, address, host, session)
        except OSError:
            done, failed = done + 1, failed + 1
            continue
        done += 1
        failed += not good or resumed != resume
        session = ticket if resume else None
    return done, failed, time.monotonic() - begin


def main():
    address, host, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    ip, port = address.rsplit(":", 1)
    resume = sys.argv[4:] == ["resume"]
    pipes = []
    for _ in range(PROCESSES):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, ("%d %d %f" % work((ip, int(port)), host, seconds, resume)).encode())
            os._exit(0)
        os.close(write)
        pipes.append(read)
    results = []
    for pipe in pipes:
        with os.fdopen(pipe) as file:
            results.append([float(number) for number in file.read().split() or (0, 1, seconds)])
    done, failed, took = (sum(result[0] for result in results), sum(result[1] for result in results), max(result[2] for result in results))
    print(f"{done:.0f} done {failed:.0f} failed {took:.3f} s")


if __name__ == "__main__":
    main()

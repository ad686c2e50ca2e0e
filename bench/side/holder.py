#!/usr/bin/env python3
"""Holds idle connections open, in steps: each makes one request, then stays.

    holder.py 127.0.0.1:8080 h0.test plain|tls STEP...

Reads a line from standard input before each step; after the last one, asks once more on every connection, so that one
that was closed meanwhile counts as failed. Answers "held N failed M" each time.
"""

import socket
import ssl
import sys


def ask(connection, request):
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(4096)
        if not part:
            return False
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        part = connection.recv(4096)
        if not part:
            return False
        body += part
    return head.startswith(b"HTTP/1.1 200 ")


def main():
    address, host, kind = sys.argv[1:4]
    steps = [int(step) for step in sys.argv[4:]]
    ip, port = address.rsplit(":", 1)
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    held, failed = [], 0
    for step in steps:
        sys.stdin.readline()
        while len(held) < step:
            connection = None
            try:
                connection = socket.create_connection((ip, int(port)), 10)
                # Else the request waits for the acknowledgement of the handshake, up to 40 ms of each connection.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if kind == "tls":
                    connection = context.wrap_socket(connection, server_hostname=host)
                failed += not ask(connection, request)
            except OSError:
                failed += 1
            held.append(connection)
        print(f"held {len(held)} failed {failed}", flush=True)
    sys.stdin.readline()
    for connection in held:
        try:
            failed += connection is None or not ask(connection, request)
        except OSError:
            failed += 1
    print(f"held {len(held)} failed {failed}", flush=True)


if __name__ == "__main__":
    main()

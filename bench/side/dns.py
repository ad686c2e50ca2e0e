"""A DNS server for one zone in memory: A records whose addresses may be changed at any moment."""

import os
import socket
import struct
import threading
import time

TTL = 30  # what discovery waits at most between two questions


class Zone(threading.Thread):
    """Answers on UDP. Names that are asked for again and again get a TTL of a second."""

    def __init__(self, address, default):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((address, 53))
        self.default = default
        self.special = {}
        self.told = {}
        self.asked = 0

    def point(self, name, address):
        """From now on `name` has this address."""
        self.special[name.encode()] = address

    def wait_told(self, name, address, seconds=10):
        """The moment at which the answer with this address was sent."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            told = self.told.get(name.encode())
            if told and told[0] == address:
                return told[1]
            time.sleep(0.0002)
        raise RuntimeError(f"{name} is not asked for")

    def run(self):
        while True:
            question, sender = self.socket.recvfrom(512)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]])
                at += 1 + question[at]
            name = b".".join(labels).lower()
            kind = struct.unpack("!H", question[at + 1:at + 3])[0]
            # Hosts of the benchmark have addresses and nothing else.
            known = kind == 1 and name.endswith(b".bench")
            address = self.special.get(name)
            ttl = 1 if address else TTL
            header = question[:2] + struct.pack("!HHHHH", 0x8580 if known else 0x8583, 1, int(known), 0, 0)
            answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, ttl, 4) + socket.inet_aton(address or self.default)
            moment = time.monotonic()
            self.socket.sendto(header + question[12:at + 5] + (answer if known else b""), sender)
            self.asked += 1
            if address and self.told.get(name, ("",))[0] != address:
                self.told[name] = (address, moment)


def wrap(folder, address):
    """A command prefix under which programs ask this server, and None where that is not possible."""
    if os.geteuid() != 0:
        return None
    conf = os.path.join(folder, "resolv.conf")
    with open(conf, "w") as out:
        out.write(f"nameserver {address}\noptions timeout:2 attempts:2\n")
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {conf} /etc/resolv.conf && exec "$@"', "sh"]

"""The proxies that are compared, each in a module of its own that renders a Spec in that proxy's language.

Adding one is a module with a subclass of `base.Peer` and a line here.
"""

from .base import BASE_PORT, ROOT, Files, which
from .envoy import Envoy
from .haproxy import HAProxy
from .nginx import Nginx
from .pingora import BarePingora
from .portcullis import Portcullis

PEERS = {peer.name: peer for peer in (Portcullis, BarePingora, Envoy, Nginx, HAProxy)}

__all__ = ["BASE_PORT", "PEERS", "ROOT", "Files", "which"]

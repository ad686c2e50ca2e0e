//! Listening sockets and what happens on them before the first request byte.

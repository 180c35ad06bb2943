"""The yardstick: a blocking server that takes a message and sends as many bytes as it asks for."""

from __future__ import annotations

import socket
import struct
import sys

#: how long the request is, and how long the answer is to be
REQUEST = struct.Struct("<QQ")
LARGEST = 16 << 20


def serve(path: str) -> None:
    """Serve one client after the other, for ever."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    buffer = bytearray(1 << 20)
    answer = memoryview(bytes(LARGEST))
    while True:
        conn, _ = listener.accept()
        with conn:
            while got := conn.recv_into(buffer):
                length, wanted = REQUEST.unpack_from(buffer)
                while got < length:
                    got += conn.recv_into(buffer)
                sent = 0
                while sent < wanted:
                    sent += conn.sendmsg([answer[sent:wanted]])


if __name__ == "__main__":
    serve(sys.argv[1])

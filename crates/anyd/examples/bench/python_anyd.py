"""Measures the package anyd, server and client, over a Unix socket with a key."""

import json
import logging
import os
import signal
import sys
import time

from anyd import Appd, ClientSession

logging.disable(logging.CRITICAL)
PATH = sys.argv[1]
KEY = b"secret"


class Served(Appd):
    # The package takes the peer's address for a pair, which it is not here:
    # without this line the first connection ends the server.
    last_accepted = ("unix", "unix")


def serve():
    appd = Served(PATH, authkey=KEY, backlog=64)

    @appd.api
    def echo(arg):
        return arg

    appd.start()


def opened():
    return ClientSession(PATH, authkey=KEY)


server = os.fork()
if server == 0:
    serve()
while not os.path.exists(PATH):
    time.sleep(0.01)

try:
    now = time.perf_counter
    times = []
    with opened() as client:
        started = now()
        for _ in range(20000):
            called = now()
            client.commit("echo", "hello")
            times.append(now() - called)
        calls = len(times) / (now() - started)
        large = "x" * (1 << 20)
        started = now()
        for _ in range(100):
            client.commit("echo", large)
        echoes = 100 / (now() - started)
    times.sort()
    sessions = []
    for _ in range(1000):
        started = now()
        session = opened()
        session.client.commit("echo", "hello")
        sessions.append(now() - started)
        session.client.end_session()
    sessions.sort()
    print(json.dumps({
        "calls": calls,
        "median": times[len(times) // 2] * 1e6,
        "slowest": times[len(times) * 99 // 100] * 1e6,
        "session": sessions[len(sessions) // 2] * 1e6,
        "large": echoes,
    }))
finally:
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    os.unlink(PATH)

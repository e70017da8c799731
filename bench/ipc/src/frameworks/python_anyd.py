"""Measures the package anyd, server and client, over a Unix socket with a key."""

import json
import logging
import os
import signal
import sys
import threading
import time

from anyd import Appd, ClientSession

logging.disable(logging.CRITICAL)
PATH = sys.argv[1]
KEY = b"secret"
CALLS = 20000
SESSIONS = 2000
CLIENTS = 16
CALLS_EACH = 1000
ECHOES = 200


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


def rate(count, started):
    return count / (time.perf_counter() - started)


def calls(client):
    for _ in range(CALLS // 20):
        client.commit("echo", "hello")
    times = []
    started = time.perf_counter()
    for _ in range(CALLS):
        called = time.perf_counter()
        client.commit("echo", "hello")
        times.append(time.perf_counter() - called)
    return rate(CALLS, started), sorted(times)[CALLS * 99 // 100] * 1e6


def large(client):
    text = "x" * (1 << 20)
    client.commit("echo", text)
    started = time.perf_counter()
    for _ in range(ECHOES):
        assert len(client.commit("echo", text)) == len(text)
    return rate(ECHOES, started)


def sessions():
    times = []
    for _ in range(SESSIONS):
        started = time.perf_counter()
        session = opened()
        session.client.commit("echo", "hello")
        times.append(time.perf_counter() - started)
        session.client.end_session()
    return sorted(times)[SESSIONS // 2] * 1e6


def crowd():
    # The server takes one session after another: the others wait for theirs.
    def one():
        with opened() as client:
            for _ in range(CALLS_EACH):
                client.commit("echo", "hello")

    clients = [threading.Thread(target=one) for _ in range(CLIENTS)]
    started = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return rate(CLIENTS * CALLS_EACH, started)


server = os.fork()
if server == 0:
    serve()
while not os.path.exists(PATH):
    time.sleep(0.01)

try:
    with opened() as client:
        per_second, slow = calls(client)
        echoes = large(client)
    print(json.dumps({
        "session": sessions(),
        "calls": per_second,
        "slow": slow,
        "crowd": crowd(),
        "large": echoes,
    }))
finally:
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    os.unlink(PATH)

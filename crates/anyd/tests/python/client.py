"""Calls a daemon's endpoints with the package anyd, as programs of old do."""

import os
import socket
import subprocess
import sys
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

from anyd import ClientSession

OPEN = sys.argv[1] + "/open.sock"
LOCKED = sys.argv[1] + "/locked.sock"
KEY = b"secret"


def raises(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError("%s was not raised" % kind)


class Code:
    def __reduce__(self):
        return (os.system, ("touch " + sys.argv[1] + "/pwned",))


VALUES = [
    None, True, False, 0, 1, -1, 255, 256, 65536, -(2 ** 31), 2 ** 31, 2 ** 63 - 1,
    -(2 ** 63), 2 ** 64 - 1, 0.5, -1e300, "", "text", "\u00e4\u20ac\U0001f600", "x" * 300,
    "y" * 70000, [], [1, [2, [3]]], {}, {"a": {"b": [1, 2]}}, [None, {"k": True}],
]


def values(client):
    for value in VALUES:
        got = client.commit("echo", value)
        assert got == value and type(got) is type(value), (value, got)
    assert client.commit("echo", (1, 2)) == [1, 2]
    assert sorted(client.commit("echo", {"a", "b"})) == ["a", "b"]
    assert client.commit("echo", b"\x00\xff") == [0, 255]
    shared = ["x"]
    assert client.commit("echo", [shared, shared]) == [["x"], ["x"]]
    assert client.commit("add", 2, 3) == 5
    assert client.commit("add", 2, b=3) == 5
    assert client.commit("add", b=2, a=3) == 5
    assert client.commit("nothing") is None
    status = client.commit("status")
    assert status == {"state": "up", "servers": ["a.example"], "uid": os.getuid()}


def errors(client):
    assert raises(NotImplementedError, client.commit, "fly").args == ("fly",)
    raises(NotImplementedError, client.commit, "watch")
    text = str(raises(TypeError, client.commit, "connect", "x;rm -rf /"))
    assert text == "server: not a host name", text
    assert "missing" in str(raises(TypeError, client.commit, "add", 1))
    assert "were given" in str(raises(TypeError, client.commit, "add", 1, 2, 3))
    assert "twice" in str(raises(TypeError, client.commit, "add", 1, a=2))
    assert "not known" in str(raises(TypeError, client.commit, "nothing", c=1)) 
    error = raises(RuntimeError, client.commit, "connect", "a.example")
    assert error.args == ("org.example.Legacy.AlreadyUp", {"server": "a.example"})
    raises(TimeoutError, client.commit, "hang")
    assert "uid 4242" in str(raises(PermissionError, client.commit, "guarded"))
    assert raises(RuntimeError, client.commit, "broken").args[0] == "anyd.InternalError"
    raises(ValueError, client.commit, "echo", float("inf"))
    raises(ValueError, client.commit, "echo", {1: 2})
    raises(ValueError, client.commit, "echo", 2 ** 64)


def process(client):
    result = client.commit("add_node_route", "203.0.113.7")
    assert type(result) is subprocess.CompletedProcess
    assert result.args == ["route", "203.0.113.7"]
    error = raises(subprocess.CalledProcessError, result.check_returncode)
    assert error.stderr == "no such route"
    text = str(raises(TypeError, client.commit, "add_node_route", "203.0.113.7; reboot"))
    assert text.startswith("node_address: "), text


def hostile(client):
    text = str(raises(ValueError, client.commit, "echo", Code()))
    assert "not allowed" in text, text
    assert not os.path.exists(sys.argv[1] + "/pwned")
    bomb = []
    for _ in range(60):
        bomb = [bomb, bomb]
    raises(ValueError, client.commit, "echo", bomb)
    raises(ValueError, client.commit, "echo", [0] * 200000)
    itself = []
    itself.append(itself)
    raises(ValueError, client.commit, "echo", itself)


def session(address, **options):
    with ClientSession(address, **options) as client:
        values(client)
        errors(client)
        process(client)
        hostile(client)
        assert client.commit("echo", "still there") == "still there"


def own_tests():
    """What the tests in the package's repository ask of a server: neither the
    wheel nor the source distribution has them."""
    with ClientSession(OPEN) as client:
        assert client.commit("get_sum", 1, 2) == 3
    with ClientSession(OPEN) as client:
        response = client.commit("get_sum", 2, 2)
        assert response == 4
        assert client.commit("get_sum", 12, response) == 16
    with ClientSession(OPEN) as client:
        assert client.commit("no_args_action") is True
    with ClientSession(LOCKED, authkey=KEY) as client:
        assert client.commit("echo", "hello") == "hello"
    raises(AuthenticationError, ClientSession, LOCKED, authkey=b"fish")
    nobody = sys.argv[1] + "/nobody.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(nobody)
    left.close()
    raises(ConnectionRefusedError, ClientSession, nobody)
    os.unlink(nobody)


own_tests()
session(OPEN)
session(LOCKED, authkey=KEY)
# A key longer than the digest's block, and a wrong one.
raises(AuthenticationError, ClientSession, LOCKED, authkey=b"wrong")
raises(AuthenticationError, ClientSession, LOCKED, authkey=b"k" * 100)
session(LOCKED, authkey=KEY)

# Too long a request is answered before the connection is closed.
client = ClientSession(OPEN).client
assert "longer than" in str(raises(ValueError, client.commit, "echo", "z" * (3 << 20)))

# Without the package's manners.
connection = Client(OPEN)
connection.send(42)
assert type(connection.recv()) is ValueError
connection.send_bytes(b"not a pickle")
assert type(connection.recv()) is ValueError
connection.send(("add", [1, 2], {}))
assert connection.recv() == 3
connection.close()

print("passed on", sys.version.split()[0])

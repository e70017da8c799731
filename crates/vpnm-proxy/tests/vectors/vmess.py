#!/usr/bin/env python3
"""Prints src/vmess/vectors.rs: VMess worked out a second time, from its description.

Needs the package `cryptography`; SHAKE, HMAC and MD5 are those of Python itself.
"""
import hashlib
import hmac
import struct
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

USER = bytes.fromhex("0a1b2c3d4e5f60718293a4b5c6d7e8f9")
BODY_KEY = bytes(range(0x10, 0x20))
BODY_IV = bytes(range(0x40, 0x50))
CHECK = 0x77
TIME = 1_700_000_000
AUTH_RANDOM = bytes([1, 2, 3, 4])
NONCE = bytes(range(0x90, 0x98))
PADDING = bytes(range(0xA0, 0xB0))
NOISE = bytes(range(0xC0, 0x100))


class Nested:
    """HMAC over any hash that is a function from bytes to bytes, block length 64."""

    def __init__(self, key, inner):
        key = inner(key) if len(key) > 64 else key
        key = key.ljust(64, b"\0")
        self.ipad = bytes(b ^ 0x36 for b in key)
        self.opad = bytes(b ^ 0x5C for b in key)
        self.inner = inner

    def __call__(self, message):
        return self.inner(self.opad + self.inner(self.ipad + message))


def kdf(key, *path):
    hash_ = lambda m: hmac.new(b"VMess AEAD KDF", m, "sha256").digest()
    for label in path:
        hash_ = Nested(label, hash_)
    return hash_(key)


def fnv1a(data):
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


CMD_KEY = hashlib.md5(USER + b"c48619fe-8f02-49e0-b9e9-edf763e17e21").digest()


def auth_id():
    plain = struct.pack(">q", TIME) + AUTH_RANDOM
    plain += struct.pack(">I", zlib.crc32(plain))
    key = kdf(CMD_KEY, b"AES Auth ID Encryption")[:16]
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return block.update(plain) + block.finalize()


def request(security, options, command, destination):
    header = bytes([1]) + BODY_IV + BODY_KEY
    header += bytes([CHECK, options, (PADDING[15] & 15) << 4 | security, 0, command])
    header += destination + PADDING[: PADDING[15] & 15]
    header += struct.pack(">I", fnv1a(header))
    auth = auth_id()

    def seal(label, plain):
        key = kdf(CMD_KEY, b"VMess Header AEAD Key" + label, auth, NONCE)[:16]
        nonce = kdf(CMD_KEY, b"VMess Header AEAD Nonce" + label, auth, NONCE)[:12]
        return AESGCM(key).encrypt(nonce, plain, auth)

    return auth + seal(b"_Length", struct.pack(">H", len(header))) + NONCE + seal(b"", header)


def response(header):
    key = hashlib.sha256(BODY_KEY).digest()[:16]
    iv = hashlib.sha256(BODY_IV).digest()[:16]

    def seal(label, plain):
        k = kdf(key, b"AEAD Resp Header " + label + b"Key")[:16]
        n = kdf(iv, b"AEAD Resp Header " + label + b"IV")[:12]
        return AESGCM(k).encrypt(n, plain, None)

    return seal(b"Len ", struct.pack(">H", len(header))) + seal(b"", header)


def chacha_key(key):
    half = hashlib.md5(key).digest()
    return half + hashlib.md5(half).digest()


def body(kind, options, chunks):
    aead = {
        "aes": lambda: AESGCM(BODY_KEY),
        "chacha": lambda: ChaCha20Poly1305(chacha_key(BODY_KEY)),
        "none": lambda: None,
    }[kind]()
    shake = hashlib.shake_128(BODY_IV).digest(1000)
    draws = iter(struct.unpack(">500H", shake))
    out = b""
    for counter, chunk in enumerate(chunks):
        padding = next(draws) % 64 if options & 8 else 0
        mask = next(draws) if options & 4 else 0
        nonce = struct.pack(">H", counter) + BODY_IV[2:12]
        sealed = aead.encrypt(nonce, chunk, None) if aead else chunk
        out += struct.pack(">H", (len(sealed) + padding) ^ mask) + sealed + NOISE[:padding]
    return out


def show(name, doc, data):
    text = data.hex()
    lines = [text[i : i + 80] for i in range(0, len(text), 80)] or [""]
    joined = "\\\n    ".join(lines)
    print(f"/// {doc}\npub(super) const {name}: &str = \"\\\n    {joined}\";")


print("//! What `tests/vectors/vmess.py` works out, an implementation of its own.\n")
show("KDF_0", "The key `key`, no path.", kdf(b"key"))
show("KDF_1", "The key `key`, the path `a`.", kdf(b"key", b"a"))
show("KDF_3", "The key `key`, the path `a`, `b`, 80 times 7.", kdf(b"key", b"a", b"b", bytes([7] * 80)))
show("CMD_KEY", "The user's key.", CMD_KEY)
show("AUTH_ID", "The first sixteen bytes of a request.", auth_id())
domain = struct.pack(">HB", 443, 2) + bytes([11]) + b"example.com"
v6 = struct.pack(">HB", 53, 3) + bytes.fromhex("20010db8000000000000000000000001")
show("REQUEST_AES_TCP", "TCP to example.com:443, AES-128-GCM.", request(3, 0x0D, 1, domain))
show("REQUEST_NONE_UDP", "UDP to [2001:db8::1]:53, in the clear.", request(5, 0x05, 2, v6))
show("RESPONSE", "The least response.", response(bytes([CHECK, 0, 0, 0])))
show("RESPONSE_LONG", "A response with a command.", response(bytes([CHECK, 0, 1, 3, 9, 9, 9])))
chunks = [b"hello", bytes(range(256)) * 4, b""]
show("BODY_AES", "Three chunks, the last one empty, AES-128-GCM.", body("aes", 0x0D, chunks))
show("BODY_CHACHA", "The same, ChaCha20-Poly1305.", body("chacha", 0x0D, chunks))
show("BODY_NONE", "The same, in the clear.", body("none", 0x05, chunks))

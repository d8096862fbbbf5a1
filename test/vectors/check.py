"""Checks the vectors about signatures and times with Python's standard library only.

Usage: python3 check.py FILE...
"""

import base64
import hashlib
import hmac
import json
import re
import sys

MAX_SIGNATURES = 20


def key_of(secret, scheme):
    form = scheme.get("secret")
    if form is None:
        return secret.encode()
    text = secret.removeprefix(form.get("prefix", ""))
    return bytes.fromhex(text) if form["encoding"] == "hex" else base64.b64decode(text)


def find(headers, name):
    """Returns the value of the header, which has one of several names."""
    names = [name] if isinstance(name, str) else name
    return next((headers[each.lower()] for each in names if each.lower() in headers), "")


def digest_in(text, encoding):
    try:
        if encoding == "hex":
            return bytes.fromhex(text) if re.fullmatch("[0-9a-fA-F]+", text) else None
        decoded = base64.b64decode(text, validate=True)
        return decoded if base64.b64encode(decoded).decode() == text else None
    except ValueError:
        return None


def verify(vector, scheme, body, tolerance):
    """Returns whether a signature of the scheme is valid, and its time is close to the receiver's."""
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    header = find(headers, scheme["header"])
    separator = scheme.get("separator")
    entries = header.split(separator) if separator else [header]
    if len(entries) > MAX_SIGNATURES:
        return False
    time = identity = ""
    if "timestamp" in scheme:
        if "header" in scheme["timestamp"]:
            time = find(headers, scheme["timestamp"]["header"])
        else:
            start = scheme["timestamp"]["prefix"]
            time = next((each[len(start):] for each in entries if each.startswith(start)), "")
        if not is_in_time(time, scheme["timestamp"]["unit"], vector["now"], tolerance):
            return False
    if "id" in scheme:
        identity = find(headers, scheme["id"]["header"])
        if not identity:
            return False
    before, after = scheme["signs"].split("{body}")
    fill = lambda text: text.replace("{timestamp}", time).replace("{id}", identity).encode()
    algorithm = getattr(hashlib, scheme.get("algorithm", "sha256"))
    expected = hmac.new(key_of(vector["secret"], scheme), fill(before) + body + fill(after), algorithm).digest()
    prefix = scheme.get("prefix", "")
    digests = [digest_in(each[len(prefix):], scheme["encoding"]) for each in entries if each.startswith(prefix)]
    return any(digest is not None and hmac.compare_digest(digest, expected) for digest in digests)


def verify_toloka(vector, body, tolerance):
    """The scheme of Toloka, whose header has its fields in braces and whose digests lack leading zeros."""
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    found = re.fullmatch(r"\{v=(\d+), ts=(\d+), sign=([0-9a-f]{40,64})\}", headers.get("toloka-signature", ""))
    if not found:
        return False
    version, time, digest = found.groups()
    if not is_in_time(time, "milliseconds", vector["now"], tolerance):
        return False
    signed = f"{time}.{version}.".encode() + body
    expected = hmac.new(vector["secret"].encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest.rjust(64, "0"), expected)


def is_in_time(time, unit, now, tolerance):
    if not re.fullmatch(r"\d{1,15}", time):
        return False
    milliseconds = int(time) * (1000 if unit == "seconds" else 1)
    return abs(now - milliseconds) <= tolerance * 1000


def main(files):
    checked = 0
    wrong = []
    for name in files:
        with open(name, encoding="utf-8") as file:
            content = json.load(file)
        for vector in content["vectors"]:
            if vector["about"] not in ("signature", "time"):
                continue
            checked += 1
            given = vector["body"]
            body = given["text"].encode() if "text" in given else base64.b64decode(given["base64"])
            if "scheme" in content:
                accepted = verify(vector, content["scheme"], body, content["tolerance"])
            else:
                accepted = verify_toloka(vector, body, content["tolerance"])
            if accepted != (vector["expected"]["outcome"] == "accept"):
                wrong.append(f"{vector['provider']}: {vector['name']}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{checked} vectors")


main(sys.argv[1:])

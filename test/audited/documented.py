"""A server around the signature checks that the providers' documentation shows in Python, rewritten:

Toloka: `en/api/concepts/authentication.md` of its public repository of documentation, Toloka/docs. It signs
`ts.v.payload` and compares with `==`. The printed example lacks a line break and does not run.
Prolific: "Verifying" in its API reference. It signs the timestamp and `json.dumps` of the parsed body.
CVAT: "Verifying webhook signature" in "Webhooks" of its documentation. It signs the raw body.

The rest is crowdhook's and careful, so that the audit judges these checks: reading and limiting the body,
parsing the header and the body, and the answers. No example mentions the time or repeated events. CVAT sends
no id, so the digest stands for it.
"""

import base64
import hashlib
import hmac
import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["SECRET"]
LIMIT = 5 * 1024 * 1024
handled = []


def is_from_toloka(headers, body):
    fields = dict(re.findall(r"(\w+)=(\w+)", headers["Toloka-Signature"]))
    data = f"{fields['ts']}.{fields['v']}.{body.decode()}"
    signature = hmac.new(SECRET.encode(), data.encode(), hashlib.sha256).hexdigest()
    return signature == fields["sign"]


def is_from_prolific(headers, body):
    data = headers["X-Prolific-Request-Timestamp"] + json.dumps(json.loads(body.decode()))
    signature = base64.b64encode(hmac.new(SECRET.encode(), data.encode(), hashlib.sha256).digest())
    return hmac.compare_digest(signature, headers["X-Prolific-Request-Signature"].encode())


def is_from_cvat(headers, body):
    signature = "sha256=" + hmac.new(SECRET.encode(), body, digestmod=hashlib.sha256).hexdigest()
    return hmac.compare_digest(headers.get("X-Signature-256", ""), signature)


def toloka_ids(_headers, text):
    return [event["uuid"] for event in json.loads(text)["events"]]


def prolific_ids(headers, text):
    return [headers["X-Event-ID"]] if json.loads(text)["event_type"] else []


def cvat_ids(headers, text):
    return [headers["X-Signature-256"].removeprefix("sha256=")] if json.loads(text)["event"] else []


ROUTES = {
    "/toloka-webhook": (is_from_toloka, toloka_ids),
    "/prolific-webhook": (is_from_prolific, prolific_ids),
    "/cvat-webhook": (is_from_cvat, cvat_ids),
}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        if self.path not in ROUTES:
            return self.answer(404)
        is_genuine, ids_of = ROUTES[self.path]
        try:
            body = b"".join(self.pieces())
        except (EOFError, ValueError):
            return self.answer(400)
        if len(body) > LIMIT:
            return self.answer(413)
        try:
            if not is_genuine(self.headers, body):
                return self.answer(401)
            ids = ids_of(self.headers, body.decode())
        except Exception:  # a header or a field is missing, or the body is not JSON
            return self.answer(400)
        handled.extend(ids)
        self.answer(200)

    def do_GET(self):
        if self.path == "/handled":
            self.answer(200, {"handled": [id for id in handled if isinstance(id, str)]})
        else:
            self.answer(405)

    do_PUT = do_PATCH = do_DELETE = do_GET

    def pieces(self):
        """Reads a body that is too large to its end, so that the sender sees the answer, but yields only a part."""
        lengths = self.headers.get_all("Content-Length", [])
        given = 0
        chunked = "Transfer-Encoding" in self.headers
        for piece in self.chunks() if chunked else self.read(*(int(length) for length in lengths)):
            if given <= LIMIT:
                yield piece
            given += len(piece)

    def chunks(self):
        while size := int(self.rfile.readline(20), 16):
            yield from self.read(size)
            self.rfile.readline(2)

    def read(self, size=0, other=None):
        if other is not None:
            raise ValueError("two lengths")
        while size > 0:
            piece = self.rfile.read(min(size, 65536))
            if not piece:
                raise EOFError
            size -= len(piece)
            yield piece

    def answer(self, status, body=None):
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class Listening(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Ignores senders that hang up."""


server = Listening(("127.0.0.1", 0), Server)
print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

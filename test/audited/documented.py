"""A server around the checks that the providers' documentation shows in Python, written anew:

Toloka: `en/api/concepts/authentication.md` of its public repository of documentation, Toloka/docs. It signs
`ts.v.payload` and compares with `==`. What is printed there lacks a line break, and does not run as it is.
Prolific: "Verifying" in its API reference. It signs the timestamp and `json.dumps` of the parsed body.

How the header is taken apart and what is done with the events is not shown there; that part is ours.
"""

import base64
import hashlib
import hmac
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["SECRET"]
handled = []


def is_from_toloka(headers, text):
    fields = dict(field.split("=") for field in headers["Toloka-Signature"].strip("{}").split(", "))
    data = f"{fields['ts']}.{fields['v']}.{text}"
    signature = hmac.new(SECRET.encode(), data.encode(), hashlib.sha256).hexdigest()
    return signature == fields["sign"]


def is_from_prolific(headers, text):
    data = headers["X-Prolific-Request-Timestamp"] + json.dumps(json.loads(text))
    signature = base64.b64encode(hmac.new(SECRET.encode(), data.encode(), hashlib.sha256).digest())
    return hmac.compare_digest(signature, headers["X-Prolific-Request-Signature"].encode())


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode(errors="replace")
        try:
            if self.path == "/toloka-webhook":
                is_valid = is_from_toloka(self.headers, text)
                ids = [event["uuid"] for event in json.loads(text)["events"]] if is_valid else []
            else:
                is_valid = is_from_prolific(self.headers, text)
                ids = [self.headers["X-Event-ID"]]
        except Exception:  # where a web framework answers 500
            return self.answer(500)
        if is_valid:
            handled.extend(ids)
        self.answer(200 if is_valid else 401)

    def do_GET(self):
        if self.path == "/handled":
            self.answer(200, {"handled": handled})
        else:
            self.answer(405)

    def answer(self, status, body=None):
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

"""A webhook for Toloka with a report route, for `crowdhook audit`, in Python's standard library:

    TOLOKA_SECRET=12345 REPORT_TOKEN=only-here python3 python.py
    npx crowdhook audit http://127.0.0.1:3000/toloka-webhook --provider toloka --secret 12345 \
        --report http://127.0.0.1:3000/handled/only-here

The five lines marked with a number are the report route. It shows handled events to anyone who asks, so do
not use it in production. It exists only with a REPORT_TOKEN, and only the loopback interface reaches it.
"""

import hashlib
import hmac
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["TOLOKA_SECRET"].encode()
if not SECRET:
    raise SystemExit("TOLOKA_SECRET is empty: anyone could sign with that.")
REPORT_TOKEN = os.environ.get("REPORT_TOKEN")  # 1
TOLERANCE = 300  # seconds, before and after
LIMIT = 5 * 1024 * 1024  # bytes
FIELDS = {"v": r"[0-9]{1,15}", "ts": r"[0-9]{1,15}", "sign": r"[0-9a-f]{40,64}"}

handled = []  # 2
done = set()  # in memory: several processes need a shared store
one_at_a_time = threading.Lock()


def handle(event):
    """Your code. If it raises, the event failed and runs again on its next delivery."""
    print(event.get("type"), event["uuid"], flush=True)


def is_genuine(header, body):
    fields = dict(re.findall(r"(\w+)=(\w*)", header or ""))
    if not all(re.fullmatch(form, fields.get(name, "")) for name, form in FIELDS.items()):
        return False
    signed = f"{fields['ts']}.{fields['v']}.".encode() + body
    digest = hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
    # Toloka leaves out leading zeros.
    fits = hmac.compare_digest(digest, fields["sign"].zfill(64))
    return fits and abs(time.time() - int(fields["ts"]) / 1000) <= TOLERANCE


def events_of(body):
    """Returns the events, or None if the body is no envelope. Toloka's test notification is a bare event."""
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        return None
    events = envelope.get("events", [envelope]) if isinstance(envelope, dict) else None
    if not isinstance(events, list):
        return None
    return events if all(isinstance(event, dict) and isinstance(event.get("uuid"), str) for event in events) else None


def handle_once(event):
    with one_at_a_time:
        if event["uuid"] in done:
            return True
        try:
            handle(event)
        except Exception as error:
            print("failed", event["uuid"], type(error).__name__, flush=True)
            return False
        done.add(event["uuid"])
        handled.append(event["uuid"])  # 3
        return True


class Webhook(BaseHTTPRequestHandler):
    timeout = 30  # seconds without data from the sender

    def do_POST(self):
        if self.path.partition("?")[0] != "/toloka-webhook":
            return self.answer(404)
        try:
            body = self.read_body()
        except ValueError:
            return self.answer(400)
        except (EOFError, ConnectionError):
            return  # the sender hung up
        if body is None:
            return self.answer(413)
        if not is_genuine(self.headers.get("Toloka-Signature"), body):
            return self.answer(401)
        events = events_of(body)
        if events is None:
            return self.answer(400)
        outcomes = [handle_once(event) for event in events]
        self.answer(200 if all(outcomes) else 500)

    def do_GET(self):
        if REPORT_TOKEN and self.path == f"/handled/{REPORT_TOKEN}":  # 4
            return self.answer(200, {"handled": handled})  # 5
        self.answer(405 if self.path == "/toloka-webhook" else 404, headers={"Allow": "POST"})

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def read_body(self):
        """Returns None if the body is too large, but reads it, so that the sender can finish and see the answer."""
        body, size = bytearray(), 0
        for piece in self.pieces():
            size += len(piece)
            if size <= LIMIT:
                body += piece
            elif size > 64 * 1024 * 1024:
                break
        return bytes(body) if size <= LIMIT else None

    def pieces(self):
        lengths = self.headers.get_all("Content-Length", [])
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(20), 16):
                yield from self.read(size)
                self.rfile.readline(2)
        elif len(lengths) == 1:
            yield from self.read(int(lengths[0]))
        else:
            raise ValueError("no length, or several")

    def read(self, size):
        while size > 0:
            piece = self.rfile.read(min(size, 65536))
            if not piece:
                raise EOFError("the body was cut off")
            size -= len(piece)
            yield piece

    def answer(self, status, body=None, headers={}):
        data = json.dumps(body or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Webhook)
print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

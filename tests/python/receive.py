"""Receives events as a tenant's system does, with the packages of Standard Webhooks and CloudEvents.

Usage: receive.py <port> <secret> [<status>|hang ...]. Answers the first requests with these statuses and every later
one with 204; `hang` gives no answer. Prints `listening`, then a line of JSON for each request: its path, and the
CloudEvent's attributes and data or, if it is none or is not signed with the secret, the error.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook

port, secret, *answers = sys.argv[1:]
hook = Webhook(secret)
answering = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = dict(self.headers.items())
        try:
            hook.verify(body.decode(), {name.lower(): value for name, value in headers.items()})
            event = from_http_event(HTTPMessage(headers, body))
            told = {**event.get_attributes(), "data": event.get_data()}
        except Exception as error:
            told = {"error": repr(error)}
        with answering:
            answer = answers.pop(0) if answers else "204"
            print(json.dumps({"path": self.path, **told}, default=str), flush=True)
        if answer == "hang":
            threading.Event().wait()
        self.send_response(int(answer))
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
print("listening", flush=True)
server.serve_forever()

"""Sends a message to a chat link with httpx, and reads the reply with httpx-sse and Last-Event-ID.

Usage: converse.py <link> <message> <cut>. It disconnects after every <cut> events and resumes
until the status is 204. Prints one JSON line: the answer to the message, each event, and how many connections
and cookies there were.
"""

import json
import sys

import httpx
from httpx_sse import connect_sse

link, message, cut = sys.argv[1], sys.argv[2], int(sys.argv[3])

with httpx.Client(timeout=20) as client:
    posted = client.post(link, json={"content": message}).raise_for_status().json()
    stream = f"{link}{posted['turn_id']}/sse"
    events, last, connections = [], None, 0
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        with connect_sse(client, "GET", stream, headers=headers) as source:
            if source.response.status_code == 204:
                break
            connections += 1
            # Unlike EventSource, the library also yields a `retry:` without an event.
            real = (event for event in source.iter_sse() if event.data)
            for count, event in enumerate(real, 1):
                events.append({"id": event.id, "event": event.event, "data": event.json()})
                last = event.id
                if count == cut:
                    break
    cookies = len(client.cookies)
print(json.dumps({"posted": posted, "events": events, "connections": connections, "cookies": cookies}))

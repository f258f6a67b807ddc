"""Uses a chat link with A2A's library.

Usage: tasks.py <order>…, each in JSON: `url`, the link; `binding`; and `calls`. A call has `do`:
`stream` or `send` with a `message`, or `get`, `cancel` or `subscribe` with a task's `id`. With `cut`, a
stream is cut whenever that many events have come, and resumed after its last cursor. Prints a line of JSON for
each piece of text, and one for the end or the error of a call.
"""

import asyncio
import json
import sys

import httpx
from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientError
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import A2AError
from google.protobuf.json_format import ParseDict


def say(**told):
    print(json.dumps(told), flush=True)


def text_of(thing):
    return "".join(part.text for part in thing.parts)


def end(status, task, context):
    metadata = {"turn_id": task, "conversation": context}
    because = text_of(status.message) if status.HasField("message") else None
    say(done=TaskState.Name(status.state), metadata=metadata, because=because)


async def read(client, events, cut):
    last, task, artifact, count = None, None, None, 0
    while True:
        async for event in events:
            kind = event.WhichOneof("payload")
            value = getattr(event, kind)
            task = value.id if kind == "task" else value.task_id
            if kind == "artifact_update":
                between = "" if artifact in (None, value.artifact.artifact_id) else "\n\n"
                artifact = value.artifact.artifact_id
                say(text=between + text_of(value.artifact), append=value.append)
            elif kind == "status_update" and value.status.state != TaskState.TASK_STATE_WORKING:
                return end(value.status, task, value.context_id)
            elif kind == "task" and value.artifacts and artifact is None:
                artifact = value.artifacts[-1].artifact_id
                say(text="\n\n".join(map(text_of, value.artifacts)))
            else:
                say(state=TaskState.Name(value.status.state), status=text_of(value.status.message))
            last = value.metadata["cursor"] if "cursor" in value.metadata else last
            count += 1
            if cut and count % cut == 0:
                break
        if not cut:
            raise A2AClientError("the stream has no end")
        await events.aclose()
        context = ClientCallContext(service_parameters={"Last-Event-ID": last} if last else {})
        events = client.subscribe(SubscribeToTaskRequest(id=task), context=context)


async def order(url, binding, calls):
    async with httpx.AsyncClient(timeout=20, headers={"A2A-Version": "1.0"}) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        bindings = {"httpx_client": http, "supported_protocol_bindings": [binding]}
        client = ClientFactory(ClientConfig(**bindings)).create(card)
        polling = ClientFactory(ClientConfig(**bindings, streaming=False)).create(card)
        for call in calls:
            what, id, cut = call.pop("do"), call.pop("id", ""), call.pop("cut", 0)
            if what == "stream":
                request = ParseDict(call, SendMessageRequest())
                await read(client, client.send_message(request), cut)
                continue
            if what == "subscribe":
                await read(client, client.subscribe(SubscribeToTaskRequest(id=id)), cut)
                continue
            if what == "send":
                request = ParseDict(call, SendMessageRequest())
                task = [event.task async for event in polling.send_message(request)][0]
            elif what == "get":
                task = await client.get_task(GetTaskRequest(id=id))
            else:
                task = await client.cancel_task(CancelTaskRequest(id=id))
            if task.artifacts:
                say(text="\n\n".join(map(text_of, task.artifacts)))
            end(task.status, task.id, task.context_id)


for each in sys.argv[1:]:
    try:
        asyncio.run(order(**json.loads(each)))
    except (A2AError, A2AClientError) as error:
        data = getattr(error, "data", None) or {}
        say(error=data.get("reason", str(error)), kind=type(error).__name__)

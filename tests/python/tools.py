"""Calls the tools of a chat link with MCP's library.

Usage: tools.py <order>…, each in JSON: `url`, and `calls` with the `name` and the `arguments` of
each; with `tasks`, the client takes tasks, and cancels each at once if `tasks` is `cancel`. Each
order opens a connection. Prints a line of JSON for the text of each reply, for each state of a task, and
for the end of each call or its error.
"""

import asyncio
import json
import sys
from typing import Any, Literal

from mcp import Client, MCPError
from mcp.client.extension import ClientExtension, ResultClaim
from mcp_types import CallToolResult, Request, Result


def say(**told):
    print(json.dumps(told), flush=True)


class Task(Result):
    result_type: Literal["task"] = "task"
    taskId: str
    status: str
    pollIntervalMs: int


class State(Result):
    status: str
    result: CallToolResult | None = None


class OnTask(Request[dict[str, Any], str]):
    name_param = "taskId"


class Tasks(ClientExtension):
    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, cancels):
        self.cancels = cancels

    def claims(self):
        return [ResultClaim(result_type="task", model=Task, resolve=self.resolve)]

    async def resolve(self, task, context):
        async def ask(method, kind):
            request = OnTask(method=method, params={"taskId": task.taskId})
            return await context.session.send_request(request, kind)

        say(task=task.status, id=task.taskId)
        if self.cancels:
            await ask("tasks/cancel", Result)
        while (state := await ask("tasks/get", State)).status == "working":
            await asyncio.sleep(task.pollIntervalMs / 1000)
        say(task=state.status)
        return state.result or CallToolResult(content=[], structured_content={"reason": state.status.upper()})


async def order(url, calls, mode="auto", tasks=None):
    extensions = [Tasks(tasks == "cancel")] if tasks else None
    async with Client(url, mode=mode, extensions=extensions) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        for call in calls:
            result = await client.call_tool(call["name"], call.get("arguments"))
            document = result.structured_content
            if "reason" in document:
                say(error=document["reason"], is_error=result.is_error)
                continue
            if "assistant" in document:
                say(text="\n\n".join(message["content"] for message in document["assistant"]))
            end = {"version": client.protocol_version, "tools": tools, "is_error": result.is_error}
            say(done=document["status"], metadata=document, **end)


for each in sys.argv[1:]:
    try:
        asyncio.run(order(**json.loads(each)))
    except* MCPError as group:
        while isinstance(group, ExceptionGroup):
            group = group.exceptions[0]
        say(error=(group.error.data or {}).get("reason", str(group)))

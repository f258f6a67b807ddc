"""Calls the tools of a chat link with MCP's library.

Usage: tools.py <order>…, each in JSON: `url`, and `calls` with the `name` and the `arguments` of each.
An order is a connection. Prints a line of JSON for the text of each reply, and one for the end of each
call or for its error.
"""

import asyncio
import json
import sys

from mcp import Client, MCPError


def say(**told):
    print(json.dumps(told), flush=True)


async def order(url, calls, mode="auto"):
    async with Client(url, mode=mode) as client:
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

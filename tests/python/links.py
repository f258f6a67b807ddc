"""Calls the tools of `arizuko mcp` with MCP's library over standard input and output.

Usage: links.py <arizuko> <control> <key> <call>…. In JSON, <arizuko> is the list of the words of the command,
and each <call> has a `name` and `arguments`. Prints a line of JSON with the tools, and one for the result of each call.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters

arizuko, control, key, *calls = sys.argv[1:]


async def main():
    environment = {"ARIZUKO_CONTROL": control, "ARIZUKO_KEY": key}
    command, *words = json.loads(arizuko)
    server = StdioServerParameters(command=command, args=[*words, "mcp"], env=environment)
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        print(json.dumps([{"name": tool.name, "description": tool.description, "schema": tool.input_schema} for tool in tools]))
        for call in map(json.loads, calls):
            result = await client.call_tool(call["name"], call["arguments"])
            print(json.dumps({"error": result.is_error, "result": result.structured_content}))


asyncio.run(main())

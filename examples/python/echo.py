"""An agent that repeats each message, word by word. It issues a chat link and prints its URL."""

import asyncio
from collections.abc import AsyncIterator

from arizuko_agent import Agent, Reply, Turn


async def answer(turn: Turn, reply: Reply) -> AsyncIterator[str]:
    reply.status("listening")
    for word in turn.content.decode().split():
        yield f"{word} "
        await asyncio.sleep(0.1)


agent = Agent(answer, concurrency=10)
print(agent.control.issue_chat_link().url, flush=True)
agent.run()

"""An arizuko agent in Python. Its session survives broken streams and restarts of control.

    from arizuko_agent import Agent

    async def answer(turn, reply):
        return f"You said: {turn.content.decode()}"

    Agent(answer).run()

A handler gets a turn and a reply. The text that it returns, or the texts that it yields, are
written to the reply. Heartbeats, acknowledgements and reconnecting happen here. The
session has its own event loop. Coroutine handlers run on another event loop in a second thread,
plain functions in one thread for each turn. So a model that blocks never delays a heartbeat.

docs/agents.md explains the protocol. The messages that this package imports, `arizuko.v1`, are made
when it is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import signal
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable
from typing import Any

import grpc.aio
from arizuko.v1 import agent_pb2 as pb
from arizuko.v1.agent_pb2_grpc import AgentServiceStub
from arizuko.v1.turn_pb2 import Turn

from .control import Control, ControlError
from .reply import Failure, Gone, Reply

__all__ = ["Agent", "Control", "ControlError", "Failure", "Gone", "Reply", "Turn"]

log = logging.getLogger("arizuko_agent")

FIRST_DELAY, LAST_DELAY = 0.1, 2.0  # seconds between two attempts to attach
GREETING, FAREWELL = 15.0, 3.0  # seconds to wait for Welcome, and for the end of all work
REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "UNIMPLEMENTED")


class Agent:
    """Takes the turns of a folder, by default the key's, and calls a handler with each.

    It takes `concurrency` turns at a time, each with up to `history` earlier messages.
    """

    def __init__(
        self,
        handler: Callable[[Turn, Reply], Any],
        *,
        folder: str = "",
        name: str = "python",
        concurrency: int = 1,
        history: int = 0,
        control: Control | None = None,
    ) -> None:
        self.control = control or Control()
        self._handler, self._concurrency = handler, concurrency
        self._hello = pb.Hello(folder=folder, name=name, history=history)
        self._replies: dict[tuple[str, int], Reply] = {}
        self._credit = 0  # turns that control may still deliver
        self._soon: deque[pb.AttachRequest] = deque()  # short requests, sent before frames
        self._delay = FIRST_DELAY
        self._wake, self._stopping = asyncio.Event(), asyncio.Event()

    def run(self) -> None:
        """Takes turns until SIGTERM, SIGINT or `stop`. Then it rejects the unfinished turns.

        Raises ControlError if control refuses the key, the folder or the protocol.
        """
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Makes `run` return. Any thread may call it."""
        self._later(self._stopping.set)

    async def _serve(self) -> None:
        self._loop, self._coroutines = asyncio.get_running_loop(), asyncio.new_event_loop()
        threading.Thread(target=self._run_coroutines, daemon=True).start()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._stopping.set)
        attached = asyncio.create_task(self._stay_attached())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((attached, stopping), return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        for reply in self._replies.values():
            if reply._wanted and not reply._complete:
                self._reject(reply)
        self._wake.set()
        # After this timeout, control requeues the remaining turns when the lease ends.
        await asyncio.wait((attached, asyncio.create_task(self._idle())), timeout=FAREWELL)
        if attached.done():
            attached.result()

    async def _idle(self) -> None:
        """Waits until no handler runs."""
        while any(reply._working for reply in self._replies.values()):
            self._wake.clear()
            await self._wake.wait()

    async def _stay_attached(self) -> None:
        """Attaches again and again until the agent stops."""
        channel = None
        while not self._stopping.is_set():
            try:
                channel = await self._carry(channel or await self.control.connect())
            except (OSError, grpc.RpcError) as error:
                if isinstance(error, grpc.RpcError) and error.code().name in REFUSED:
                    raise ControlError.of(error) from error
                # Log once for each outage, not for each attempt.
                if self._delay == FIRST_DELAY:
                    log.warning("%s (trying until control answers)", error)
                channel = None
                # Random, so that agents don't all attach again at once.
                await asyncio.sleep(self._delay * random.uniform(0.5, 1))
                self._delay = min(self._delay * 2, LAST_DELAY)

    async def _carry(self, channel: grpc.aio.Channel) -> grpc.aio.Channel | None:
        """Runs the session on one stream. After Drain, returns the channel for the next stream."""
        call = AgentServiceStub(channel).Attach(metadata=self.control.metadata)
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(GREETING):
                interval = await self._greet(call)
            tasks += map(asyncio.create_task, (self._beat(interval), self._say(call)))
            while (response := await call.read()) is not grpc.aio.EOF:
                if response.HasField("drain"):
                    # Until there is another channel, frames still go out on this stream.
                    return await self.control.connect()
                self._hear(response)
                self._wake.set()
            if not self._stopping.is_set():
                raise ConnectionError("control has ended the stream")
            return None
        finally:
            for task in tasks:
                task.cancel()
            # To a control that is not draining, this means that the agent leaves.
            call.cancel()
            await channel.close()

    async def _greet(self, call: Any) -> float:
        """Opens or resumes the session. Returns the seconds between heartbeats."""
        self._soon.clear()
        self._credit = self._hello.credit = self._room()
        replies = [reply for reply in self._replies.values() if reply._wanted]
        held = [pb.HeldTurn(**r._hold, next_seq=len(r._frames) + 1) for r in replies]
        self._hello.ClearField("held")
        self._hello.held.extend(held)
        await call.write(pb.AttachRequest(hello=self._hello))
        first = await call.read()
        if first is grpc.aio.EOF or not first.HasField("welcome"):
            raise ConnectionError("control did not answer Hello with Welcome")
        self._hello.session_id, self._delay = first.welcome.session_id, FIRST_DELAY
        kept = {(turn.turn_id, turn.attempt): turn.next_seq for turn in first.welcome.held}
        for key, reply in self._replies.items():
            if key in kept:
                reply._resume(kept[key])
            else:
                reply._abandon()
        return first.welcome.heartbeat_interval.ToTimedelta().total_seconds() or 5.0

    async def _beat(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._soon.append(pb.AttachRequest(heartbeat=pb.Heartbeat()))
            self._wake.set()

    async def _say(self, call: Any) -> None:
        # `_carry`, which reads from this call, gets the error.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while True:
                self._wake.clear()
                while request := self._next():
                    await call.write(request)
                if self._stopping.is_set() and not any(r._wanted for r in self._replies.values()):
                    break
                await self._wake.wait()
            await call.done_writing()

    def _next(self) -> pb.AttachRequest | None:
        if self._soon:
            return self._soon.popleft()
        if (turns := self._room() - self._credit) > 0 and not self._stopping.is_set():
            self._credit += turns
            return pb.AttachRequest(credit=pb.Credit(turns=turns))
        for key, reply in self._replies.items():
            if request := reply._next():
                # Next time the other replies come first.
                self._replies[key] = self._replies.pop(key)
                return request
        return None

    def _room(self) -> int:
        """Returns how many more turns fit. A turn counts until both sides are done with it."""
        held = {key: r for key, r in self._replies.items() if r._wanted or r._working}
        self._replies = held
        return max(self._concurrency - len(held), 0)

    def _hear(self, response: pb.AttachResponse) -> None:
        match response.WhichOneof("message"):
            case "turn":
                self._begin(response.turn)
            case "appended" | "cancel" | "lost" as kind:
                told = getattr(response, kind)
                reply = self._replies.get((told.turn_id, told.attempt))
                if reply and kind == "appended" and not told.finished:
                    reply._appended(told.next_seq)
                elif reply:
                    reply._abandon()

    def _begin(self, turn: Turn) -> None:
        self._credit = max(self._credit - 1, 0)
        reply = Reply(turn, self._later)
        if self._stopping.is_set():
            self._reject(reply)
        elif self._replies.setdefault((turn.turn_id, turn.attempt), reply) is reply:
            threading.Thread(target=self._answer, args=(turn, reply), daemon=True).start()

    def _answer(self, turn: Turn, reply: Reply) -> None:
        """Calls the handler. Each turn has its own thread for this."""
        error = None
        try:
            said = self._handler(turn, reply)
            if inspect.isawaitable(said) or isinstance(said, AsyncIterable):
                work = self._attend(said, reply)
                asyncio.run_coroutine_threadsafe(work, self._coroutines).result()
            else:
                _write(said, reply)
        except BaseException as problem:
            error = problem
        self._later(reply._end, error)

    async def _attend(self, said: Any, reply: Reply) -> None:
        task = asyncio.ensure_future(_write_later(said, reply))
        reply._when_over(lambda: self._coroutines.call_soon_threadsafe(task.cancel))
        await task

    def _run_coroutines(self) -> None:
        while True:
            # SystemExit in a handler ends its turn, not the agent.
            with contextlib.suppress(SystemExit):
                self._coroutines.run_forever()

    def _reject(self, reply: Reply) -> None:
        """Gives a turn back to control, which requeues it."""
        self._soon.append(pb.AttachRequest(reject=pb.Reject(**reply._hold, detail="stopping")))
        reply._abandon()

    def _later(self, call: Callable[..., object], *args: object) -> None:
        """Runs a call in the session's thread."""

        def do() -> None:
            call(*args)
            self._wake.set()

        # The event loop is closed once the session has ended.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(do)


def _write(said: Any, reply: Reply) -> None:
    for piece in [said] if isinstance(said, str) else said or ():
        reply.write(piece)


async def _write_later(said: Any, reply: Reply) -> None:
    if inspect.isawaitable(said):
        said = await said
    if isinstance(said, AsyncIterable):
        async for piece in said:
            reply.write(piece)
    else:
        _write(said, reply)

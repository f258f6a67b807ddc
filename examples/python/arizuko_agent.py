"""An agent of arizuko in Python: a session with control that outlives the streams it runs over.

    from arizuko_agent import Agent

    async def answer(turn, reply):
        reply.write(f"You said: {turn.content.decode()}")

    Agent(answer).run()

A handler sees a turn and a reply, and nothing of heartbeats, acknowledgements or reconnecting. The
session has an event loop to itself: coroutines run on another one, in a second thread, and plain
functions in a thread a turn. So a model that blocks never holds up a heartbeat.

docs/agents.md has the protocol, and how to make the stubs that are imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import grpc.aio
from arizuko.v1 import agent_pb2 as pb
from arizuko.v1.agent_pb2 import Turn
from arizuko.v1.agent_pb2_grpc import AgentServiceStub
from arizuko_control import Control

__all__ = ["Agent", "Control", "Failure", "Gone", "Reply", "Turn"]

log = logging.getLogger("arizuko_agent")

FIRST_DELAY, LAST_DELAY = 0.1, 2.0  # seconds between attempts to attach
GREETING, FAREWELL = 15.0, 3.0  # seconds that control may take
MAX_TEXT = 15_000  # characters: in any language they fit into a frame, 64 KiB
MAX_FRAMES = 32  # of an Append: at their largest, half of what control takes
MAX_REPLY = 16 << 20  # bytes; control ends a turn long before
REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "UNIMPLEMENTED")


class Failure(Exception):
    """Raised by a handler that can't answer: a sentence for the visitor."""


class Gone(Exception):
    """Nobody wants the rest of a reply: it was cancelled, or is another agent's by now."""


class Reply:
    """The way back to the visitor. Its methods never block, and any thread may call them.

    Frames are kept until Finish is acknowledged, so that what a failover loses is sent again.
    """

    def __init__(self, turn: Turn, later: Callable[..., None]) -> None:
        self._hold: dict[str, Any] = {"turn_id": turn.turn_id, "attempt": turn.attempt}
        self._folder, self._later = turn.folder, later
        self._number, self._begun, self._bytes = 1, False, 0
        self._over = threading.Event()
        self._cancel: Callable[[], object] = lambda: None
        # The rest belongs to the session's thread.
        self._wanted, self._working = True, True  # by control, by the handler
        self._frames: list[pb.AgentFrame] = []
        self._stored, self._sent = 0, 0  # how many of them
        self._finish: pb.Finish | None = None
        self._accepted = self._finish_sent = self._handed_off = False

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the rest: coroutines are cancelled then, and writes raise Gone."""
        return self._over.is_set()

    def write(self, text: str) -> None:
        """Appends to the message under way, which the first piece begins."""
        for start in range(0, len(text), MAX_TEXT):
            piece = pb.AgentDelta(id=f"m{self._number}", text=text[start : start + MAX_TEXT])
            self._put(pb.AgentFrame(delta=piece))
            self._begun = True

    def message(self, content: str) -> None:
        """Ends the message under way with its finished form, or is a whole one by itself."""
        if len(content) <= MAX_TEXT:
            whole = pb.AgentMessage(id=f"m{self._number}", content=content)
            self._put(pb.AgentFrame(message=whole))
        elif not self._begun:
            self.write(content)
        self._number, self._begun = self._number + 1, False

    def status(self, text: str) -> None:
        """Says what the agent is doing."""
        self._put(pb.AgentFrame(status=text[:MAX_TEXT]))

    def hand_off(self, folder: str = "", note: str = "", *, conversation: bool = False) -> None:
        """Hands the turn to another folder: the last thing to be done with it.

        An empty folder is the one that the route names. The note is for whoever goes on, and
        `conversation` says that later messages go there as well.
        """
        root = self._folder.split("/")[0]
        if folder and not re.fullmatch(rf"{root}(/[A-Za-z0-9_-]{{1,63}}){{0,7}}", folder):
            raise ValueError(f"{folder!r} is no folder within {root}")
        handoff = pb.Handoff(folder=folder, note=note[:4000], conversation=conversation)
        self._put(pb.AgentFrame(handoff=handoff))

    def _put(self, frame: pb.AgentFrame) -> None:
        if self.cancelled:
            raise Gone("nobody wants the rest of this reply")
        self._bytes += frame.ByteSize()
        if self._bytes > MAX_REPLY:
            raise Failure("The reply was too long.")
        self._later(self._add, frame)

    def _when_over(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        if self.cancelled:
            cancel()

    def _add(self, frame: pb.AgentFrame) -> None:
        if not self._complete:
            self._frames.append(frame)
            self._handed_off = frame.HasField("handoff")

    def _end(self, error: BaseException | None) -> None:
        """The handler has ended. Lost answers a handoff: then there is nothing to finish."""
        self._working = False
        if error and self._wanted:
            log.error("turn %s failed", self._hold["turn_id"], exc_info=error)
        if not self._handed_off:
            self._finish = pb.Finish(**self._hold, seq=len(self._frames) + 1)
            if error:
                self._finish.failed, self._finish.detail = True, repr(error)
            if isinstance(error, Failure):
                self._finish.error = str(error)

    @property
    def _complete(self) -> bool:
        return self._handed_off or self._finish is not None

    def _abandon(self) -> None:
        """Nobody wants any more of it."""
        self._wanted = False
        self._over.set()
        self._cancel()

    def _appended(self, next_seq: int) -> None:
        """Control has all frames before this one. When it had more, its store has lost some."""
        if next_seq <= self._stored:
            self._resume(next_seq)
        self._stored = next_seq - 1

    def _resume(self, next_seq: int) -> None:
        """All from this frame on is sent again."""
        self._stored = self._sent = next_seq - 1
        self._accepted = self._finish_sent = False

    def _next(self) -> pb.AttachRequest | None:
        """What control should be told next."""
        if not self._wanted:
            return None
        if not self._accepted:
            self._accepted = True
            return pb.AttachRequest(accept=pb.Accept(**self._hold))
        if frames := self._frames[self._sent : self._sent + MAX_FRAMES]:
            append = pb.Append(**self._hold, seq=self._sent + 1, frames=frames)
            self._sent += len(frames)
            return pb.AttachRequest(append=append)
        if self._finish and not self._finish_sent:
            self._finish_sent = True
            return pb.AttachRequest(finish=self._finish)
        return None


class Agent:
    """Takes a folder's turns, by default the key's, and calls a handler with each.

    It takes `concurrency` at a time, each with the `history` messages before it.
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
        self._credit = 0  # what control has of it
        self._soon: deque[pb.AttachRequest] = deque()  # goes ahead of all that can be much
        self._delay = FIRST_DELAY
        self._wake, self._stopping = asyncio.Event(), asyncio.Event()

    def run(self) -> None:
        """Takes turns until SIGTERM, SIGINT or `stop`, and hands back those under way.

        Raises grpc.RpcError when control refuses what no repeat can change: key, folder, protocol.
        """
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Ends `run`, from any thread."""
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
        # What control has not heard by then it learns from the end of the lease.
        await asyncio.wait((attached, asyncio.create_task(self._idle())), timeout=FAREWELL)
        if attached.done():
            attached.result()

    async def _idle(self) -> None:
        """Waits until no handler is at work."""
        while any(reply._working for reply in self._replies.values()):
            self._wake.clear()
            await self._wake.wait()

    async def _stay_attached(self) -> None:
        """Attaches again for as long as it takes."""
        channel = None
        while not self._stopping.is_set():
            try:
                channel = await self._carry(channel or await self.control.connect())
            except (OSError, grpc.RpcError) as error:
                if isinstance(error, grpc.RpcError) and error.code().name in REFUSED:
                    raise
                # Once for each outage, not for each try.
                if self._delay == FIRST_DELAY:
                    log.warning("%s (trying until control answers)", error)
                channel = None
                # By chance in part, so that agents don't all come back at once.
                await asyncio.sleep(self._delay * random.uniform(0.5, 1))
                self._delay = min(self._delay * 2, LAST_DELAY)

    async def _carry(self, channel: grpc.aio.Channel) -> grpc.aio.Channel | None:
        """Carries the session over one stream. Gives the channel to go on over, after Drain."""
        call = AgentServiceStub(channel).Attach(metadata=self.control.metadata)
        tasks: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(GREETING):
                interval = await self._greet(call)
            tasks += map(asyncio.create_task, (self._beat(interval), self._say(call)))
            while (response := await call.read()) is not grpc.aio.EOF:
                if response.HasField("drain"):
                    # Turns go on over this stream until there is another.
                    return await self.control.connect()
                self._hear(response)
                self._wake.set()
            if not self._stopping.is_set():
                raise ConnectionError("control has ended the stream")
            return None
        finally:
            for task in tasks:
                task.cancel()
            # A control that is not draining takes this for the agent's leaving.
            call.cancel()
            await channel.close()

    async def _greet(self, call: Any) -> float:
        """Opens the session, or goes on with it. Gives the time between heartbeats."""
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
        # Whoever reads is told what broke.
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
                # The next time the others come first.
                self._replies[key] = self._replies.pop(key)
                return request
        return None

    def _room(self) -> int:
        """How many places no turn takes up. It does until it is over on both sides."""
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
        """Calls the handler, in a thread of the turn's own."""
        error = None
        try:
            answer = self._handler(turn, reply)
            if inspect.iscoroutine(answer):
                work = self._attend(answer, reply)
                asyncio.run_coroutine_threadsafe(work, self._coroutines).result()
        except BaseException as problem:
            error = problem
        self._later(reply._end, error)

    async def _attend(self, answer: Coroutine[Any, Any, Any], reply: Reply) -> None:
        task = asyncio.ensure_future(answer)
        reply._when_over(lambda: self._coroutines.call_soon_threadsafe(task.cancel))
        await task

    def _run_coroutines(self) -> None:
        while True:
            # It ends a turn, not the agent.
            with contextlib.suppress(SystemExit):
                self._coroutines.run_forever()

    def _reject(self, reply: Reply) -> None:
        """Hands a turn back."""
        self._soon.append(pb.AttachRequest(reject=pb.Reject(**reply._hold, detail="stopping")))
        reply._abandon()

    def _later(self, call: Callable[..., object], *args: object) -> None:
        """Has something done in the session's thread."""

        def do() -> None:
            call(*args)
            self._wake.set()

        # A session that has ended needs to be told nothing.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(do)

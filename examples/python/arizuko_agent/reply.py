"""The reply to a turn, as a handler of `arizuko_agent` writes it."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

from arizuko.v1 import agent_pb2 as pb
from arizuko.v1.turn_pb2 import HttpResponse, Turn

log = logging.getLogger("arizuko_agent")

MAX_TEXT = 15_000  # characters; in any language they fit into a frame of 64 KiB
MAX_FRAMES = 32  # in one Append; at most 2 MiB of the 4 MiB that control takes
MAX_REPLY = 16 << 20  # bytes; control fails the turn long before this


class Failure(Exception):
    """Raise this in a handler that can't answer, with a sentence for the visitor."""


class Gone(Exception):
    """Raised by a write after the turn was cancelled or went to another agent."""


class Reply:
    """The reply to a turn. Its methods never block, and any thread may call them.

    Frames are kept until Finish is acknowledged, since those that a failover loses are sent again.
    """

    def __init__(self, turn: Turn, later: Callable[..., None]) -> None:
        self._hold: dict[str, Any] = {"turn_id": turn.turn_id, "attempt": turn.attempt}
        self._folder, self._later = turn.folder, later
        self._number, self._begun, self._bytes = 1, False, 0
        self._over = threading.Event()
        self._usage: pb.Usage | None = None
        self._cancel: Callable[[], object] = lambda: None
        # Only the session's thread uses the fields below.
        self._wanted = True  # control still wants frames
        self._working = True  # the handler still runs
        self._frames: list[pb.AgentFrame] = []
        self._stored, self._sent = 0, 0  # frames that control has stored; frames sent
        self._finish: pb.Finish | None = None
        self._accepted = self._finish_sent = self._handed_off = False

    @property
    def cancelled(self) -> bool:
        """Whether the turn was cancelled or went to another agent. Writes then raise Gone."""
        return self._over.is_set()

    def write(self, text: str) -> None:
        """Appends to the current message. The first call begins it."""
        for start in range(0, len(text), MAX_TEXT):
            piece = pb.AgentDelta(id=f"m{self._number}", text=text[start : start + MAX_TEXT])
            self._put(pb.AgentFrame(delta=piece))
            self._begun = True

    def message(self, content: str) -> None:
        """Ends the message with its finished form, which is left out if over MAX_TEXT characters."""
        if len(content) <= MAX_TEXT:
            whole = pb.AgentMessage(id=f"m{self._number}", content=content)
            self._put(pb.AgentFrame(message=whole))
        elif not self._begun:
            self.write(content)
        self._number, self._begun = self._number + 1, False

    def status(self, text: str) -> None:
        """Says what the agent is doing."""
        self._put(pb.AgentFrame(status=text[:MAX_TEXT]))

    def title(self, text: str) -> None:
        """Names the conversation in the visitor's list, with at most 120 characters."""
        self._put(pb.AgentFrame(title=text[:120]))

    def usage(self, input_tokens: int, output_tokens: int) -> None:
        """Says how many model tokens the turn has used in all, for its link's budget."""
        self._usage = pb.Usage(input_tokens=input_tokens, output_tokens=output_tokens)

    def hand_off(self, folder: str = "", note: str = "", *, conversation: bool = False) -> None:
        """Hands the turn off to another folder. Must be the last call.

        An empty folder means the one that the route names. The note is for the next agent. With
        `conversation`, later messages go to that folder too.
        """
        root = self._folder.split("/")[0]
        if folder and not re.fullmatch(rf"{root}(/[A-Za-z0-9_-]{{1,63}}){{0,7}}", folder):
            raise ValueError(f"{folder!r} is not a folder within {root}")
        handoff = pb.Handoff(folder=folder, note=note[:4000], conversation=conversation)
        self._put(pb.AgentFrame(handoff=handoff))

    def respond(
        self,
        body: str | bytes | dict[str, Any] | list[Any] = b"",
        *,
        status: int = 200,
        content_type: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answers the sender of a webhook's delivery, if the link waits. The first call counts.

        A dict or a list is sent as JSON.
        """
        if isinstance(body, dict | list):
            body, content_type = json.dumps(body), content_type or "application/json"
        body = body.encode() if isinstance(body, str) else body
        response = HttpResponse(status=status, content_type=content_type, body=body)
        for name, value in (headers or {}).items():
            response.headers.add(name=name.lower(), value=value.encode())
        self._put(pb.AgentFrame(response=response))

    def _put(self, frame: pb.AgentFrame) -> None:
        if self.cancelled:
            raise Gone("this turn was cancelled or went to another agent")
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
        """Notes that the handler has ended. Control answers a handoff with Lost, without Finish."""
        self._working = False
        if error and self._wanted:
            log.error("turn %s failed", self._hold["turn_id"], exc_info=error)
        if not self._handed_off:
            self._finish = pb.Finish(**self._hold, seq=len(self._frames) + 1, usage=self._usage)
            if error:
                self._finish.failed, self._finish.detail = True, repr(error)
            if isinstance(error, Failure):
                self._finish.error = str(error)

    @property
    def _complete(self) -> bool:
        return self._handed_off or self._finish is not None

    def _abandon(self) -> None:
        """Stops the handler: control wants no more frames."""
        self._wanted = False
        self._over.set()
        self._cancel()

    def _appended(self, next_seq: int) -> None:
        """Notes that control has all frames below `next_seq`. Sends lost frames again."""
        if next_seq <= self._stored:
            self._resume(next_seq)
        self._stored = next_seq - 1

    def _resume(self, next_seq: int) -> None:
        """Sends all frames from number `next_seq` on again."""
        self._stored = self._sent = next_seq - 1
        self._accepted = self._finish_sent = False

    def _next(self) -> pb.AttachRequest | None:
        """Returns the next request for control; None if there is none."""
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

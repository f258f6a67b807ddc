"""Where control is, the key to call it with, and what an agent asks of it besides turns."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
from arizuko.v1.agent_pb2_grpc import AgentServiceStub
from arizuko.v1.speech_pb2 import SendMessageRequest
from arizuko.v1.token_pb2 import IssueChatLinkRequest, IssueChatLinkResponse, LinkOptions
from arizuko.v1.token_pb2_grpc import TokenServiceStub

CONNECTING, ANSWERING = 3.0, 5.0  # seconds that control may take
PATIENCE = 20.0  # seconds for which a call is tried
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A new channel is not to wait for the back-off of one before it.
    ("grpc.use_local_subchannel_pool", 1),
]


class Control:
    """One or several controls of the same system. Its calls block, and may be made in any thread.

    Unless they are given, ARIZUKO_CONTROL has the addresses, with commas between them, and the key
    is in ARIZUKO_KEY or in the file that ARIZUKO_KEY_FILE names. For https, ARIZUKO_CA is the file
    of authorities to trust in place of the usual ones, and ARIZUKO_CLIENT_CERT and
    ARIZUKO_CLIENT_KEY have what is shown to a control that wants a certificate.
    """

    def __init__(self, addresses: Sequence[str] = (), key: str = "") -> None:
        named = os.environ.get("ARIZUKO_CONTROL") or "http://127.0.0.1:7070"
        self._addresses = list(addresses or named.split(","))
        # Each attempt begins with the next in the list.
        self._next = itertools.cycle(self._addresses)
        key = key or os.environ.get("ARIZUKO_KEY") or (_file("ARIZUKO_KEY_FILE") or b"").decode()
        self.metadata = (("authorization", f"Bearer {key.strip()}"),)

    def issue_chat_link(
        self, folder: str = "", suffix: str = "", **options: Any
    ) -> IssueChatLinkResponse:
        """Mints a chat link of a folder, by default the key's. Options are as in LinkOptions."""
        request = IssueChatLinkRequest(
            folder=folder, jid_suffix=suffix, options=LinkOptions(**options)
        )
        return self._call(lambda channel: TokenServiceStub(channel).IssueChatLink, request)

    def send_message(
        self, conversation: str, content: str, *, folder: str = "", name: str = ""
    ) -> str:
        """Speaks first, as the agent or as the person of that name. Gives the turn's id."""
        request = SendMessageRequest(
            folder=folder,
            conversation=conversation,
            content=content,
            name=name,
            idempotency_key=uuid.uuid4().hex,
        )
        return self._call(lambda channel: AgentServiceStub(channel).SendMessage, request).turn_id

    async def connect(self) -> grpc.aio.Channel:
        """Connects to one that answers."""
        for address in itertools.islice(self._next, len(self._addresses)):
            channel = _channel(grpc.aio, address)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECTING):
                    state = channel.get_state(try_to_connect=True)
                    while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        if state is grpc.ChannelConnectivity.READY:
                            return channel
                        await channel.wait_for_state_change(state)
                        state = channel.get_state()
            await channel.close()
        raise ConnectionError(f"no control at {' or '.join(self._addresses)}")

    def _call(self, method: Callable[[grpc.Channel], Any], request: Any) -> Any:
        """Calls one after another until one decides."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with _channel(grpc, next(self._next)) as channel:
                try:
                    return method(channel)(request, timeout=ANSWERING, metadata=self.metadata)
                except grpc.RpcError as error:
                    if error.code().name not in AWAY or time.monotonic() > deadline:
                        raise
            time.sleep(random.uniform(0.1, 0.3))


def _channel(library: Any, address: str) -> Any:
    """A channel of `grpc` or of `grpc.aio`."""
    scheme, _, target = address.rstrip("/").rpartition("://")
    if scheme == "https":
        names = ("ARIZUKO_CA", "ARIZUKO_CLIENT_KEY", "ARIZUKO_CLIENT_CERT")
        credentials = grpc.ssl_channel_credentials(*map(_file, names))
        return library.secure_channel(target, credentials, OPTIONS)
    return library.insecure_channel(target, OPTIONS)


def _file(variable: str) -> bytes | None:
    """The content of the file that a variable names."""
    path = os.environ.get(variable)
    return Path(path).read_bytes() if path else None

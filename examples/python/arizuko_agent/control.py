"""The address and key of control, and the calls that an agent makes besides taking turns."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import random
import re
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
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

CONNECTING, ANSWERING = 2.0, 5.0  # seconds to wait for a connection, and for an answer
PATIENCE = 20.0  # seconds after which a call is not retried
AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
OPTIONS = [
    # A dead connection is replaced within 2 s.
    ("grpc.keepalive_time_ms", 500),
    ("grpc.keepalive_timeout_ms", 1_250),
    # Otherwise gRPC waits for a minute, whatever the line above says.
    ("grpc.http2.ping_timeout_ms", 1_250),
    ("grpc.http2.max_pings_without_data", 0),
    # A webhook's body can have up to 16 MiB.
    ("grpc.max_receive_message_length", 20 << 20),
    # A name can stand for several controls: whoever asks tries them in an order of its own.
    (
        "grpc.service_config",
        '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}',
    ),
    # Otherwise a new channel would wait for the back-off of an earlier one.
    ("grpc.use_local_subchannel_pool", 1),
]


class ControlError(Exception):
    """Control refuses a call or the agent."""

    def __init__(
        self, message: str, code: str, reason: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        """gRPC's code, such as `UNAUTHENTICATED`."""
        self.reason = reason
        """Why: an ErrorReason of the contract, without prefix. None: the error is not control's."""
        self.retry_after = retry_after
        """How many seconds to wait before the next attempt. None: control doesn't say."""

    @classmethod
    def of(cls, error: grpc.RpcError) -> ControlError:
        reason, retry_after = None, None
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info, retry = ErrorInfo(), RetryInfo()
            if detail.Unpack(info) and info.domain == "arizuko":
                reason = info.reason
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        code = error.code().name
        return cls(f"{code}: {error.details()}", code, reason, retry_after)


class Control:
    """One or several controls of one system. Any thread may call the methods. `connect` is a
    coroutine; the other methods block.

    By default ARIZUKO_CONTROL holds the addresses, with commas between them, and ARIZUKO_KEY, or
    the file that ARIZUKO_KEY_FILE names, holds the key. For https, ARIZUKO_CA names a file of
    certificate authorities to trust instead of the usual ones; ARIZUKO_CLIENT_CERT and
    ARIZUKO_CLIENT_KEY name the files with the certificate and key to show to control.
    """

    def __init__(self, addresses: Sequence[str] = (), key: str = "") -> None:
        named = os.environ.get("ARIZUKO_CONTROL") or "http://127.0.0.1:7070"
        self._addresses = list(addresses or named.split(","))
        # Each attempt begins with the next address.
        self._next = itertools.cycle(self._addresses)
        key = key or os.environ.get("ARIZUKO_KEY") or (_file("ARIZUKO_KEY_FILE") or b"").decode()
        self.metadata = (("authorization", f"Bearer {key.strip()}"),)

    def issue_chat_link(
        self, folder: str = "", suffix: str = "", **options: Any
    ) -> IssueChatLinkResponse:
        """Issues a chat link for a folder, by default the key's, with options of LinkOptions."""
        request = IssueChatLinkRequest(
            folder=folder, jid_suffix=suffix, options=LinkOptions(**options)
        )
        # A repeat would issue a second link.
        return self._call(lambda channel: TokenServiceStub(channel).IssueChatLink, request, False)

    def send_message(
        self, conversation: str, content: str, *, folder: str = "", name: str = ""
    ) -> str:
        """Sends a message without being asked. Returns the turn's id.

        With `name`, a person of that name sends it, and otherwise the agent.
        """
        request = SendMessageRequest(
            folder=folder,
            conversation=conversation,
            content=content,
            name=name,
            idempotency_key=uuid.uuid4().hex,
        )
        return self._call(lambda channel: AgentServiceStub(channel).SendMessage, request).turn_id

    async def connect(self) -> grpc.aio.Channel:
        """Connects to a control that answers. Raises ConnectionError if none does."""
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

    def _call(
        self, method: Callable[[grpc.Channel], Any], request: Any, is_repeatable: bool = True
    ) -> Any:
        """Calls one control after another until one answers, or PATIENCE has passed.

        A call that may have reached a control is only repeated if it is repeatable. Raises
        ControlError if control refuses the call or the call got lost, and ConnectionError if no
        control could be reached.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            with _channel(grpc, next(self._next)) as channel:
                try:
                    if _is_ready(channel):
                        return method(channel)(request, timeout=ANSWERING, metadata=self.metadata)
                except grpc.RpcError as error:
                    is_away = error.code().name in AWAY
                    if not (is_away and is_repeatable) or time.monotonic() > deadline:
                        raise ControlError.of(error) from error
            if time.monotonic() > deadline:
                raise ConnectionError(f"no control at {' or '.join(self._addresses)}")
            time.sleep(random.uniform(0.1, 0.3))


def _is_ready(channel: grpc.Channel) -> bool:
    """Connects. Tells whether a control answers: even one that hangs accepts TCP connections."""
    states: queue.SimpleQueue[grpc.ChannelConnectivity] = queue.SimpleQueue()
    channel.subscribe(states.put, try_to_connect=True)
    state = None
    with contextlib.suppress(queue.Empty):
        while state not in (
            grpc.ChannelConnectivity.READY,
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
        ):
            state = states.get(timeout=CONNECTING)
    return state is grpc.ChannelConnectivity.READY


def _channel(library: Any, address: str) -> Any:
    """Opens a channel of `grpc` or of `grpc.aio`."""
    scheme, _, target = address.rstrip("/").rpartition("://")
    options = list(OPTIONS)
    if re.match(r"(localhost|127\.[\d.]+|\[::1])(:|$)", target):
        options.append(("grpc.enable_http_proxy", 0))
    if scheme == "https":
        names = ("ARIZUKO_CA", "ARIZUKO_CLIENT_KEY", "ARIZUKO_CLIENT_CERT")
        credentials = grpc.ssl_channel_credentials(*map(_file, names))
        return library.secure_channel(target, credentials, options)
    return library.insecure_channel(target, options)


def _file(variable: str) -> bytes | None:
    """Reads the file that an environment variable names. Returns None if it names none."""
    path = os.environ.get(variable)
    return Path(path).read_bytes() if path else None

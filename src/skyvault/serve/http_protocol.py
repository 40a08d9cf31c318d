"""HTTP on a connection: the request's head is bounded, or one client could fill the memory with headers."""

from __future__ import annotations

from typing import Any

#: bytes of request line and headers together; a query of this size belongs in a POST
MOST_HEAD_BYTES = 128 * 1024
#: key of an ASGI scope: a call that cuts the connection
ABORT = "skyvault.abort"


def protocol() -> Any:
    """The protocol class for uvicorn: its quick one with a limit, or the name of the slow one, which has its own."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "h11"

    class BoundedProtocol(HttpToolsProtocol):
        """Closes a connection whose request line and headers do not end within the limit."""

        _head_bytes = 0
        _is_in_head = True

        def on_message_begin(self) -> None:
            self._is_in_head = True
            super().on_message_begin()
            # closing waits for a client to read what is buffered; one that reads nothing must be cut off
            self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]

        def on_headers_complete(self) -> None:
            self._is_in_head, self._head_bytes = False, 0
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            if self._is_in_head:
                end = data.find(b"\r\n\r\n")
                self._head_bytes += len(data) if end < 0 else end
                if self._head_bytes > MOST_HEAD_BYTES:
                    self._refuse()
                    return
            super().data_received(data)

        def _refuse(self) -> None:
            message = b"The request line and headers are too large; send a long query with POST.\n"
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                b"content-length: " + str(len(message)).encode() + b"\r\n\r\n" + message
            )
            self.transport.close()

    return BoundedProtocol

"""A hub on this machine: just enough of it to download a model for real, without a network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def serve(name: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve `folder` as the model `name`; gives the address and the paths that were asked for."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, *, body: bool = True) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            if path.startswith(f"/api/models/{name}"):
                return self.answer(200, json.dumps(self.api(path)).encode(), body)
            file = folder / path.rpartition("/")[2]
            if path.startswith(f"/{name}/resolve/") and file.is_file():
                return self.answer(200, file.read_bytes(), body)
            return self.answer(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})

        def api(self, path: str) -> Any:
            files = sorted(p for p in folder.iterdir() if p.is_file())
            if "/tree/" in path:
                return [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _digest(p)}
                    for p in files
                ]
            siblings = [{"rfilename": p.name, "size": p.stat().st_size} for p in files]
            return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}

        def answer(
            self, status: int, data: bytes, body: bool, extra: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            for key, value in (extra or {}).items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Replies of an endpoint, kept on disk so that none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrievers.storage.disk import user_cache

_VERSION = 2  # the first held bare texts


def default_path() -> Path:
    """`ragshap/replies.sqlite3` in the user's cache folder."""
    return user_cache() / "replies.sqlite3"


class ReplyCache:
    """Replies by a hash of the address and the whole request; prompts, bearer tokens and headers are not stored.

    Each reply is committed by itself, so that a killed process loses none and leaves none half-written. Several threads
    and processes may use one file.

    Args:
        path: the file, made with its folder if missing; None keeps replies in memory.

    Raises:
        ValueError: the file is not a cache of replies.
    """

    def __init__(self, path: str | Path | None):
        self.path = None if path is None else Path(path).expanduser()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                self.path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False
            )
            self._closing = weakref.finalize(self, self._connection.close)
            self._prepare()
        except sqlite3.Error as error:
            raise ValueError(
                f"{self.path} cannot be used as a cache of replies ({error}); delete it, or name another file in "
                "reader.endpoint.cache"
            ) from None

    @staticmethod
    def key(url: str, body: Mapping[str, Any]) -> str:
        """The key of a request's reply."""
        return hashlib.sha256(json.dumps([url, body], sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """The reply, as JSON; None if there is none yet."""
        row = self._execute("SELECT reply FROM replies WHERE request = ?", key)
        return None if row is None else str(row[0])

    def put(self, key: str, reply: str) -> None:
        """Keep a reply."""
        self._execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", key, reply)

    def close(self) -> None:
        """Close the file; this also happens when the cache is garbage-collected."""
        with self._lock:
            self._closing()

    def _prepare(self) -> None:
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")  # two processes may make the file at once
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version == 1:  # what may be reasoning is asked for again
                connection.execute("DELETE FROM replies WHERE reply LIKE '%<think%' OR trim(reply) = ''")
                connection.execute("UPDATE replies SET reply = json_object('text', reply)")
            elif version != _VERSION and (version or tables):
                raise sqlite3.DatabaseError(f"it has version {version}, this release writes {_VERSION}")
            connection.execute("CREATE TABLE IF NOT EXISTS replies (request TEXT PRIMARY KEY, reply TEXT)")
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _execute(self, statement: str, *values: str) -> Any:
        try:
            with self._lock:
                return self._connection.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise OSError(f"the cache of replies {self.path} failed: {error}") from None

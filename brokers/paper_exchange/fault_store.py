"""What was done to callers survives a kill: faults, how often each came and struck, and calls.

A file of its own beside the books, so that clearing it away leaves nothing but the truth. What a
killed process wrote is there; a power cut may lose the last of it.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from brokers.paper_exchange.calls import Call

_FILE = "faults.sqlite"
_BUSY_S = 10

_CREATE = """
CREATE TABLE IF NOT EXISTS faults (
    number INTEGER PRIMARY KEY AUTOINCREMENT, told TEXT, memory TEXT, calls INTEGER DEFAULT 0,
    cleared INTEGER DEFAULT 0
);
CREATE TABLE IF NOT EXISTS strikes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, fault INTEGER, name TEXT, call INTEGER, at TEXT,
    endpoint TEXT, effect TEXT
);
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, at TEXT, endpoint TEXT, asked TEXT, orderid TEXT, accepted INTEGER,
    status INTEGER, answer TEXT
);
CREATE TABLE IF NOT EXISTS scenario (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), text TEXT);
"""
# A call's true outcome is known before its answer, which may be late, another or none.
_RECEIVED = "INSERT OR IGNORE INTO calls (number, at, endpoint, asked) VALUES (?,?,?,?)"
_DONE = "UPDATE calls SET accepted = ?, orderid = ? WHERE number = ?"
_ANSWERED = "UPDATE calls SET status = ?, answer = ? WHERE number = ?"
_STRUCK = "INSERT INTO strikes (fault, name, call, at, endpoint, effect) VALUES (?,?,?,?,?,?)"
_FAULTS = """
SELECT number, told, memory, calls, cleared,
    (SELECT count(*) FROM strikes WHERE fault = number) FROM faults ORDER BY number
"""
_CALLS = """
SELECT number, at, endpoint, asked, orderid, accepted, status, answer FROM calls ORDER BY number
"""
_STRIKES = "SELECT fault, name, call, at, endpoint, effect FROM strikes ORDER BY id"


@dataclass(frozen=True, slots=True)
class StoredFault:
    """A fault as it was told, and how it went: fitting calls so far, and strikes."""

    number: int
    told: Mapping[str, Any]
    memory: Mapping[str, Any]
    calls: int
    is_cleared: bool
    strikes: int


class FaultStore:
    """The file. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        path = folder / _FILE
        self._lock = Lock()
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_CREATE)
        path.chmod(0o600)

    def faults(self) -> list[StoredFault]:
        """All that were ever set, in that order."""
        with self._lock:
            rows = self._connection.execute(_FAULTS).fetchall()
        return [
            StoredFault(number, json.loads(told), json.loads(memory), calls, bool(cleared), struck)
            for number, told, memory, calls, cleared, struck in rows
        ]

    def add(self, told: Mapping[str, Any], memory: Mapping[str, Any]) -> int:
        """Keep a fault; its number."""
        query = "INSERT INTO faults (told, memory) VALUES (?,?)"
        with self._lock, self._connection as connection:
            cursor = connection.execute(query, (json.dumps(told), json.dumps(memory)))
            return int(cursor.lastrowid or 0)

    def clear(self, number: int | None) -> None:
        """End one fault, or all of them; what they did stays on record."""
        query = "UPDATE faults SET cleared = 1 WHERE ? IS NULL OR number = ?"
        self._write(query, number, number)

    def count(self, number: int, calls: int) -> None:
        """So many calls have fitted a fault."""
        self._write("UPDATE faults SET calls = ? WHERE number = ?", calls, number)

    def scenario(self) -> str | None:
        """The scenario that was set up last."""
        with self._lock:
            row = self._connection.execute("SELECT text FROM scenario").fetchone()
        return None if row is None else str(row[0])

    def keep_scenario(self, text: str) -> None:
        """Remember which scenario was set up."""
        self._write("INSERT OR REPLACE INTO scenario VALUES (1, ?)", text)

    def received(self, call: Call) -> None:
        """Keep a call; more than once is once."""
        asked = {key: value for key, value in call.asked.items() if key != "apikey"}
        text = json.dumps(asked, default=str)
        self._write(_RECEIVED, call.number, call.at.isoformat(), call.endpoint, text)

    def done(self, call: Call, is_accepted: bool, orderid: str | None) -> None:
        """Keep what truly became of a call."""
        self._write(_DONE, int(is_accepted), orderid, call.number)

    def answered(self, call: Call, status: int, answer: Mapping[str, Any]) -> None:
        """Keep what the caller was told."""
        self._write(_ANSWERED, status, json.dumps(answer), call.number)

    def struck(self, fault: int, name: str, call: Call, effect: str) -> None:
        """Keep that a fault struck a call."""
        at = call.at.isoformat()
        self._write(_STRUCK, fault, name, call.number, at, call.endpoint, effect)

    def last_call(self) -> int:
        """The number of the call that was kept last, 0 if there is none."""
        with self._lock:
            row = self._connection.execute("SELECT max(number) FROM calls").fetchone()
        return int(row[0] or 0)

    def calls(self) -> list[dict[str, Any]]:
        """Every call that moved an order or was struck, as it was received and answered."""
        names = ("number", "at", "endpoint", "asked", "orderid", "accepted", "status", "answer")
        with self._lock:
            rows = self._connection.execute(_CALLS).fetchall()
        found = [dict(zip(names, row, strict=True)) for row in rows]
        for row in found:
            row["asked"] = json.loads(row["asked"])
            row["accepted"] = None if row["accepted"] is None else bool(row["accepted"])
            row["answer"] = None if row["answer"] is None else json.loads(row["answer"])
        return found

    def strikes(self) -> list[dict[str, Any]]:
        """Every time that a fault struck."""
        names = ("number", "fault", "call", "at", "endpoint", "effect")
        with self._lock:
            rows = self._connection.execute(_STRIKES).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _write(self, query: str, *values: object) -> None:
        with self._lock, self._connection as connection:
            connection.execute(query, values)

"""Ways to spoil what Atlas reads: bytes, text, JSON, tables, safetensors files and databases, by a seeded source of chance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import duckdb

STRANGE = (
    "",
    " ",
    "\0",
    "\x1b[2J",
    "\n",
    "\r\n",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ud800",
    "\U0001f469\u200d\U0001f52c",
    "Z̷̡͇͙̈́̿",
    "</script><script>alert(1)</script>",
    "{{ 1 }}",
    "javascript:alert(1)",
    "../../etc/passwd",
    "=1+1",
    "__proto__",
    "%",
    "NaN",
    "-0",
    "1e999",
    "x" * 100_000,
)
NUMBERS = (
    0,
    -1,
    1,
    2,
    255,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    10**30,
    10**400,
    0.5,
    1e-320,
    1e308,
    -1e308,
)
NOT_NUMBERS = (float("nan"), float("inf"), float("-inf"))
VERSIONS = ("'0'", "'99'", "'null'", "'['", "'\"7\"'")
"""Of a schema, as SQL has them; none is ours."""
DEEP = 3_000
"""Levels of nesting: beyond what Python's own recursion takes."""


def spoiled_bytes(random: Random, data: bytes) -> bytes:
    """Return bytes with one thing changed: bits, a cut, a piece that is there twice, moved or overwritten, other line ends."""
    if not data:
        return random.randbytes(8)
    at, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    end = min(end, at + 64)
    changed = bytearray(data)
    match random.randrange(9):
        case 0:
            for _ in range(random.choice((1, 1, 8))):
                changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
        case 1:
            del changed[at:]
        case 2:
            del changed[at:end]
        case 3:
            changed[at:at] = changed[at:end] * random.choice((1, 2, 100))
        case 4:
            other = random.randrange(len(data))
            changed[at:end] = changed[other : other + end - at]
        case 5:
            changed[at:end] = random.choice((b"\0", b"\xff", b"9", b"[", b'"', b"\\")) * (end - at)
        case 6:
            changed[at:at] = random.choice(STRANGE).encode("utf-8", "surrogatepass")
        case 7:
            changed = bytearray(changed.replace(b"\n", random.choice((b"\r", b"\r\n", b"", b"\n\n"))))
        case _:
            changed = bytearray(data.decode("utf-8", "replace").encode(random.choice(("utf-16", "utf-8-sig", "utf-32", "utf-7"))))
    return bytes(changed)


def spoiled_value(random: Random, value: Any) -> Any:
    """Return a value of JSON with one thing in it dropped, doubled, retyped, renamed, nested or made extreme."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        changed = dict(value)
        key = random.choice(list(value))
        match random.randrange(5):
            case 0:
                del changed[key]
            case 1:
                changed[random.choice((key + "_", key.upper(), random.choice(STRANGE)))] = changed.pop(key)
            case 2:
                changed[random.choice(STRANGE)] = _other(random)
            case _:
                changed[key] = spoiled_value(random, value[key])
        return changed
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        match random.randrange(5):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + [value[at]] * random.choice((1, 600))
            case 2:
                return random.sample(value, len(value))
            case _:
                return [*value[:at], spoiled_value(random, value[at]), *value[at + 1 :]]
    return _other(random)


def _other(random: Random) -> Any:
    """Return a value of another kind than any that was hoped for."""
    nested: Any = 1
    for _ in range(random.choice((1, 2, 40))):
        nested = random.choice(([nested], {"a": nested}))
    kinds = (*NUMBERS, *NOT_NUMBERS, *STRANGE, None, True, False, [], {}, [[]], nested)
    return random.choice(kinds)


def spoiled_json(random: Random, text: str) -> bytes:
    """Return JSON that is changed by its meaning, or else, as what is no JSON any more, by its bytes."""
    if random.random() < 0.25 or not _is_json(text):
        return spoiled_bytes(random, text.encode())
    if random.random() < 0.03:
        opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
        return (opening * DEEP + "1" + closing * DEEP).encode()
    changed = json.loads(text)
    for _ in range(random.choice((1, 1, 2, 4))):
        changed = spoiled_value(random, changed)
    return json.dumps(changed, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def spoiled_lines(random: Random, text: str, line: Callable[[Random, str], bytes]) -> bytes:
    """Return text of which a few lines are changed, dropped, doubled or moved."""
    lines = text.encode().splitlines(keepends=True)
    for _ in range(random.choice((1, 1, 2, 5))):
        if not lines:
            break
        at = random.randrange(len(lines))
        match random.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines[at:at] = [lines[at]] * random.choice((1, 1, 20))
            case 2:
                random.shuffle(lines)
            case _:
                lines[at] = line(random, lines[at].decode("utf-8", "replace").rstrip("\n")) + b"\n"
    return b"".join(lines)


def spoiled_row(random: Random, line: str, separator: str = ",") -> bytes:
    """Return a line of a table with a cell changed, dropped or added, or its bytes."""
    if random.random() < 0.2:
        return spoiled_bytes(random, line.encode())
    cells = line.split(separator)
    at = random.randrange(len(cells))
    match random.randrange(4):
        case 0:
            del cells[at]
        case 1:
            cells.insert(at, random.choice(cells))
        case _:
            cells[at] = str(random.choice((*NUMBERS, *NOT_NUMBERS, *STRANGE, '"', '"a', "'", "\\")))
    return separator.join(cells).encode("utf-8", "surrogatepass")


def spoiled_toml(random: Random, text: str) -> bytes:
    """Return TOML with a line changed: its key, its value, or its bytes."""

    def line(random: Random, line: str) -> bytes:
        key, equals, value = line.partition("=")
        if not equals or random.random() < 0.2:
            return spoiled_bytes(random, line.encode())
        given = random.choice((*NUMBERS, *STRANGE, True, [], [[]], {}, ["a", 1], "1979-05-27", "inf", "nan", value.strip()))
        written = given if isinstance(given, str) and random.random() < 0.3 else json.dumps(given)
        name = random.choice(
            (key, key, key, f"{key.strip()}.x ", "labels ", "name ", "label ", json.dumps(random.choice(STRANGE)))
        )
        return f"{name}= {written}".encode("utf-8", "surrogatepass")

    return spoiled_lines(random, text, line)


def spoiled_text(random: Random, text: str) -> bytes:
    """Return text with lines changed by their bytes."""
    return spoiled_lines(random, text, lambda random, line: spoiled_bytes(random, line.encode()))


def spoiled_safetensors(random: Random, data: bytes) -> bytes:
    """Return a safetensors file whose header, length or numbers are changed, or else its bytes."""
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    match random.randrange(5):
        case 0:
            changed = random.choice((0, 1, length - 1, length + 1, len(data), 100_000_001, 2**63, 2**64 - 1))
            return changed.to_bytes(8, "little") + header + body
        case 1:
            number = random.choice(
                (b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\1\0\0\0", b"\0\0\0\0", b"\xff\xff\xff\xff")
            )
            at = random.randrange(max(1, len(body) // 4)) * 4
            n = random.choice((1, 1, 16, len(body) // 4))
            return data[: 8 + length] + (body[:at] + number * n)[: len(body)] + body[at + 4 * n :]
        case 2 | 3:
            header = spoiled_json(random, header.decode("utf-8", "replace"))
            return len(header).to_bytes(8, "little") + header + body
        case _:
            return spoiled_bytes(random, data)


def spoil_database(random: Random, path: Path) -> None:
    """Change a database in place, by SQL or by its bytes."""
    if random.random() < 0.2:
        data = path.read_bytes()
        for _ in range(random.choice((1, 1, 3))):
            data = spoiled_bytes(random, data)
        path.write_bytes(data)
        return
    with duckdb.connect(str(path)) as connection:
        for _ in range(random.choice((1, 1, 2))):
            _spoil_tables(random, connection)
        connection.execute("CHECKPOINT")


def _spoil_tables(random: Random, connection: duckdb.DuckDBPyConnection) -> None:
    columns = connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
        " AND table_name IN (SELECT table_name FROM duckdb_tables()) ORDER BY ALL"
    ).fetchall()
    table = random.choice(sorted({name for name, _, _ in columns}))
    # Every table is as likely as another; a table's columns are too.
    column, kind = random.choice([(f'"{name}"', kind) for of, name, kind in columns if of == table])
    some = random.choice(("TRUE", "TRUE", "rowid % 7 = 3", "rowid = 0"))
    change = random.randrange(12)
    if kind.endswith("[]"):
        values = ["[]", f"list_slice({column}, 1, 1)", f"list_concat({column}, {column})"]
    elif kind == "VARCHAR":
        values = [_quoted(random.choice(STRANGE).replace("\ud800", "\ufffd")) for _ in range(3)]
    elif kind == "BOOLEAN":
        values = [f"NOT {column}"]
    elif kind in ("DOUBLE", "FLOAT"):
        values = ["'nan'", "'inf'", "'-inf'", "1e38", "-1e38", "-1", "0", "1e-38"]
    else:
        values = ["0", "-1", "1", f"{column} + 1", "127", "2147483647", "9223372036854775807"]
    statements = {
        0: [f"DROP TABLE {table}"],
        1: [f"ALTER TABLE {table} DROP COLUMN {column}"],
        2: [f"ALTER TABLE {table} RENAME COLUMN {column} TO spoiled"],
        3: [f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {random.choice(('VARCHAR', 'INTEGER', 'DOUBLE', 'BLOB'))}"],
        4: [f"DELETE FROM {table} WHERE {some}"],
        5: [f"INSERT INTO {table} SELECT * FROM {table} WHERE {some}"],
        6: [f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL", f"UPDATE {table} SET {column} = NULL WHERE {some}"],
        7: [f"CREATE TABLE other AS SELECT * FROM {table}"],
        8: [f"UPDATE provenance SET value = {random.choice(VERSIONS)} WHERE key = 'schema_version'"],
    }
    if table == "provenance" and change > 6:
        rows = connection.execute("SELECT key, value FROM provenance").fetchall()
        key, value = random.choice(rows)
        spoiled = spoiled_json(random, value).decode("utf-8", "replace").replace("\0", "")
        statements[change] = [f"UPDATE provenance SET value = {_quoted(spoiled)} WHERE key = {_quoted(key)}"]
    for statement in statements.get(change, [f"UPDATE {table} SET {column} = {random.choice(values)} WHERE {some}"]):
        try:
            connection.execute(statement)
        except (duckdb.DependencyException, duckdb.ConversionException, duckdb.BinderException, duckdb.CatalogException):
            return  # DuckDB lets nobody make this one


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''").replace("\0", "") + "'"

"""Hostile inputs: files, bodies and values that nobody meant, from a seed."""

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

WRONG: tuple[Any, ...] = (
    None, 0, -1, 1, True, False, 3.5, -0.5, 1e29, -1e29, 1e308, 1e-300, 2**63, 2**64, 10**30,
    "", "x", "../../pwned", "none", "batch", "\x1b[31m", "a" * 50, [], {}, [1], {"a": 1},
)  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every part of a JSON document is."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from paths(part, (*path, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from paths(part, (*path, number))


def wrong(value: Any, chance: random.Random) -> Any:
    """A JSON document of which one part is wrong, missing, or there twice."""
    path = chance.choice([path for path in paths(value) if path] or [()])
    if not path:
        return chance.choice(WRONG)
    parent = value
    for part in path[:-1]:
        parent = parent[part]
    match chance.randrange(8):
        case 0:
            del parent[path[-1]]
        case 1 if isinstance(parent, list):
            parent.append(json.loads(json.dumps(parent[path[-1]])))
        case 1:
            parent[f"{path[-1]}x"] = parent[path[-1]]
        case _:
            parent[path[-1]] = chance.choice(WRONG)
    return value


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Some bits of it the other way round."""
    flips = bytearray(content)
    for _ in range(chance.choice([1, 3, 20])):
        if flips:
            flips[chance.randrange(len(flips))] ^= 1 << chance.randrange(8)
    return bytes(flips)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Flipped, cut short, or with a part doubled, lost or moved."""
    begin, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    match chance.randrange(5):
        case 0:
            return content[:begin]
        case 1:
            return content[:end] + content[begin:]
        case 2:
            return content[:begin] + content[end:]
        case 3:
            return content[end:] + content[:begin]
        case _:
            return flipped(content, chance)


def damaged_file(name: str, content: bytes, chance: random.Random) -> bytes:
    """A file of a results folder, damaged as its form allows."""
    if chance.random() < 0.3:
        return damaged(content, chance)
    packed = name.endswith(".gz")
    text = gzip.decompress(content) if packed else content
    lines = text.split(b"\n")
    at = chance.randrange(max(len(lines) - 1, 1))
    if name.endswith(".json"):
        text = json.dumps(wrong(json.loads(text), chance)).encode()
    elif chance.random() < 0.2:
        text = b"\n".join([*lines[:at], lines[at], *lines[at:]])
    elif ".csv" in name:
        cells = lines[at].split(b",")
        cells[chance.randrange(len(cells))] = chance.choice([b"-1", b"9" * 25, b"x", b"", b"1e9", b"7"])
        text = b"\n".join([*lines[:at], b",".join(cells), *lines[at + 1 :]])
    else:
        line = json.dumps(wrong(json.loads(lines[at] or b"{}"), chance)).encode()
        text = b"\n".join([*lines[:at], line, *lines[at + 1 :]])
    return gzip.compress(text) if packed else text

"""Kinds of fields a message is made of, each able to check, pack and unpack itself.

`schema.py` describes every message with them. `pack` turns a Python value into something msgpack can hold and hands
arrays to the `Arrays` it is given; `unpack` is the reverse and trusts nothing. Both apply the same checks, so that a
sender learns of its mistake before the peer does. Error messages name the field, and quote no more of a bad value
than its type: the value came from a stranger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plan_protocol import limits
from plan_protocol.errors import InvalidFieldError, LimitExceededError, MalformedMessageError


@dataclass
class Arrays:
    """The arrays of one message in the order of their frames, and the size of each named dimension seen so far."""

    items: list[np.ndarray] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    taken: int = 0

    def take(self, index: object, where: str) -> np.ndarray:
        """The next array. Indices must count up from 0, so that no frame is unused or used twice."""
        if type(index) is not int or index != self.taken or index >= len(self.items):
            raise MalformedMessageError(f"{where}: expected the array index {self.taken} of {len(self.items)} arrays")
        self.taken += 1
        return self.items[index]


class Kind:
    """A kind of field."""

    def pack(self, value: Any, where: str, arrays: Arrays) -> Any:
        """The value as msgpack can hold it.

        Raises:
            ProtocolError: If the value is not of this kind.
        """
        raise NotImplementedError

    def unpack(self, raw: Any, where: str, arrays: Arrays) -> Any:
        """The Python value of what came over the wire; raises `ProtocolError` where it is not of this kind."""
        return self.pack(raw, where, arrays)


@dataclass(frozen=True)
class Text(Kind):
    """UTF-8 text of at most `longest` bytes; `choices`, when given, are the only values allowed."""

    longest: int = limits.MAX_IDENTIFIER_BYTES
    shortest: int = 0
    choices: tuple[str, ...] = ()

    def pack(self, value: Any, where: str, arrays: Arrays) -> str:  # noqa: D102
        if not isinstance(value, str):
            raise InvalidFieldError(f"{where}: expected text, got {type(value).__name__}")
        try:
            size = len(value.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise InvalidFieldError(f"{where}: the text is not valid UTF-8") from error
        if not self.shortest <= size <= self.longest:
            raise LimitExceededError(f"{where}: {size} bytes of text, allowed are {self.shortest} to {self.longest}")
        if self.choices and value not in self.choices:
            raise InvalidFieldError(f"{where}: expected one of {', '.join(self.choices)}")
        return value


@dataclass(frozen=True)
class Number(Kind):
    """A finite float in [lowest, highest]; `above` makes the lower bound exclusive."""

    lowest: float = -math.inf
    highest: float = math.inf
    above: float = -math.inf

    def pack(self, value: Any, where: str, arrays: Arrays) -> float:  # noqa: D102
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.floating, np.integer)):
            raise InvalidFieldError(f"{where}: expected a number, got {type(value).__name__}")
        number = float(value)
        if not math.isfinite(number):
            raise InvalidFieldError(f"{where}: must be finite, got {number}")
        if not self.lowest <= number <= self.highest or not number > self.above:
            bounds = f"above {self.above:g}" if math.isfinite(self.above) else f"at least {self.lowest:g}"
            raise InvalidFieldError(f"{where}: {number:g} is out of range, must be {bounds}, at most {self.highest:g}")
        return number


# Probabilities and shares. Sums in float32 overshoot 1 by rounding, which is no mistake of the sender.
UNIT = Number(-1e-5, 1.0 + 1e-5)


@dataclass(frozen=True)
class Integer(Kind):
    """An integer in [lowest, highest]."""

    lowest: int = 0
    highest: int = limits.MAX_ID

    def pack(self, value: Any, where: str, arrays: Arrays) -> int:  # noqa: D102
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            raise InvalidFieldError(f"{where}: expected an integer, got {type(value).__name__}")
        if not self.lowest <= value <= self.highest:
            raise LimitExceededError(f"{where}: out of range, allowed are {self.lowest} to {self.highest}")
        return int(value)


@dataclass(frozen=True)
class Flag(Kind):
    """True or false."""

    def pack(self, value: Any, where: str, arrays: Arrays) -> bool:  # noqa: D102
        if not isinstance(value, (bool, np.bool_)):
            raise InvalidFieldError(f"{where}: expected true or false, got {type(value).__name__}")
        return bool(value)


@dataclass(frozen=True)
class Array(Kind):
    """An array of one dtype and shape, e.g. ``Array("float64", "horizon 7")``.

    A number in `shape` is that number; a name is any size within `limits.DIMENSIONS`, the same wherever the name
    occurs in one message. Floats must be finite. `ordered` is for vectors of times: "strict" wants each later than the
    one before, "weak" allows equal neighbours.
    """

    dtype: str
    shape: str
    ordered: str = ""

    def pack(self, value: Any, where: str, arrays: Arrays) -> int:  # noqa: D102
        if not isinstance(value, np.ndarray):
            raise InvalidFieldError(f"{where}: expected a numpy array, got {type(value).__name__}")
        self._check(value, where, arrays)
        # Little-endian and row-major on the wire; no copy is made of what already is.
        arrays.items.append(np.ascontiguousarray(value, limits.DTYPES[self.dtype]))
        return len(arrays.items) - 1

    def unpack(self, raw: Any, where: str, arrays: Arrays) -> np.ndarray:  # noqa: D102
        value = arrays.take(raw, where)
        self._check(value, where, arrays)
        return value

    def _check(self, value: np.ndarray, where: str, arrays: Arrays) -> None:
        expected_type = limits.DTYPES[self.dtype]
        if (value.dtype.kind, value.dtype.itemsize) != (expected_type.kind, expected_type.itemsize):
            raise InvalidFieldError(f"{where}: expected {self.dtype}, got {value.dtype}")
        wanted = self.shape.split()
        if value.ndim != len(wanted):
            raise InvalidFieldError(f"{where}: expected the shape ({', '.join(wanted)}), got {value.shape}")
        for name, size in zip(wanted, value.shape, strict=True):
            if name.isdigit():
                expected = int(name)
            else:
                lowest, highest = limits.DIMENSIONS[name]
                if not lowest <= size <= highest:
                    raise LimitExceededError(f"{where}: {name} is {size}, allowed are {lowest} to {highest}")
                expected = arrays.sizes.setdefault(name, size)
            if size != expected:
                raise InvalidFieldError(
                    f"{where}: the shape {value.shape} does not fit ({', '.join(wanted)}) with {name}={expected}"
                )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise InvalidFieldError(f"{where}: contains values that are not finite")
        if self.ordered:
            earlier, later = value[:-1], value[1:]
            if np.any(later < earlier if self.ordered == "weak" else later <= earlier):
                raise InvalidFieldError(f"{where}: times must increase, oldest first")


@dataclass(frozen=True)
class ListOf(Kind):
    """A tuple of items of one kind; a msgpack array on the wire."""

    item: Kind
    shortest: int = 0
    longest: int = 16

    def pack(self, value: Any, where: str, arrays: Arrays) -> list:  # noqa: D102
        self._check(value, where)
        return [self.item.pack(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]

    def unpack(self, raw: Any, where: str, arrays: Arrays) -> tuple:  # noqa: D102
        self._check(raw, where)
        return tuple(self.item.unpack(item, f"{where}[{i}]", arrays) for i, item in enumerate(raw))

    def _check(self, value: Any, where: str) -> None:
        if not isinstance(value, (list, tuple)):
            raise InvalidFieldError(f"{where}: expected a list, got {type(value).__name__}")
        if not self.shortest <= len(value) <= self.longest:
            raise LimitExceededError(f"{where}: {len(value)} items, allowed are {self.shortest} to {self.longest}")


@dataclass(frozen=True)
class MapOf(Kind):
    """A dictionary from short names to values of one kind."""

    item: Kind
    longest: int = limits.MAX_NOTES

    def pack(self, value: Any, where: str, arrays: Arrays) -> dict:  # noqa: D102
        if not isinstance(value, dict):
            raise InvalidFieldError(f"{where}: expected a map, got {type(value).__name__}")
        if len(value) > self.longest:
            raise LimitExceededError(f"{where}: {len(value)} entries, at most {self.longest} are allowed")
        key = Text()
        return {
            key.pack(name, f"{where} (key)", arrays): self.item.pack(v, f"{where}.{name}", arrays)
            for name, v in value.items()
        }


@dataclass(frozen=True)
class Maybe(Kind):
    """A field that may be absent: nil on the wire, None in Python."""

    item: Kind

    def pack(self, value: Any, where: str, arrays: Arrays) -> Any:  # noqa: D102
        return None if value is None else self.item.pack(value, where, arrays)

    def unpack(self, raw: Any, where: str, arrays: Arrays) -> Any:  # noqa: D102
        return None if raw is None else self.item.unpack(raw, where, arrays)


@dataclass(frozen=True)
class Struct(Kind):
    """A dataclass whose fields are described by `fields`; a msgpack map with exactly these keys on the wire."""

    type: type
    fields: dict[str, Kind]

    def pack(self, value: Any, where: str, arrays: Arrays) -> dict:  # noqa: D102
        if not isinstance(value, self.type):
            raise InvalidFieldError(f"{where}: expected {self.type.__name__}, got {type(value).__name__}")
        return {name: kind.pack(getattr(value, name), f"{where}.{name}", arrays) for name, kind in self.fields.items()}

    def unpack(self, raw: Any, where: str, arrays: Arrays) -> Any:  # noqa: D102
        return self.type(**self.unpack_fields(raw, where, arrays))

    def unpack_fields(self, raw: Any, where: str, arrays: Arrays) -> dict[str, Any]:
        """The fields by name, checked.

        Raises:
            ProtocolError: If `raw` is not a map with exactly these keys, or a value is not of its kind.
        """
        if not isinstance(raw, dict):
            raise MalformedMessageError(f"{where}: expected a map, got {type(raw).__name__}")
        # Strict both ways: keys that drift apart between client and server must show at the first message.
        missing = [name for name in self.fields if name not in raw]
        if missing or len(raw) != len(self.fields):
            unknown = len(raw) - (len(self.fields) - len(missing))
            raise MalformedMessageError(
                f"{where}: {unknown} unknown keys, missing: {', '.join(missing) or 'none'}; "
                f"expected exactly {', '.join(self.fields)}"
            )
        return {name: kind.unpack(raw[name], f"{where}.{name}", arrays) for name, kind in self.fields.items()}

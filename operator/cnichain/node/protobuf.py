"""As much of the protocol buffers wire format as two small messages need. Pure.

Source: the encoding page of the protocol buffers documentation. Numbers, strings and messages are read; a group, which
no CRI message has, is refused.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """The bytes are no message; the text says where."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in their order: number, and an integer or, for a string or message, its bytes.

    Raises ProtobufError.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ProtobufError(f"field {number} has the wire type {kind}, which is not known")
        if place + length > len(message):
            raise ProtobufError(f"field {number} ends after the message")
        yield number, message[place : place + length]
        place += length


def text(value: int | bytes) -> str:
    """A field as text; bytes that are not UTF-8 become replacement characters, a number its digits."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def inner(value: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message inside a message. Raises ProtobufError."""
    if not isinstance(value, bytes):
        raise ProtobufError("a number stands where a message should")
    return fields(value)


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ProtobufError(f"the message ends within a number, at byte {place}")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ProtobufError(f"a number is too long, at byte {place}")

"""XML without its dangers, where it says what, and the numbers in it."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from omi_estimators.readers._fields import decode_text, to_number
from omi_estimators.readers._record import ECGFileError, check_size

# XML beyond these is none of an ECG, and made to exhaust memory: a Holter recording in text has fewer bytes.
_MOST_XML = 2**28
_MOST_ELEMENTS, _MOST_DEPTH = 300_000, 200


def parse_xml(data: bytes) -> Element:
    """Return the root of an XML document, tags and attributes without the prefixes of their namespaces.

    Parameters
    ----------
    data : bytes
        The whole file, in any encoding that it declares; one that declares another than it has is read too.

    Returns
    -------
    Element
        Of `xml.etree.ElementTree`.

    Raises
    ------
    ECGFileError
        If it is not well-formed, defines entities or defaults of attributes, which can be made to grow without limit
        or to read other files, or has more bytes, elements or levels than any ECG. A document type alone is let
        through: GE MUSE writes one.
    """
    if len(data) > _MOST_XML:
        raise ECGFileError(f"it has {len(data) / 2**20:.0f} MiB of XML; an ECG has far less than {_MOST_XML >> 20} MiB")
    try:
        return _build_tree(data, None)
    except ECGFileError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:
        try:
            return _build_tree(decode_text(data).encode(), "utf-8")
        except (expat.ExpatError, UnicodeError):
            raise ECGFileError(f"it is not well-formed XML ({error}); is it cut, or in another encoding?") from error


def _build_tree(data: bytes, encoding: str | None) -> Element:
    """Return the root of a document; expat alone, as namespaces could make each tag as long as the file."""
    builder = TreeBuilder()
    n_elements = depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal n_elements, depth
        n_elements += 1 + len(attributes)
        depth += 1
        if n_elements > _MOST_ELEMENTS or depth > _MOST_DEPTH:
            what = f"more than {_MOST_ELEMENTS} elements and attributes, or {_MOST_DEPTH} levels of them"
            raise ECGFileError(f"it has {what}, of XML; an ECG has far fewer")
        builder.start(_local(tag), {_local(name): value for name, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(tag))

    def refuse(*declared: object) -> NoReturn:
        what = "defines XML entities or attributes, which no ECG needs and which can do harm"
        raise ECGFileError(f"it {what} ({declared[0]!r:.80})")

    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = refuse
    parser.AttlistDeclHandler = parser.ExternalEntityRefHandler = refuse
    parser.Parse(data, True)
    root: Element = builder.close()
    return root


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def find_text(element: Element | None, *places: str) -> str | None:
    """Return what is said at the first of `places` that says something, below `element`; None where none does.

    A place is a path, as ElementTree has them, of an element with a text, or `path@attribute`.
    """
    for place in places:
        path, _, attribute = place.partition("@")
        for found in [] if element is None else element.iterfind(path or "."):
            text = found.get(attribute) if attribute else found.text
            if text and text.strip():
                return text.strip()
    return None


def find_number(element: Element | None, *places: str) -> float | None:
    """Return the number that `find_text` finds; None where there is none, or a word."""
    return to_number(find_text(element, *places))


def decode_base64(text: str | None, what: str) -> bytes:
    """Return the bytes of a text in base64, or raise an ECGFileError that says what they should have been."""
    try:
        return base64.b64decode((text or "").encode().translate(None, b" \t\r\n\f\v"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ECGFileError(f"the samples of {what} are no base64 ({error}); the file is damaged") from error


def decode_int16(text: str | None, what: str) -> NDArray[np.float64]:
    """Return little-endian 16-bit numbers that are written in base64."""
    data = decode_base64(text, what)
    if len(data) % 2:
        raise ECGFileError(f"the samples of {what} have {len(data)} bytes, which are no 16-bit values")
    return np.frombuffer(data, dtype="<i2").astype(np.float64)


def parse_numbers(text: str | None, what: str) -> NDArray[np.float64]:
    """Return numbers that are written as text, parted by blanks or commas."""
    # A number takes a digit and a blank at least, and as an object of Python 60 bytes.
    check_size(30.0 * len(text or ""), f"the samples of {what}")
    try:
        values = np.array((text or "").replace(",", " ").split(), dtype=np.float64)
    except ValueError as error:
        raise ECGFileError(f"the samples of {what} are not all numbers ({error}); the file is damaged") from error
    if not np.isfinite(values).all():
        raise ECGFileError(f"the samples of {what} are not all finite; the file is damaged")
    return values


def check_count(name: str, values: NDArray[Any], stated: float | None) -> None:
    """Raise an ECGFileError if a lead has another number of samples than its file states."""
    if stated is not None and stated != len(values):
        raise ECGFileError(f"{name} has {len(values)} samples, but the file says {stated:g}; it is damaged or cut")

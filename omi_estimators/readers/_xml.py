"""XML without its dangers: no entities, no external files, no names of schemas in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omi_estimators.readers._errors import ECGFileError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def parse_xml(data: bytes) -> Element:
    """Return the root of an XML document, tags and attributes without their namespaces.

    Parameters
    ----------
    data : bytes
        The whole file, in any encoding that it declares.

    Returns
    -------
    Element
        Of `xml.etree.ElementTree`.

    Raises
    ------
    ECGFileError
        If it is not well-formed, in an encoding that is not its own, or defines entities, which can be made to
        grow without limit or to read other files. A document type alone is let through: GE MUSE writes one.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring
    except ImportError as error:
        raise ImportError(
            "Reading XML files needs the package defusedxml, which is not installed; "
            "install it with: pip install omi-estimators[io]"
        ) from error
    try:
        root: Element = fromstring(data, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise ECGFileError(f"it defines XML entities, which no ECG needs and which can do harm ({error})") from error
    except (ParseError, ValueError, LookupError) as error:
        raise ECGFileError(
            f"it is not well-formed XML ({error}); it may be cut short or in another encoding"
        ) from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = _local(element.tag)
        if any("}" in name for name in element.attrib):
            renamed = {_local(name): value for name, value in element.attrib.items()}
            element.attrib.clear()
            element.attrib.update(renamed)
    return root


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def find_text(element: Element | None, path: str) -> str | None:
    """Return the text at `path` below `element`, stripped; None where there is none."""
    if element is None:
        return None
    text = element.findtext(path)
    return None if text is None or not text.strip() else text.strip()


def find_number(element: Element | None, path: str) -> float | None:
    """Return the number at `path` below `element`; None where there is none, or a word such as "Indeterminate"."""
    return to_number(find_text(element, path))


def to_number(text: str | None) -> float | None:
    """Return `text` as a finite number, or None."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < float("inf") else None

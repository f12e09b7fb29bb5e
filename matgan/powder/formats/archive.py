"""Opening what can unpack to more than it seems: zip archives and XML, within bounds.

A member of an archive is read up to a limit, whatever its header says; XML with a document type
(the place of entities that multiply) is refused.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matgan.powder.formats.scan import MOST_BYTES
from matgan.powder.formats.text import as_text
from matgan.powder.patterns import PatternError

_MOST_XML = 20_000_000  # bytes of one XML text; its tree takes some ten times as much
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    OSError, ValueError, OverflowError, KeyError, IndexError,
)  # fmt: skip


class Archive:
    """A zip archive in memory, whose members together give `MOST_BYTES` at most."""

    def __init__(self, data: bytes):
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self.names = self._zip.namelist()
        except _DAMAGED as error:
            raise PatternError(f"the archive is damaged: {error}") from error
        self._left = MOST_BYTES

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises
        ------
        PatternError
            It is damaged or locked, or the members that were read are too large together.
        """
        try:
            with self._zip.open(name) as member:
                data = member.read(self._left + 1)
        except _DAMAGED as error:
            raise PatternError(f"{name} in the archive is damaged or locked: {error}") from error
        if len(data) > self._left:
            raise PatternError(f"{name} in the archive unpacks to more than a pattern takes")
        self._left -= len(data)
        return data


def parse_xml(data: bytes) -> Element:
    """The root of an XML text; tags lose their namespaces.

    Raises
    ------
    PatternError
        It is no XML, too long, or has a document type.
    """
    if len(data) > _MOST_XML:
        raise PatternError(f"{len(data)} bytes of XML are more than a pattern takes")
    text = as_text(data)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise PatternError("its XML declares a document type; patterns have none: not read")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise PatternError(f"its XML is damaged: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def text_of(element: Element | None, path: str) -> str:
    """Text of the first element at a path, "" where there is none."""
    found = None if element is None else element.find(path)
    return "" if found is None or found.text is None else found.text.strip()

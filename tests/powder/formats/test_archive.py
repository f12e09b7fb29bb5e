"""Archives and XML that would unpack to too much, or that are damaged, are refused."""

import io
import zipfile

import pytest

from matgan.powder.formats import archive
from matgan.powder.formats.archive import Archive, parse_xml, text_of
from matgan.powder.patterns import PatternError


def zipped(**members):
    """Bytes of an archive with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_members_are_read():
    opened = Archive(zipped(a=b"1", b=b"2"))
    assert opened.names == ["a", "b"]
    assert opened.read("b") == b"2"


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MOST_BYTES", 10_000)
    bomb = zipped(a=bytes(6_000), b=bytes(6_000))
    assert len(bomb) < 500
    opened = Archive(bomb)
    assert len(opened.read("a")) == 6_000
    with pytest.raises(PatternError, match="b in the archive unpacks to more than"):
        opened.read("b")


@pytest.mark.parametrize("damage", [lambda z: z[:-30], lambda z: b"PK\x03\x04" + bytes(100)])
def test_a_damaged_archive(damage):
    with pytest.raises(PatternError, match="archive is damaged"):
        Archive(damage(zipped(a=b"1")))


def test_a_damaged_member():
    whole = zipped(a=bytes(range(256)) * 4)
    broken = whole[:60] + bytes(20) + whole[80:]
    with pytest.raises(PatternError, match="a in the archive is damaged"):
        Archive(broken).read("a")


def test_entities_that_multiply_are_refused():
    laughs = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    text = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><a>&l9;</a>'
    for encoding in ("utf-8", "utf-16"):
        with pytest.raises(PatternError, match="document type"):
            parse_xml(text.encode(encoding))


def test_xml():
    root = parse_xml(b"<a xmlns='http://x'><b> 1 </b><c><b>2</b></c></a>")
    assert (root.tag, text_of(root, "b"), text_of(root, "c/b"), text_of(root, "d")) == (
        "a", "1", "2", "",
    )  # fmt: skip


def test_damaged_and_deep_xml():
    with pytest.raises(PatternError, match="XML is damaged"):
        parse_xml(b"<a><b></a>")
    deep = parse_xml(b"<a>" * 50_000 + b"</a>" * 50_000)
    assert text_of(deep, "b") == ""

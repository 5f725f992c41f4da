"""Documents as training data: the finished translations of PO, TMX and XLIFF, as plain text."""

from __future__ import annotations

import gzip

import pytest
from document_examples import EXAMPLES, TMX

from heedful import config
from heedful.data.documents import read_document_pairs
from heedful.data.readers import Pair, read_pairs
from heedful.errors import UserError

PAIRS = {
    "a.po": [("Rain", "Regen", 14)],
    "a.tmx": [("The mill is closed.", "Die Mühle ist zu.", 14)],
    "one.xlf": [("Wait", "Warten", 16), ("One.", "Eins.", 20)],
    "two.xliff": [("Close it.", "Schließen.", 12)],
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_finished_translations_are_pairs(name, suffix, tmp_path):
    file = tmp_path / (name + suffix)
    file.write_bytes(gzip.compress(EXAMPLES[name]) if suffix else EXAMPLES[name])
    found = list(read_pairs(config.Data(pairs=(file.name,)), tmp_path))
    assert found == [Pair(source, target, f"{file}:{line}") for source, target, line in PAIRS[name]]


def test_markup_goes_and_white_space_is_one_space(tmp_path):
    unit = '<tuv xml:lang="en"><seg>Press\n   <bpt i="1">&lt;b></bpt>any<ept i="1">x</ept>\tkey&#160;! </seg></tuv>'
    file = tmp_path / "a.tmx"
    file.write_text(f"<tmx><tu>{unit}{unit.replace('en', 'nl')}</tu></tmx>")
    assert [pair[:2] for pair in read_document_pairs(file)] == [("Press any key\u00a0!", "Press any key\u00a0!")]


def test_languages(tmp_path):
    file = tmp_path / "a.tmx"
    file.write_bytes(TMX)
    assert [pair[:2] for pair in read_document_pairs(file, "de", "en")] == [
        ("Die Mühle ist zu.", "The mill is closed.")
    ]
    file.write_bytes(TMX.replace(b'"de"><seg>Nur', b'"fr"><seg>Nur'))
    with pytest.raises(UserError, match=r"a\.tmx:19: the file has fr besides en-GB and de; name source and target"):
        list(read_document_pairs(file))
    assert len(list(read_document_pairs(file, target_language="de"))) == 1


def test_mistakes_are_told(tmp_path):
    (tmp_path / "a.srt").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot be read by the suffix '\.srt'; name it \.tsv, \.jsonl, \.po, \.tmx"):
        list(read_pairs(config.Data(pairs=("a.srt",)), tmp_path))
    (tmp_path / "a.po.gz").write_bytes(gzip.compress(b"msgid")[:-5])
    with pytest.raises(UserError, match=r"a\.po\.gz:1: damaged gzip file"):
        list(read_pairs(config.Data(pairs=("a.po.gz",)), tmp_path))

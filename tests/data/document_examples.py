"""One small file of each format with what people's files have in it, for the tests of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heedful.data.documents import Document, open_document

PO = rb"""# Weather station
# Copyright nobody
msgid ""
msgstr ""
"Project-Id-Version: weather 1\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n<5 ? 1 : 2);\n"

#. a button
#: station.c:7
msgid "Measure now"
msgstr ""

msgid "Rain"
msgstr "Regen"

#: station.c:12
#, fuzzy, c-format
#| msgid "%d degree"
msgid "%d degrees today"
msgstr "%d Grad"

msgctxt "wind"
msgid   "Force \"%s\"\n"
msgstr  ""

#, c-format
msgid "%d drop"
msgid_plural "%d drops"
msgstr[0] ""
msgstr[1] ""

msgid ""
"The station measures temperature, pressure and rain every ten minutes, and "
"keeps what it\n"
"measured.\n"
msgstr ""

msgctxt "empty"
msgid ""
msgstr ""

#~ msgid "Snow"
#~ msgstr ""
"""

TMX = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<tmx version="1.4">
  <header creationtool="hand" creationtoolversion="1" segtype="sentence" o-tmf="none" adminlang="en"
          srclang="en-GB" datatype="plaintext"/>
  <body>
    <tu tuid='1'>
      <note>first</note>
      <tuv xml:lang="en-GB">
        <seg>Take the <bpt i="1">&lt;b></bpt>second<ept i="1">&lt;/b></ept> path &amp; turn.</seg>
      </tuv>
    </tu>
    <tu tuid="2">
      <tuv xml:lang="en-GB"><seg>The mill is closed.</seg></tuv>
      <tuv xml:lang="de"><seg>Die M\xc3\xbchle ist <hi type="x">zu</hi>.</seg></tuv>
    </tu>
    <tu><tuv xml:lang="en-GB"><seg>Bring <hi>warm</hi> clothes<ph x="1"/>!</seg></tuv>
      <tuv xml:lang="DE"><seg/></tuv></tu>
    <tu><tuv xml:lang="de"><seg>Nur deutsch</seg></tuv></tu>
  </body>
</tmx>
"""

XLIFF1 = b"""<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
  <file source-language="en" target-language="de" datatype="html" original="tea.html">
    <header><note>Tea</note></header>
    <body>
      <trans-unit id="a">
        <source>Boil <g id="1">fresh</g> water<x id="2"/></source>
        <!-- no target yet -->
        <alt-trans><source>Boil water</source><target>Wasser kochen</target></alt-trans>
      </trans-unit>
      <trans-unit id="b">
        <source>Warm the pot</source>
        <target state="new"/>
      </trans-unit>
      <trans-unit id="c"><source>Pour <ph id="1">&lt;br&gt;</ph> &lt; 3 cups</source><target></target></trans-unit>
      <trans-unit id="d"><source>Wait</source><target>Warten</target></trans-unit>
      <group translate="no"><trans-unit id="e"><source>TEA-42</source></trans-unit></group>
      <trans-unit id="f">
        <source>One. Two.</source>
        <seg-source><mrk mtype="seg" mid="1">One.</mrk> <mrk mtype="seg" mid="2">Two.</mrk></seg-source>
        <target><mrk mtype="seg" mid="1">Eins.</mrk> <mrk mtype="seg" mid="2"/></target>
      </trans-unit>
      <trans-unit id="g">
        <source>Enjoy it</source>
        <target state="needs-translation">Enjoy it</target>
      </trans-unit>
      <trans-unit id="h">
        <source>Three.</source>
        <seg-source><mrk mtype="seg" mid="1">Three.</mrk></seg-source>
      </trans-unit>
    </body>
  </file>
</xliff>
"""

XLIFF2 = b"""<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en">
  <file id="f1" translate="no">
    <unit id="1" translate="yes">
      <segment id="s1">
        <source>Press <pc id="1">start</pc>, <ph id="2" dataRef="d1"/>wait<mrk id="m1" translate="no">ON</mrk>.</source>
      </segment>
      <ignorable><source> </source></ignorable>
      <segment id="s2" state="initial">
        <source>Open the lid.</source>
        <target/>
      </segment>
      <segment id="s3"><source>Close it.</source><target>Schlie\xc3\x9fen.</target></segment>
    </unit>
    <unit id="2"><segment><source>X-100</source></segment></unit>
  </file>
</xliff>
"""

SRT = b"""1
00:00:01,000 --> 00:00:03,500
The ferry leaves at nine
and comes back <i>very</i> late.

2
00:00:04,000 --> 00:00:06,000 X1:10 X2:90
{\\an8}- Did you pay?
- Twice, I think.

3
00:00:07,000 --> 00:00:08,000

4
00:00:09,000 --> 00:00:10,000
Good night.
"""

VTT = b"""WEBVTT - ferry
Kind: captions

STYLE
::cue(b) { color: teal }

NOTE
nobody reads this

intro
00:01.000 --> 00:03.500 line:0 align:start
<v Ada>Bread &amp; butter, <b>please</b>.

00:00:04.000 --> 00:00:06.000
The harbour is closed today
because of the storm.
"""

EXAMPLES = {
    "a.po": PO,
    "a.tmx": TMX,
    "one.xlf": XLIFF1,
    "two.xliff": XLIFF2,
    "a.srt": SRT,
    "a.vtt": VTT,
}
XML = ("a.tmx", "one.xlf", "two.xliff")


def opened(name: str, content: bytes | None = None, **options: Any) -> Document:
    """A document under an example's name; of a TMX file, German is to be filled."""
    if name.endswith(".tmx"):
        options.setdefault("target_language", "de")
    return open_document(Path(name), EXAMPLES[name] if content is None else content, **options)


def gaps(document: Document) -> list[int]:
    """The units to fill."""
    return [number for number, unit in enumerate(document.units) if not unit.translated]

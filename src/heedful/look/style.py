"""The look of heedful's pages and pictures: one style sheet, light and dark, in colours that colour-blind readers tell
apart (after Okabe & Ito 2008), each series with its own dash as well."""

COLOURS = """
:root{color-scheme:light dark;--paper:#fcfcfb;--card:#fff;--ink:#1b1f24;--soft:#5c6570;--line:#e3e5e8;--grid:#eceef0;
--heat:#0b5394;--good:#00795a;--bad:#b3400a;--s0:#0072b2;--s1:#d55e00;--s2:#00875f;--s3:#b0568c;--s4:#7a6a00;--s5:#444b54}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--card:#1b1f23;--ink:#e8eaed;--soft:#9aa4af;--line:#2e343a;
--grid:#272c31;--heat:#63b8f5;--good:#3cc79b;--bad:#f08a4b;--s0:#5ab4ea;--s1:#f0924e;--s2:#3cc79b;--s3:#e094c2;
--s4:#d8c64a;--s5:#b9c0c8}}
"""

PICTURE = """
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-size:13px}
svg text{fill:var(--soft)}svg .word{fill:var(--ink);font-size:14px}svg .name{fill:var(--ink)}
svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--line)}svg .empty{fill:var(--grid)}svg .heat{fill:var(--heat)}
svg .cell:hover rect{stroke:var(--ink);stroke-width:1.5}
svg .s{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
svg .s0{stroke:var(--s0)}svg .s1{stroke:var(--s1)}svg .s2{stroke:var(--s2)}
svg .s3{stroke:var(--s3)}svg .s4{stroke:var(--s4)}svg .s5{stroke:var(--s5)}
svg .track{fill:var(--grid)}svg .fill{fill:var(--s0)}
"""

PAGE = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.55;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-size:16px}
main{max-width:1040px;margin:0 auto;padding:44px 24px 56px}
header{margin-bottom:28px}
.mark{font-size:13px;font-weight:650;letter-spacing:.09em;text-transform:uppercase;color:var(--s0);margin:0 0 6px}
h1{font-size:34px;line-height:1.2;letter-spacing:-.015em;margin:0 0 10px}
h2{font-size:20px;line-height:1.3;letter-spacing:-.005em;margin:0 0 4px}
.lead{color:var(--soft);margin:0 0 18px;max-width:74ch}
header .lead{font-size:17px;margin:0}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:24px 26px;margin:0 0 20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px;margin:0 0 20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px 18px}
.tile b{display:block;font-size:30px;line-height:1.15;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--soft);font-size:14px}
.tile .label{color:var(--ink);font-weight:550;margin-bottom:4px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:15px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:550;font-size:13px;color:var(--soft)}
th,td{padding:8px 12px 8px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
.number{text-align:right;white-space:nowrap}
td.good,td.bad{white-space:nowrap;font-weight:550}
td.good{color:var(--good)}td.bad{color:var(--bad)}
td svg{display:block}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(400px,1fr));gap:20px}
figure{margin:0;overflow-x:auto}
figure>svg{display:block;max-width:100%;height:auto}
figcaption{color:var(--soft);font-size:14px;margin-top:8px;max-width:74ch}
.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.86em;
border:1px solid var(--line);border-radius:4px;padding:0 .25em;color:var(--bad)}
footer{color:var(--soft);font-size:14px;margin-top:28px}
footer p{margin:0 0 4px}
@media(max-width:560px){main{padding:28px 14px}section{padding:18px 16px}.row{grid-template-columns:1fr}}
@media print{section,.tile{break-inside:avoid}}
"""

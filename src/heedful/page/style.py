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
svg .b0{fill:var(--s0)}svg .b1{fill:var(--s1)}svg .b2{fill:var(--s2)}
svg .b3{fill:var(--s3)}svg .b4{fill:var(--s4)}svg .b5{fill:var(--s5)}
svg .small{font-size:12px}
svg .zero{stroke:var(--soft);stroke-dasharray:2 3}svg .whisker{fill:none;stroke-width:2.25}
svg .whisker.good{stroke:var(--good)}svg .whisker.bad{stroke:var(--bad)}svg .whisker.open{stroke:var(--soft)}
svg .dot.good{fill:var(--good)}svg .dot.bad{fill:var(--bad)}svg .dot.open{fill:var(--soft)}
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
.tile span{display:block;overflow-wrap:anywhere;color:var(--soft);font-size:14px}
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
td img{vertical-align:top;border-radius:4px;margin:0 6px 4px 0}
td .pixels{image-rendering:pixelated}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(400px,1fr));gap:20px}
.row>div{min-width:0}
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

# What only the page of an evaluation needs.
COMPARISON = """
td b{font-weight:650}
td small{color:var(--soft);font-size:13px;font-weight:400;white-space:nowrap}
td.number small{display:block}
th.number{white-space:normal}
figure+.scroll{margin-top:18px}
.note{border-left:3px solid var(--bad);padding:2px 0 2px 12px;margin:16px 0 0}
.signatures{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:18px 0 0;font-size:13px;
color:var(--soft)}
.signatures dd{margin:0;min-width:0;overflow-wrap:anywhere}
.signatures code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:12.5px}
.legend{display:flex;flex-wrap:wrap;gap:8px 22px;margin:0 0 16px;font-size:14px}
mark,.sentences dd b,.legend b{font-weight:inherit;border-radius:3px;padding:0 2px;margin:0 -2px}
mark{color:var(--bad);background:color-mix(in srgb,var(--bad) 12%,transparent);text-decoration:underline wavy 1px;
text-underline-offset:4px;text-decoration-skip-ink:none}
.sentences dd b,.legend b{color:var(--good);background:color-mix(in srgb,var(--good) 13%,transparent);font-weight:600}
u{text-decoration:underline dashed 1.5px var(--soft);text-underline-offset:4px}
.sentences i{color:var(--soft)}
fieldset{border:0;padding:0;margin:0 22px 14px 0;display:inline-flex;flex-wrap:wrap;align-items:center;gap:6px}
legend{float:left;padding:0;margin-right:6px;color:var(--soft);font-size:14px}
label{position:relative;display:inline-block}
label input{position:absolute;inset:0;opacity:0;margin:0;cursor:pointer}
label span{display:block;border:1px solid var(--line);border-radius:99px;padding:2px 12px;font-size:14px}
label input:checked+span{background:var(--s0);border-color:var(--s0);color:var(--card)}
label input:focus-visible+span{outline:2px solid var(--s0);outline-offset:2px}
ol{list-style:none;margin:4px 0 0;padding:0}
ol li{border-top:1px solid var(--line);padding:16px 0}
ol p{margin:0 0 6px;color:var(--soft);font-size:14px}
ol p b{display:inline-block;min-width:108px;font-variant-numeric:tabular-nums;color:var(--ink);font-weight:600}
ol .gained p b{color:var(--good)}ol .lost p b{color:var(--bad)}
ol dl{display:grid;grid-template-columns:180px 1fr;gap:3px 18px;margin:0}
ol dt{display:flex;justify-content:space-between;gap:10px;color:var(--soft);font-size:14px;line-height:1.75}
ol dt span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
ol dt small{font-size:13px;font-variant-numeric:tabular-nums}
ol dd{margin:0;min-width:0;overflow-wrap:anywhere}
@media(max-width:560px){ol dl{grid-template-columns:1fr;gap:0}
ol dt{justify-content:start}ol dd{margin-bottom:8px}.signatures{grid-template-columns:1fr}}
"""

"""The one stylesheet of the report: light and dark by the reader's setting, and black on white in print."""

STYLE = """
:root{--paper:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--band:#f6f8fa;--link:#0550ae;
--good:#116329;--warn:#7d4e00;--bad:#a40e26;--good-paper:#e6f6ea;--warn-paper:#fff6dc;--bad-paper:#ffebe9;
color-scheme:light}
@media screen and (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--soft:#9ba6b2;--line:#30363d;
--band:#161b22;--link:#79b8ff;--good:#56d364;--warn:#e3b341;--bad:#ff8e86;--good-paper:#12261a;--warn-paper:#2b2211;
--bad-paper:#331a1b;color-scheme:dark}}
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Liberation Sans",Arial,sans-serif}
body{margin:0 auto;max-width:70rem;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.3rem;line-height:1.3;margin:2.75rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem}
p{margin:.5rem 0;max-width:46rem}
a{color:var(--link)}
.skip{position:absolute;left:-99rem}
.skip:focus{position:static}
.soft,.more,footer{color:var(--soft)}
.more{font-size:.9rem;margin:.35rem 0}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.85em;
overflow-wrap:anywhere}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;list-style:none;margin:1rem 0;padding:0}
.claim{border-left:4px solid var(--line);padding:.1rem 1rem;margin:1.25rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.75rem;margin:1.25rem 0;padding:0;
list-style:none}
.tiles li{border:1px solid var(--line);border-radius:.4rem;padding:.7rem .9rem;background:var(--band)}
.tiles strong{display:block;font-size:1.5rem;line-height:1.25}
.tiles span{display:block;font-size:.875rem;color:var(--soft)}
dl{margin:.5rem 0;border-top:1px solid var(--line)}
dl div{display:grid;grid-template-columns:minmax(9rem,14rem) 1fr;gap:1rem;padding:.35rem 0;
border-bottom:1px solid var(--line)}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.frame{overflow-x:auto;margin:.75rem 0}
.frame:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--line)}
thead th{border-bottom:2px solid var(--line);white-space:nowrap;color:var(--soft);font-weight:600}
tbody th{font-weight:500;overflow-wrap:anywhere;min-width:11rem}
td{font-variant-numeric:tabular-nums}
time,.nowrap{white-space:nowrap}
td .nowrap{overflow-wrap:normal}
.mark{display:inline-block;border-radius:.25rem;padding:0 .4rem;font-size:.85em;font-weight:600;white-space:nowrap}
.good{color:var(--good);background:var(--good-paper)}
.warn{color:var(--warn);background:var(--warn-paper)}
.bad{color:var(--bad);background:var(--bad-paper)}
.gap{border:1px solid var(--line);border-left:4px solid var(--warn);border-radius:.4rem;padding:.6rem 1rem;
margin:.75rem 0}
.gap h3{margin:0}
.gap p{margin:.25rem 0}
.gap ul{margin:.35rem 0;padding-left:1.2rem;columns:22rem 2;font-size:.875rem;overflow-wrap:anywhere}
pre{background:var(--band);border:1px solid var(--line);border-radius:.4rem;padding:.6rem .8rem;overflow-x:auto;
font-size:.85rem}
footer{margin-top:3rem;font-size:.875rem;border-top:1px solid var(--line);padding-top:.75rem}
@media (max-width:36rem){dl div{grid-template-columns:1fr;gap:0}}
@page{margin:16mm 14mm}
@media print{
html{font-size:10pt;background:#fff}
body{max-width:none;padding:0 1px 0 0}
p{max-width:none}
.tiles{grid-template-columns:repeat(5,1fr)}
tbody th{min-width:9rem}
time,.nowrap{white-space:normal}
nav,.skip{display:none}
a{color:inherit;text-decoration:none}
h2{break-after:avoid;margin-top:1.5rem}
h3,caption{break-after:avoid}
.frame{overflow:visible}
thead{display:table-header-group}
tr,.tiles li,.gap,dl div{break-inside:avoid}
table{font-size:8.5pt}
th,td{padding:.25rem .5rem .25rem 0}
pre{white-space:pre-wrap}
.mark,.tiles li{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""

"""How the page looks, by day and by night."""

CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #fbfbf9;
  --card: #ffffff; --edge: #dfe3e8; --mark: #1f6fb2; --second: #e08a1e; --warn: #9a3412;
  --warnpaper: #fff4e5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --paper: #14171c;
  --card: #1b2027; --edge: #2e3641; --mark: #6cb2ee; --second: #f0a84a; --warn: #ffb37a;
  --warnpaper: #2b2119; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
main { max-width: 880px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 8px; }
h3 { font-size: 14px; margin: 12px 0 4px; font-weight: 600; overflow-wrap: anywhere; }
p { margin: 4px 0 12px; } .soft, figcaption, th { color: var(--soft); }
figure { margin: 0; padding: 16px; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; overflow-x: auto; } figcaption { font-size: 13px; margin-bottom: 8px; }
svg { max-width: 100%; height: auto; display: block; }
svg .label { font-size: 12px; fill: var(--soft); } svg .value { font-size: 12px; fill: var(--ink); }
svg .mark { fill: var(--mark); } svg .series1 { fill: var(--second); }
svg .series2 { fill: var(--soft); }
svg .axis { stroke: var(--edge); fill: none; }
svg .even { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
svg .area { fill: var(--mark); fill-opacity: 0.35; }
svg .line { fill: none; stroke: var(--second); stroke-width: 1.2; }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
  margin: 20px 0; }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 12px 14px; } .card b { display: block; font-size: 20px; font-weight: 600; }
.card span { font-size: 13px; color: var(--soft); }
.warnings { background: var(--warnpaper); border-left: 4px solid var(--warn); border-radius: 6px;
  padding: 10px 16px; margin: 16px 0; } .warnings li { margin: 4px 0; }
.warnings ul { margin: 4px 0; padding-left: 18px; }
.pair { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); }
.key i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 5px 0 12px;
  background: var(--mark); vertical-align: -1px; } .key i.series1 { background: var(--second); }
.key i.series2 { background: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 4px 8px; border-bottom: 1px solid var(--edge);
  overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
details { margin-top: 12px; } summary { cursor: pointer; }
"""

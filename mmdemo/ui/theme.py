"""Colours, type and spacing of the page: theme variables only, so that light and dark both follow the system."""

from __future__ import annotations

import gradio as gr

SYSTEM_FONTS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Noto Sans CJK SC",
    "sans-serif",
)
SYSTEM_MONO = ("ui-monospace", "SFMono-Regular", "Consolas", "Liberation Mono", "monospace")


def build_theme() -> gr.themes.Base:
    """The theme; nothing in it is loaded from elsewhere."""
    theme = gr.themes.Default(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        text_size=gr.themes.sizes.text_md,
        font=SYSTEM_FONTS,
        font_mono=SYSTEM_MONO,
    )
    return theme.set(
        color_accent="*primary_600",
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="*block_background_fill",
        block_label_background_fill_dark=None,
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_large_padding="12px 20px",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        input_background_fill_dark="*neutral_800",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )


CSS = """
#head { padding: 4px 2px 0; }
#head h1 { font-size: 1.55rem; font-weight: 700; letter-spacing: -0.01em; margin: 0 0 2px; }
#head p { color: var(--body-text-color-subdued); margin: 0; max-width: 70ch; line-height: 1.5; }
#shared-note { border-left: 3px solid var(--color-accent); padding: 4px 12px; color: var(--body-text-color-subdued); }
#bar { align-items: stretch; gap: 12px; }
#bar .block { flex: 1 1 220px; }
.html-container { padding: 0 !important; }
.tab-container button { font-size: 1.05rem; padding-top: 10px; padding-bottom: 10px; }
.examples .label { font-size: 0.95rem; }
.examples thead { display: none; }
#classify-table * { font-family: var(--font); }
.examples td { text-align: left; white-space: normal; }
.dark .tab-container button.selected { color: var(--primary-400); }
/* what you bring, the answer beside it, examples below; on a phone the answer comes before the examples */
.bench { display: grid !important; grid-template: "bring answer" auto "try answer" 1fr / 5fr 6fr; gap: 16px; }
.bench > .bring { grid-area: bring; }
.bench > .answer { grid-area: answer; }
.bench > .try { grid-area: try; }
.bench > .column { min-width: 0 !important; }
.intro p { color: var(--body-text-color-subdued); margin: 2px 2px 4px; line-height: 1.5; }
.result { min-height: 96px; }
.mm { color: var(--body-text-color); line-height: 1.5; font-size: 1rem; overflow-wrap: anywhere; }
.mm-panel { background: var(--block-background-fill); border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); padding: 20px 22px; }
.mm-empty { color: var(--body-text-color-subdued); border-style: dashed; text-align: center; padding: 44px 22px; }
.mm-question { color: var(--body-text-color-subdued); margin: 0 0 2px; }
.mm-big { font-size: 2rem; font-weight: 700; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
.mm-sentence { font-size: 1.45rem; font-weight: 600; line-height: 1.35; margin: 0; }
.mm-sub { color: var(--body-text-color-subdued); margin: 4px 0 0; }
.mm-panel > h3:first-child { margin-top: 0 !important; }
.mm h3 { font-size: 0.95rem; font-weight: 600; margin: 20px 0 8px; color: var(--body-text-color); }
.mm-unsure { display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: baseline; margin: 12px 0 0; }
.mm-badge { display: inline-block; font-size: 0.85rem; font-weight: 600; padding: 2px 10px; border-radius: 999px;
  border: 1.5px dashed var(--body-text-color-subdued); color: var(--body-text-color); white-space: nowrap; }
.mm-bars { list-style: none; margin: 14px 0 0; padding: 0; display: grid; gap: 10px; }
.mm-bars li { margin: 0; padding: 0; }
.mm-bar-text { display: flex; justify-content: space-between; gap: 12px; font-size: 0.98rem; }
.mm-bar-text b { font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap; }
.mm-bar { height: 8px; border-radius: 999px; background: var(--border-color-primary); overflow: hidden;
  margin-top: 4px; }
.mm-bar span { display: block; height: 100%; border-radius: 999px; background: var(--body-text-color-subdued); }
.mm-bars li:first-child .mm-bar span { background: var(--color-accent); }
.mm-meta { color: var(--body-text-color-subdued); font-size: 0.9rem; margin: 18px 0 0; padding-top: 12px;
  border-top: 1px solid var(--border-color-primary); }
.mm-trouble { border-left: 4px solid var(--error-icon-color); margin-bottom: 12px; }
.mm-trouble strong { display: block; }
.mm-earlier { list-style: none; margin: 0; padding: 0; }
.mm-earlier li { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 16px; padding: 8px 0;
  margin: 0;  border-top: 1px solid var(--border-color-primary); }
.mm-earlier b { font-weight: 600; }
.mm-three { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; text-align: left; }
.mm-three b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.mm-three span.mm-name { color: var(--body-text-color-subdued); font-size: 0.95rem; }
.mm-maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; }
.mm-maps.mm-one { grid-template-columns: minmax(0, 560px); }
.mm figure { margin: 0; }
.mm figure img { display: block; width: 100%; height: auto; border-radius: var(--radius-md); }
.mm figcaption { font-size: 0.92rem; color: var(--body-text-color-subdued); margin-top: 4px; }
.mm-scale { display: flex; gap: 10px; align-items: center; font-size: 0.9rem; color: var(--body-text-color-subdued);
  margin: 10px 0 0; }
.mm-scale i { display: inline-block; width: 90px; height: 10px; border-radius: 5px; }
.mm-plot svg { display: block; width: 100%; height: auto; }
.mm-axis { display: flex; justify-content: space-between; font-size: 0.85rem; color: var(--body-text-color-subdued);
  font-variant-numeric: tabular-nums; }
.mm-legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 0.92rem; margin: 8px 0 0; padding: 0;
  list-style: none; }
.mm-legend li { display: flex; gap: 6px; align-items: center; margin: 0; }
.mm-legend i { width: 14px; height: 14px; border-radius: 4px; display: inline-block; }
.mm-cursor::after { content: ""; display: inline-block; width: 0.5ch; height: 1em; margin-left: 0.2ch;
  vertical-align: -0.12em; background: var(--color-accent); }
.mm-loaded .mm-sub { margin: 0 2px; }
/* teach and runs */
.mm-step { margin-top: 18px; }
.mm-step h3 { font-size: 1.15rem; font-weight: 700; margin: 6px 2px 0; }
.mm-banner { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px; margin: 0; padding: 9px 16px;
  background: var(--color-accent-soft); border: 1px solid var(--border-color-accent); border-radius: var(--radius-lg); }
.mm-banner button { line-height: 1.4; margin: 0; }
.mm-banner span { flex: 1 1 150px; }
.mm-banner button, .mm-clips button { font-weight: 600; text-decoration: underline; text-underline-offset: 3px;
  padding: 2px 4px; color: var(--link-text-color); cursor: pointer; background: none; border: 0; }
.mm-set, .mm-ask { align-items: flex-end; }
.mm-set > button, .mm-ask > button { flex: 0 1 auto !important; }
.mm-ask { border-left: 3px solid var(--color-accent); padding-left: 12px; }
.mm-buttons { flex-wrap: wrap; gap: 8px; }
.mm-buttons > button { flex: 0 1 auto !important; min-width: 0 !important; }
.mm-buttons > button.sm { padding: 6px 12px; }
.mm-fields > .form { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); width: 100%; }
.mm-fields > .form > * { min-width: 0 !important; }
.mm-mono textarea { font-family: var(--font-mono); font-size: 0.9rem; }
.mm-camera { align-items: stretch; justify-content: center; }
.mm-camera > button { flex: 0 0 auto !important; }
.mm-video { display: none; width: 100%; max-height: 300px; object-fit: contain; border-radius: var(--radius-lg);
  background: var(--background-fill-secondary); }
.mm-video.mm-on { display: block; }
.mm-video.mm-flash { opacity: 0.35; }
.mm-edit { border: 1px solid var(--color-accent); border-radius: var(--radius-lg); padding: 12px; }
.mm-one-item img { display: block; max-width: 100%; max-height: 320px; border-radius: var(--radius-md); margin: 0; }
.mm-one-item audio { width: 100%; }
.mm-estimate { margin: 0; padding: 2px; }
.mm-told { margin: 0; padding: 8px 14px; border-left: 3px solid var(--color-accent); }
.mm-unseen { display: none !important; }
.mm-none { padding: 6px 2px; }
.mm ul.mm-items { list-style: none; margin: 8px 0 0; padding: 0; display: grid; gap: 8px;
  grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
.mm-items li { margin: 0 !important; padding: 0; min-width: 0; }
.mm-items button, .mm-runs button { cursor: pointer; text-align: left; color: var(--body-text-color); }
.mm-tiles button { display: block; width: 100%; padding: 0; border: 0; border-radius: var(--radius-md);
  overflow: hidden;
  background: var(--background-fill-secondary); outline: 1px solid var(--border-color-primary); }
.mm-tiles img { display: block; width: 100%; height: 96px; object-fit: cover; margin: 0; }
.mm ul.mm-said { grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); }
.mm-said button { display: flex; font-weight: 400; gap: 12px; width: 100%; align-items: center; padding: 8px;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-md);
  background: var(--block-background-fill); }
.mm-said img { width: 72px; height: 72px; object-fit: cover; border-radius: var(--radius-sm); margin: 0; flex: none; }
.mm ul.mm-clips { grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); }
.mm-clips li { display: flex; align-items: center; gap: 6px; }
.mm audio { height: 40px; max-width: 100%; min-width: 0; flex: 1; }
.mm-items button.mm-chosen, .mm-runs button.mm-chosen { outline: 2px solid var(--color-accent); outline-offset: -1px; }
.mm button:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px; }
.mm-notes { border-left: 3px solid var(--color-accent); padding: 2px 0 2px 14px; margin: 12px 0; }
.mm-notes.mm-refused { border-left-color: var(--error-icon-color); }
.mm-notes ul { margin: 4px 0 0; padding-left: 18px; }
.mm-notes li { margin: 2px 0; }
.mm-good { margin: 12px 0; font-weight: 600; }
.mm-samples { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 8px; }
.mm-samples img { height: 72px; width: auto; max-width: 140px; object-fit: cover; border-radius: var(--radius-sm);
  margin: 0; }
.mm-samples figure { width: 140px; }
.mm .mm-samples figure img { width: 140px; height: 96px; object-fit: cover; }
.mm-bars.mm-labels { gap: 18px; }
.mm-bars.mm-labels li .mm-bar span { background: var(--color-accent); }
.mm ul.mm-runs { list-style: none; margin: 0; padding: 0; display: grid; gap: 8px; }
.mm-runs li { margin: 0 !important; padding: 0; }
.mm-runs button { display: block; font-weight: 400; width: 100%; padding: 12px 14px; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); background: var(--block-background-fill); }
.mm-runs button:hover { border-color: var(--color-accent); }
.mm-run-top { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 4px 12px;
  margin: 0; }
.mm-run-facts { display: flex; flex-wrap: wrap; gap: 0 12px; font-weight: 400; color: var(--body-text-color-subdued); font-size: 0.9rem; margin-top: 3px; }
.mm-runs .mm-bar { display: block; }
.mm-bar.mm-thick { height: 12px; margin: 12px 0 4px; }
.mm-bar.mm-thick span, .mm-runs .mm-bar span { background: var(--color-accent); transition: width 0.6s linear; }
.mm-state { display: inline-flex; align-items: center; gap: 6px; font-size: 0.85rem; font-weight: 600;
  padding: 1px 10px;
  border-radius: 999px; border: 1px solid var(--border-color-primary); white-space: nowrap; }
.mm-state i { font-style: normal; color: var(--body-text-color-subdued); }
.mm-is-training i, .mm-is-preparing i, .mm-is-finishing i, .mm-is-done i { color: var(--color-accent); }
.mm-is-failed { border-color: var(--error-icon-color); }
.mm-is-failed i { color: var(--error-icon-color); }
.mm-facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(164px, 1fr)); gap: 12px 16px;
  margin: 14px 0 0; }
.mm-facts dt { color: var(--body-text-color-subdued); font-size: 0.88rem; }
.mm-facts dd { margin: 0; overflow-wrap: anywhere; font-weight: 600; font-variant-numeric: tabular-nums; white-space: pre-line; }
.mm-log { white-space: pre-wrap; overflow: auto; max-height: 340px; font-family: var(--font-mono); font-size: 0.82rem;
  line-height: 1.45; background: var(--background-fill-secondary); border-radius: var(--radius-md); padding: 10px 12px;
  margin: 8px 0 0; }
.mm-curves { display: grid; gap: 24px; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); }
.mm .mm-curve { display: grid; grid-template: "name name" auto "up plot" 150px ". across" auto / auto minmax(0, 1fr);
  gap: 4px 8px; }
.mm .mm-curve figcaption { grid-area: name; font-weight: 600; color: var(--body-text-color); margin: 0 0 6px; }
.mm-up { grid-area: up; display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  font-size: 0.85rem; color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; margin: -0.6em 0; }
.mm-curve svg { grid-area: plot; width: 100%; height: 100%; overflow: visible; }
.mm-across { grid-area: across; }
.mm-grid { stroke: var(--border-color-primary); stroke-width: 1; vector-effect: non-scaling-stroke; }
.mm-line { fill: none; stroke: var(--color-accent); stroke-width: 2; vector-effect: non-scaling-stroke;
  stroke-linejoin: round; }
.mm-dot { stroke: var(--color-accent); stroke-width: 6; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.mm-dot.mm-best { stroke-width: 11; }
.mm-wide { overflow-x: auto; }
.mm .mm-table { width: 100%; border: 0 !important; margin: 0; border-collapse: collapse; font-size: 0.95rem; }
.mm .mm-table thead, .mm .mm-table tbody, .mm .mm-table tr { border: 0 !important; }
.mm .mm-table th { border: 0; text-align: left; font-weight: 600; color: var(--body-text-color-subdued); padding: 4px 14px 4px 0; }
.mm .mm-table td { padding: 7px 14px 7px 0; border: 0; border-top: 1px solid var(--border-color-primary); vertical-align: baseline; }
/* compare */
.mm-whisks { display: grid; gap: 6px; }
.mm-whisk { display: grid; grid-template-columns: minmax(0, 11rem) minmax(80px, 1fr) 5.5rem; gap: 12px;
  align-items: center; }
.mm-whisk svg { width: 100%; height: 28px; overflow: visible; }
.mm-whisk b { font-variant-numeric: tabular-nums; text-align: right; }
.mm-side-a { --side: var(--body-text-color-subdued); }
.mm-side-b { --side: var(--color-accent); }
.mm-whisker { stroke: var(--side); stroke-width: 2; vector-effect: non-scaling-stroke; fill: none; }
.mm-point { stroke: var(--side); stroke-width: 12; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.mm-key { display: inline-block; width: 12px; height: 12px; border-radius: 50%; background: var(--side);
  margin-right: 6px; }
.mm-ball { fill: var(--side); fill-opacity: 0.8; }
.mm-diagonal { stroke: var(--body-text-color-subdued); stroke-dasharray: 5 4; fill: none; }
.mm-band { fill: var(--side); fill-opacity: 0.12; }
.mm-path { fill: none; stroke: var(--side); stroke-width: 2.5; vector-effect: non-scaling-stroke; }
.mm-path.mm-side-a { stroke-dasharray: 7 4; }
.mm-marker { stroke: var(--body-text-color); stroke-width: 1; vector-effect: non-scaling-stroke; }
.mm .mm-line-ab { grid-template-rows: auto 220px auto; margin: 18px 0; }
.mm-pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 20px; }
.mm-one-side { border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg); padding: 14px 16px; }
.mm-squares { display: flex; flex-wrap: wrap; gap: 24px; margin-top: 10px; }
.mm .mm-square { display: grid; grid-template: "name name" auto "up plot" 230px ". across" auto / auto 230px;
  gap: 4px 8px; }
.mm .mm-square figcaption { grid-area: name; font-weight: 600; color: var(--body-text-color); margin: 0 0 6px; }
.mm-square svg { grid-area: plot; width: 100%; height: 100%; overflow: visible; }
.mm-square .mm-up span:nth-child(2) { writing-mode: vertical-rl; transform: rotate(180deg); align-self: flex-end; }
.mm-heat { border-collapse: separate; border-spacing: 2px; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.mm-heat caption { text-align: left; white-space: nowrap; color: var(--body-text-color-subdued); padding: 0 0 6px; }
.mm .mm-heat, .mm .mm-heat td, .mm .mm-heat th, .mm .mm-heat tr { border: 0; background: none; }
.mm-heat td { min-width: 26px; height: 26px; padding: 0 3px; text-align: center; border-radius: 4px; }
.mm .mm-heat td.mm-hit { background: color-mix(in srgb, var(--color-accent) calc(var(--share) * 0.55), transparent); }
.mm .mm-heat td.mm-miss { background: color-mix(in srgb, var(--error-icon-color) calc(var(--share) * 0.7), transparent); }
.mm-heat th { font-weight: 500; text-align: right; padding: 0 6px 0 0; white-space: nowrap; max-width: 9rem;
  overflow: hidden; text-overflow: ellipsis; }
.mm-heat thead th { vertical-align: bottom; padding: 0; height: 5.5rem; }
.mm-heat thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 5.5rem; overflow: hidden;
  text-overflow: ellipsis; display: inline-block; }
.mm-bars.mm-two-columns { grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 12px 28px; }
.mm-bar.mm-change { display: flex; }
.mm-bars li .mm-bar.mm-change span { border-radius: 0; background: var(--body-text-color-subdued); }
.mm-bars li .mm-bar.mm-change span.mm-side-b { background: var(--color-accent); }
.mm-bars li .mm-bar.mm-change span.mm-side-a { background: var(--error-icon-color); }
.mm ul.mm-flips { list-style: none; margin: 0; padding: 0; display: grid; gap: 6px; }
.mm-flips li { margin: 0 !important; padding: 0; border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-md); }
.mm-flips summary { display: flex; align-items: center; gap: 12px; padding: 6px 10px; cursor: pointer; }
.mm-flips summary img { width: 48px; height: 48px; object-fit: cover; border-radius: var(--radius-sm); margin: 0;
  flex: none; }
.mm-flip { flex: 1; min-width: 0; display: grid; }
.mm-flip .mm-sub { margin: 0; font-size: 0.92rem; }
.mm-badge.mm-side-a, .mm-badge.mm-side-b { border-style: solid; border-color: var(--side); }
.mm-flip-open { display: grid; gap: 8px 18px; padding: 4px 12px 12px; }
.mm-flip-open img { max-width: min(100%, 360px); height: auto; border-radius: var(--radius-md); margin: 0; }
.mm-flip-open dl { display: grid; grid-template-columns: auto 1fr; gap: 4px 12px; margin: 0; align-content: start; }
.mm-flip-open dt { color: var(--body-text-color-subdued); }
.mm-flip-open dd { margin: 0; }
.mm-flip-open > p { grid-column: 1 / -1; }
.mm-fold { margin-top: 16px; }
.mm-fold summary { cursor: pointer; font-weight: 600; }
@media (min-width: 700px) { .mm-flip-open:has(img) { grid-template-columns: auto minmax(0, 1fr); } }
@media (max-width: 640px) {
  .mm-whisk { grid-template-columns: minmax(0, 1fr) 5rem; gap: 0 10px; }
  .mm-whisk svg, .mm-whisk .mm-axis { grid-column: 1 / -1; grid-row: 2; }
  .mm-flips summary { flex-wrap: wrap; }
}
@media (max-width: 760px) {
  #runs-opened { order: -1; }
  .bench { grid-template: "bring" "answer" "try" / minmax(0, 1fr); }
}
@media (max-width: 640px) {
  .tab-container button { font-size: 0.98rem; padding-left: 10px; padding-right: 10px; }
  .mm-panel { padding: 16px; }
  .mm-big { font-size: 1.7rem; }
  .mm-sentence { font-size: 1.25rem; }
  .mm-maps { grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); }
  .mm-maps.mm-one { grid-template-columns: minmax(0, 1fr); }
}
"""
"""Layout and the look of answers. Class names start with ``mm-``; every colour is one of the theme's variables."""

FRAME = """
.gradio-container { max-width: 1200px !important; margin: 0 auto !important; padding: 24px 20px 40px !important; }
.gradio-container > .main { padding: 0 !important; }
@media (max-width: 640px) { .gradio-container { padding: 12px 12px 32px !important; } }
@supports selector(:has(*)) {
  /* one model list at a time, that of the open tab */
  .gradio-container .model-choice, .gradio-container .block.mm-loaded { display: none !important; }
  .gradio-container:has(#tab-ask-button[aria-selected="true"]) #model-ask,
  .gradio-container:has(#tab-classify-button[aria-selected="true"]) #model-classify,
  .gradio-container:has(#tab-caption-button[aria-selected="true"]) #model-caption,
  .gradio-container:has(#tab-sentiment-button[aria-selected="true"]) #model-sentiment { display: block !important; }
  .gradio-container:has(#tab-ask-button[aria-selected="true"]) #loaded-ask:has(p, div.mm),
  .gradio-container:has(#tab-classify-button[aria-selected="true"]) #loaded-classify:has(p, div.mm),
  .gradio-container:has(#tab-caption-button[aria-selected="true"]) #loaded-caption:has(p, div.mm),
  .gradio-container:has(#tab-sentiment-button[aria-selected="true"]) #loaded-sentiment:has(p, div.mm) {
    display: block !important; }
  /* nothing to explain before there is an answer */
  .gradio-container .where, .gradio-container .mm-correct { display: none; }
  .gradio-container .column:has(.result .mm-meta) > .where,
  .gradio-container .column:has(.result .mm-meta) > .mm-correct { display: block; }
  .gradio-container .block:has(> .html-container > .prose:empty) { display: none; }
}
"""
"""The page's frame, and what is shown when; apart because ``css=`` stays inside the frame and loses ``@supports``."""

HEAD = f"<style>{FRAME}</style>"
"""Goes into the page's head as it is."""

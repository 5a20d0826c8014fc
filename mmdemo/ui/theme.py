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
@media (max-width: 760px) {
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
  .gradio-container .model-choice { display: none !important; }
  .gradio-container:has(#tab-ask-button[aria-selected="true"]) #model-ask,
  .gradio-container:has(#tab-classify-button[aria-selected="true"]) #model-classify,
  .gradio-container:has(#tab-caption-button[aria-selected="true"]) #model-caption,
  .gradio-container:has(#tab-sentiment-button[aria-selected="true"]) #model-sentiment { display: block !important; }
  /* nothing to explain before there is an answer */
  .gradio-container .where { display: none; }
  .gradio-container .column:has(.result .mm-meta) > .where { display: block; }
  .gradio-container .block:has(> .html-container > .prose:empty) { display: none; }
}
"""
"""The page's frame, and what is shown when; apart because ``css=`` stays inside the frame and loses ``@supports``."""

HEAD = f"<style>{FRAME}</style>"
"""Goes into the page's head as it is."""

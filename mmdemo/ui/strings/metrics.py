"""Figures by their names in reports and events: English, Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "metric_top1": ("Accuracy", "准确率"),
    "metric_top5": ("Among the first five", "前五命中率"),
    "metric_mean_class": ("Mean recall of the classes", "各类平均召回率"),
    "metric_none_share": ("“None of these” on top", "“都不是”居首的比例"),
    "metric_ece": ("Calibration error (lower is better)", "校准误差（越低越好）"),
    "metric_accuracy": ("Accuracy", "准确率"),
    "metric_open": ("Accuracy on open questions", "开放问题准确率"),
    "metric_cider": ("CIDEr", "CIDEr"),
    "metric_bleu4": ("BLEU-4", "BLEU-4"),
    "metric_ua": ("Mean recall of the emotions", "各情绪平均召回率"),
    "metric_wa": ("Accuracy", "准确率"),
    "metric_macro_f1": ("Macro F1", "宏平均 F1"),
    "metric_r1": ("Own picture first", "首位命中率"),
    "metric_r5": ("Own picture among five", "前五命中率"),
    "metric_r10": ("Own picture among ten", "前十命中率"),
    "metric_minus_loss": ("Log-probability of a word (0 is best)", "每词对数概率（0 为最佳）"),
}

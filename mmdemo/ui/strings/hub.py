"""Words of the part that brings public models here: English, Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "hub": ("More models, made by others", "更多由他人发布的模型"),
    "hub_what": (
        "Public models behind the same tabs. Choose one of the list, or type a hub id (owner/name) or a folder. "
        "Nothing is fetched before you have seen its size and licence and pressed the button.",
        "同样的功能，换用公开发布的模型。从列表中选择，或输入模型库编号（owner/name）或文件夹。在您看过大小与许可并按下按钮之前，不会下载任何内容。",
    ),
    "hub_task": ("For", "用于"),
    "hub_model": ("Public model", "公开模型"),
    "hub_look": ("Look it up", "查询"),
    "hub_get": ("Fetch and use", "下载并使用"),
    "hub_get_size": ("Fetch {size} and use", "下载 {size} 并使用"),
    "hub_stop": ("Stop", "停止"),
    "hub_drop": ("Take off the lists", "从列表中移除"),
    "hub_dropped": (
        "{model} is off the lists; its files stay in {folder}.",
        "{model} 已从列表移除；文件仍保留在 {folder}。",
    ),
    "hub_none": ("Choose a model first", "请先选择模型"),
    "hub_here": (
        "{model} is on this computer and stands in the lists of: {jobs}.",
        "{model} 已在本机，可用于：{jobs}。",
    ),
    "hub_writes": (
        "{model} is on this computer; Sentiment shows the words beside the emotion from now on.",
        "{model} 已在本机；今后“情绪”会在情绪旁显示所说的话。",
    ),
    "hub_stopped": (
        "Stopped. What was fetched is kept; press the button to go on from there.",
        "已停止。已下载的部分会保留，再次按下按钮即可继续。",
    ),
    "hub_progress": ("{done} of {total}", "{done} / {total}"),
    "hub_good_at": ("Good at", "擅长"),
    "hub_kind": ("Kind", "类型"),
    "hub_own_kind": ("made with mmdemo, or a part of other models", "由 mmdemo 训练，或为其他模型的组成部分"),
    "hub_size": ("Size on disk", "占用磁盘"),
    "hub_missing": ("Still to fetch", "尚需下载"),
    "hub_free": ("Free disk", "可用磁盘"),
    "hub_licence": ("Licence", "许可"),
    "hub_not_stated": ("not stated", "未说明"),
    "hub_memory": ("Memory", "内存"),
    "hub_memory_of": (
        "needs {need} in {precision}; {free} are free here",
        "以 {precision} 运行需 {need}；本机可用 {free}",
    ),
    "hub_languages": ("Languages", "语言"),
    "hub_figure": ("Published figure", "公布的指标"),
    "hub_revision": ("Revision", "版本"),
}
"""Key to the words in each language."""

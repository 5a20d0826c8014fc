"""Words of “Wrong? Say the right answer”: English, Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "teach_correct": ("Wrong? Say the right answer", "答错了？说出正确答案"),
    "teach_correct_right": ("Right answer", "正确答案"),
    "teach_correct_info": ("Choose one, or type another.", "选择一个，或输入其他答案。"),
    "teach_correct_keep": ("Keep it to learn from", "保存，供以后学习"),
    "teach_correct_kept_one": (
        "Kept: the first correction for {task}. Teach it in the tab Teach (data: {data}).",
        "已保存“{task}”的第一条更正。可在“教学”标签页用它训练（数据：{data}）。",
    ),
    "teach_correct_kept": (
        "Kept: {n} corrections for {task}. Teach them in the tab Teach (data: {data}).",
        "已保存“{task}”的 {n} 条更正。可在“教学”标签页用它们训练（数据：{data}）。",
    ),
    "teach_correct_no_answer": ("There is no answer to correct yet", "还没有可更正的答案"),
    "teach_correct_no_answer_try": ("Get one first", "请先得到一个答案"),
    "teach_correct_nothing": ("There is no right answer yet", "还没有填写正确答案"),
    "teach_correct_nothing_try": ("Say what it should have been", "请写出应有的答案"),
    "teach_correct_deleted": ("The file of this answer is no longer there", "这个答案对应的文件已不在"),
    "teach_correct_deleted_try": ("Bring it again and ask again", "请重新上传并再次提问"),
}

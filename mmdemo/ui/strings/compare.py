"""Words of the tab Compare: English, Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "tab_compare": ("Compare", "比较"),
    "compare_intro": (
        "Put two models of the same job side by side: on one input, on data neither has learned from, and, "
        "for Classify, on what was forgotten.",
        "将同一任务的两个模型并排比较：同一输入、双方都没学过的数据，以及（分类任务）遗忘了什么。",
    ),
    "compare_task": ("Job", "任务"),
    "compare_a": ("Model A", "模型 A"),
    "compare_b": ("Model B", "模型 B"),
    "compare_on_data": ("On data", "在数据上"),
    "compare_side": ("Side by side", "同一输入"),
    "compare_forgetting": ("Forgetting", "遗忘检查"),
    # ------------------------------------------------------------ data
    "compare_data": ("Measured on", "用于测量的数据"),
    "compare_data_info": (
        "Best is what the newer model kept aside while it learned.",
        "最好使用新模型训练时留出的部分。",
    ),
    "compare_held": ("what {run} kept aside", "{run} 留出的部分"),
    "compare_dataset": ("dataset {name}", "数据集 {name}"),
    "compare_folder_choice": ("a folder on this machine …", "本机上的文件夹 …"),
    "compare_folder": ("Folder or table", "文件夹或表格"),
    "compare_folder_info": (
        "In any format that training reads; of data with splits the test part is taken.",
        "训练可读取的任何格式；若数据已划分，则使用测试部分。",
    ),
    "compare_limit": ("At most", "最多样本数"),
    "compare_limit_info": ("0 takes all examples.", "0 表示全部样本。"),
    "compare_run": ("Compare", "开始比较"),
    "compare_cancel": ("Cancel", "取消"),
    "compare_empty": (
        "The verdict appears here: which is better, how surely, and where they differ.",
        "结论会显示在这里：哪个更好、有多确定、在哪些样本上不同。",
    ),
    "compare_csv": ("Download every example (CSV)", "下载全部样本（CSV）"),
    "compare_no_model": ("Two models are needed", "需要两个模型"),
    "compare_no_model_try": ("Choose A and B", "请选择 A 和 B"),
    "compare_no_data": ("There is nothing to measure on", "没有可用于测量的数据"),
    "compare_no_data_try": ("Choose data, or type a folder", "请选择数据，或输入文件夹"),
    "compare_reading": ("Reading the data and loading both models …", "正在读取数据并加载两个模型……"),
    "compare_progress": ("{done} of {total}", "{done} / {total}"),
    "compare_cancelled": ("Cancelled; nothing was kept.", "已取消，未保留任何结果。"),
    # ------------------------------------------------------------ verdict
    "compare_better": (
        "{who} is better by {value} points, 95 % interval {low} to {high}, n = {n}",
        "{who} 更好，领先 {value} 个百分点，95 % 区间 {low} 至 {high}，n = {n}",
    ),
    "compare_unclear": (
        "No difference can be shown: {who} is {value} points ahead, 95 % interval {low} to {high}, n = {n}",
        "无法证明有差别：{who} 领先 {value} 个百分点，95 % 区间 {low} 至 {high}，n = {n}",
    ),
    "compare_level": (
        "No difference can be shown: both reach the same, 95 % interval {low} to {high}, n = {n}",
        "无法证明有差别：两者相同，95 % 区间 {low} 至 {high}，n = {n}",
    ),
    "compare_alike": ("A and B answer alike, n = {n}", "A 与 B 的回答相同，n = {n}"),
    "compare_few": ("n is small: {n} examples say little.", "样本很少：{n} 个样本说明不了什么。"),
    "compare_test": (
        "Measured on {data}. Paired test: p {p}. The same answer to {agreement} of the examples.",
        "测量数据：{data}。配对检验：p {p}。{agreement} 的样本回答相同。",
    ),
    "compare_none": (
        "“None of these” counts as an answer there and in how sure they are; accuracy ranks the classes alone.",
        "此处与置信度均将“都不是”计为回答；准确率只在各类别之间排名。",
    ),
    "compare_test_only": ("Measured on {data}. Paired test: p {p}.", "测量数据：{data}。配对检验：p {p}。"),
    "compare_with_interval": ("{metric}, with 95 % intervals", "{metric}（含 95 % 区间）"),
    "compare_interval_alt": (
        "{metric} of {name}: {value}, interval {low} to {high}",
        "{name} 的{metric}：{value}，区间 {low} 至 {high}",
    ),
    "compare_all_figures": ("All figures", "全部指标"),
    "compare_figure": ("figure", "指标"),
    "compare_difference": ("B − A", "B − A"),
    "compare_interval": ("95 % interval", "95 % 区间"),
    # ------------------------------------------------------------ by class
    "compare_by_class": ("Class by class", "逐类比较"),
    "compare_recall": ("{a} → {b}", "{a} → {b}"),
    "compare_points": ("{value} points", "{value} 个百分点"),
    "compare_confusion": ("What was taken for what", "混淆矩阵"),
    "compare_confusion_of": (
        "{side} ({model}): rows are the truth, columns the answer",
        "{side}（{model}）：行为真实类别，列为回答",
    ),
    "compare_confusion_part": (
        "The {shown} of {all} classes with most mistakes.",
        "仅显示错误最多的 {shown} 类（共 {all} 类）。",
    ),
    "compare_other": ("other", "其他"),
    "compare_reliability": ("Does it know when it is right?", "置信度可靠吗？"),
    "compare_reliability_info": (
        "How sure against how often right: on the diagonal a probability means what it says; below it the model is "
        "too sure. Larger dots stand for more answers.",
        "横轴为把握，纵轴为正确率：落在对角线上说明概率可信；在其下方说明过于自信。点越大，回答越多。",
    ),
    "compare_reliability_alt": (
        "Reliability of {side}: {points}",
        "{side} 的可靠性：{points}",
    ),
    "compare_reliability_point": ("{sure} sure, {right} right ({count})", "把握 {sure}，正确 {right}（{count} 个）"),
    "compare_sure": ("how sure", "把握"),
    "compare_right": ("how often right", "正确率"),
    # ------------------------------------------------------------ flipped
    "compare_flipped": ("Where one is right and the other wrong: {n}", "一方正确、另一方错误的样本：{n} 个"),
    "compare_flipped_captions": ("Where the captions differ most", "描述差别最大的图片"),
    "compare_flipped_none": ("No example that one gets right and the other wrong.", "没有一方正确而另一方错误的样本。"),
    "compare_flipped_more": ("The first {shown}; all are in the CSV file.", "仅显示前 {shown} 个；全部见 CSV 文件。"),
    "compare_truth": ("right answer", "正确答案"),
    "compare_right_is": ("{side} is right", "{side} 正确"),
    "compare_closer_is": ("{side} is closer", "{side} 更接近"),
    "compare_notes": ("How it was measured", "测量方式"),
    # ------------------------------------------------------------ side by side
    "compare_question": ("Question", "问题"),
    "compare_labels": ("Labels", "标签"),
    "compare_labels_info": (
        "Separated by commas; empty asks for the classes that the models were taught.",
        "用逗号分隔；留空则使用模型学过的类别。",
    ),
    "compare_ask_both": ("Ask both", "同时询问"),
    "compare_side_empty": ("Both answers appear here.", "两个回答会显示在这里。"),
    "compare_same_answer": ("Both answer the same.", "两者回答相同。"),
    "compare_other_answer": ("They answer differently.", "两者回答不同。"),
    "compare_change": ("From A to B", "从 A 到 B"),
    # ------------------------------------------------------------ forgetting
    "compare_forgetting_info": (
        "Tuning a classifier can make it worse at everything else. Here both are measured for mixtures of the two "
        "models' weights (WiSE-FT): A is what was started from, B what was tuned.",
        "微调分类器可能会使它在其他类别上变差。这里对两个模型权重的各种混合（WiSE-FT）同时测量两者："
        "A 为起始模型，B 为微调后的模型。",
    ),
    "compare_forgetting_only": ("Only classifiers can be checked for forgetting.", "仅分类模型可做遗忘检查。"),
    "compare_new_data": ("New labels: what B was tuned for", "新标签：B 所微调的内容"),
    "compare_old_data": ("Other labels: what may be forgotten", "其他标签：可能被遗忘的内容"),
    "compare_line_run": ("Measure along the line", "沿线测量"),
    "compare_line_empty": (
        "Two curves appear here: accuracy on the new labels and on the others, from A to B.",
        "这里会显示两条曲线：从 A 到 B，新标签与其他标签上的准确率。",
    ),
    "compare_line_said": (
        "From A to B: {new} points on the new labels, {old} points on the others",
        "从 A 到 B：新标签 {new} 个百分点，其他标签 {old} 个百分点",
    ),
    "compare_line_best": (
        "The highest mean of both is reached with {share} of B: {new} on the new labels, {old} on the others.",
        "两者平均最高时 B 占 {share}：新标签 {new}，其他标签 {old}。",
    ),
    "compare_line_alt": (
        "Accuracy along the mixture. {name}: {points}",
        "沿混合比例的准确率。{name}：{points}",
    ),
    "compare_new": ("new labels ({data}, n = {n})", "新标签（{data}，n = {n}）"),
    "compare_old": ("other labels ({data}, n = {n})", "其他标签（{data}，n = {n}）"),
    "compare_all_a": ("all A", "全部 A"),
    "compare_all_b": ("all B", "全部 B"),
    "compare_share": ("Share of B", "B 的比例"),
    "compare_share_info": ("0 is A as it is, 1 is B as it is.", "0 即 A 本身，1 即 B 本身。"),
    "compare_here": (
        "With {share} of B: {new} on the new labels ({new_low} to {new_high}), {old} on the others ({old_low} to "
        "{old_high}).",
        "B 占 {share} 时：新标签 {new}（{new_low} 至 {new_high}），其他标签 {old}（{old_low} 至 {old_high}）。",
    ),
    "compare_keep_name": ("Name of the mixture", "混合模型的名称"),
    "compare_keep": ("Keep this mixture", "保存此混合模型"),
    "compare_kept": ("{name} was saved and can be chosen in every list.", "{name} 已保存，可在各列表中选择。"),
    "compare_keep_first": ("There is no mixture yet", "还没有混合模型"),
    "compare_keep_first_try": ("Measure along the line first", "请先沿线测量"),
}

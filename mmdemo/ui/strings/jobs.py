"""Words of the frame and of the four jobs: English, Simplified Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    # ------------------------------------------------------------ bar and frame
    "tagline": (
        "Ask about a picture, sort it, describe it, hear how somebody feels. "
        "Everything is worked out on the computer that runs this page; what you bring stays there.",
        "对图片提问、分类、描述，听出说话人的情绪。一切都在运行本页面的电脑上完成，您的内容不会离开它。",
    ),
    "public_note": (
        "Shared page: answers only, no training; {mb} MB and {megapixels} megapixels per picture, "
        "{minutes} minutes per recording. Uploads are deleted within {hours} hours.",
        "共享页面：仅供使用，不能训练；每张图片不超过 {mb} MB、{megapixels} 百万像素，"
        "每段录音不超过 {minutes} 分钟。上传的文件会在 {hours} 小时内删除。",
    ),
    "model": ("Model", "模型"),
    "model_for_ask": ("Model for Ask", "提问所用模型"),
    "model_for_classify": ("Model for Classify", "分类所用模型"),
    "model_for_caption": ("Model for Caption", "描述所用模型"),
    "model_for_sentiment": ("Model for Sentiment", "情绪所用模型"),
    "device": ("Runs on", "运行设备"),
    "bar_loading": (
        "Loading {model}; {before} goes on answering until it is ready.",
        "正在加载 {model}；就绪之前由 {before} 继续回答。",
    ),
    "bar_swapped": (
        "{model} answers now. Memory: {before} {held} → {model} {after}, {seconds}.",
        "现在由 {model} 回答。内存：{before} {held} → {model} {after}，用时 {seconds}。",
    ),
    "bar_anew": (
        "{model} was trained anew, and the new one answers now. Memory: {before} {held} → {model} {after}, {seconds}.",
        "{model} 已重新训练，现在由新模型回答。内存：{before} {held} → {model} {after}，用时 {seconds}。",
    ),
    "bar_was_there": (
        "{model} answers now; it was in memory. Memory: {after}.",
        "现在由 {model} 回答；它已在内存中。内存：{after}。",
    ),
    "bar_let_go": ("Let go: {models}.", "已释放：{models}。"),
    "bar_damaged": ("Damaged models, left out of the lists: {n}", "已损坏、未列入列表的模型：{n}"),
    "bar_goes_on": ("{model} goes on answering.", "{model} 继续回答。"),
    "bar_anew_refused": ("{model} was written anew, and is refused.", "{model} 已被改写，但新版本未被采用。"),
    "bar_anew_goes_on": ("The one from before goes on answering.", "由原来的版本继续回答。"),
    "bar_gone": (
        "{model} is gone: its folder was deleted or renamed. {instead} answers now.",
        "{model} 已不存在：其文件夹已被删除或改名。现在由 {instead} 回答。",
    ),
    "device_auto": ("best available", "自动选择"),
    "tab_ask": ("Ask", "提问"),
    "tab_classify": ("Classify", "分类"),
    "tab_caption": ("Caption", "描述"),
    "tab_sentiment": ("Sentiment", "情绪"),
    "card": ("About this model: figures, licence, limits", "关于此模型：指标、许可与局限"),
    "examples": ("Try one of these", "试试这些例子"),
    "where_picture": ("Where it looked", "它看了哪里"),
    "where_sound": ("When it listened", "它听了哪一段"),
    "picture": ("Picture", "图片"),
    "picture_placeholder": (
        "Drop a picture here, paste one, or click to choose",
        "将图片拖到这里、粘贴，或点击选择",
    ),
    # ------------------------------------------------------------ ask
    "ask_intro": (
        "Ask about what can be seen: is there a …, how many …, what colour is …, where is this?",
        "询问图中可见的内容。模型只懂英文，例如：is there a dog? how many people? what color is the car?",
    ),
    "question": ("Question", "问题"),
    "question_placeholder": ("What is the man doing?", "请用英文提问，例如：What is the man doing?"),
    "ask_button": ("Ask", "提问"),
    "ask_empty": ("The answer appears here.", "答案会显示在这里。"),
    "earlier": ("Earlier questions about this picture", "关于这张图片的先前提问"),
    # ------------------------------------------------------------ classify
    "classify_intro": (
        "Give any labels you like; the model says which fits best, or that none does.",
        "给出任意标签（请用英文），模型会判断哪个最符合，或都不符合。",
    ),
    "labels": ("Labels", "标签"),
    "labels_info": ("Separated by commas or one per line.", "用逗号分隔，或每行一个。"),
    "labels_learned": (
        "Separated by commas or one per line. Empty: the {n} that {model} has learned.",
        "用逗号分隔，或每行一个。留空则使用 {model} 学过的 {n} 个标签。",
    ),
    "labels_placeholder": ("cat, dog, a red car", "cat, dog, a red car"),
    "ready_set": ("Ready-made labels", "现成标签"),
    "set_everyday": ("Everyday objects", "日常物品"),
    "set_animals": ("Animals", "动物"),
    "set_scenes": ("Places and scenes", "地点与场景"),
    "set_food": ("Food", "食物"),
    "set_sports": ("Sports", "运动"),
    "set_vehicles": ("Vehicles", "交通工具"),
    "set_actions": ("What people do", "人们在做什么"),
    "template": ("Prompt template", "提示模板"),
    "template_info": (
        "{} stands for the label. Empty: the model's own set of prompts, averaged.",
        "{} 代表标签。留空则使用模型自带的一组提示并取平均。",
    ),
    "template_placeholder": ("a photo of a {}", "a photo of a {}"),
    "fine_tuning_options": ("More options", "更多选项"),
    "several": ("Several pictures at once", "一次处理多张图片"),
    "several_files": ("Pictures", "图片"),
    "classify_button": ("Classify", "分类"),
    "classify_empty": ("The probabilities appear here.", "各标签的概率会显示在这里。"),
    "table": ("Results", "结果"),
    "column_file": ("file", "文件"),
    "column_label": ("label", "标签"),
    "column_score": ("score", "概率"),
    "column_sure": ("sure", "把握"),
    "column_second": ("second", "其次"),
    "column_note": ("note", "备注"),
    "download_csv": ("Download as CSV", "下载 CSV"),
    "sure_yes": ("yes", "有"),
    "sure_no": ("no", "没有"),
    "several_done": ("{n} pictures in {seconds}.", "{n} 张图片，用时 {seconds}。"),
    "too_many_pictures": ("Too many pictures at once", "一次选择的图片过多"),
    "too_many_pictures_why": ("{n} were chosen, at most {limit} are taken", "选择了 {n} 张，最多 {limit} 张"),
    "too_many_pictures_try": ("Use the command line for whole folders", "整个文件夹请使用命令行"),
    # ------------------------------------------------------------ caption
    "caption_intro": (
        "One sentence about what the picture shows, written word by word.",
        "用一句英文逐词描述图片内容。",
    ),
    "max_words": ("Longest caption, in words", "描述的最多词数"),
    "alternatives_number": ("Number of captions", "描述的数量"),
    "caption_button": ("Describe", "描述"),
    "caption_empty": ("The caption appears here.", "描述会显示在这里。"),
    "alternatives": ("Other ways to say it", "其他说法"),
    # ------------------------------------------------------------ sentiment
    "sentiment_intro": (
        "Record or upload somebody speaking; a few seconds are enough.",
        "录制或上传一段说话的声音，几秒钟即可。",
    ),
    "recording": ("Recording", "录音"),
    "sentiment_button": ("Listen", "聆听"),
    "sentiment_empty": ("The emotion appears here.", "情绪会显示在这里。"),
    "words_heard": ("Words heard", "听到的话"),
    "valence": ("Negative, neutral or positive", "消极、中性或积极"),
    "emotions": ("Emotions", "情绪"),
    "over_time": ("Over time", "随时间变化"),
    "uncertainty": ("uncertainty", "不确定度"),
    "timeline_alt": (
        "Waveform of {duration} with the emotion of every window: {runs}",
        "{duration} 的波形及各时间窗的情绪：{runs}",
    ),
    "silence_text": (
        "This recording is silent. Check the microphone and its level, then try again.",
        "这段录音没有声音。请检查麦克风及音量后重试。",
    ),
    "no_speech_text": (
        "No speech was found in this recording, so there is no emotion to report.",
        "这段录音里没有听到说话声，因此无法判断情绪。",
    ),
    # ------------------------------------------------------------ what every answer says
    "not_sure": ("not sure", "没有把握"),
    "not_sure_ask": (
        "Take this as a guess: at {score} the model is more often wrong than its usual answers.",
        "请当作猜测：概率只有 {score}，比通常的回答更容易出错。",
    ),
    "not_sure_classify": (
        "Take this as a guess: no label stands out clearly, the first has only {score}.",
        "请当作猜测：没有哪个标签明显胜出，最高的也只有 {score}。",
    ),
    "not_sure_caption": (
        "Take this as a guess: the model found few words that clearly fit this picture.",
        "请当作猜测：模型没有找到明显贴合这张图片的词语。",
    ),
    "not_sure_sentiment": (
        "Take this as a guess: several emotions fit this voice about equally well.",
        "请当作猜测：有几种情绪与这段声音的符合程度相近。",
    ),
    "took": ("answered in {seconds}", "用时 {seconds}"),
    "given_by": ("model {model}", "模型 {model}"),
    "other_answers": ("Answers by probability", "各答案的概率"),
    "no_answer": ("(no answer)", "（没有回答）"),
    "probability": ("probability {score}", "概率 {score}"),
    "probability_words": ("{score} per word on average", "平均每词概率 {score}"),
    "done_to_input": ("Note: {notes}.", "说明：{notes}。"),
    "seconds": ("{value} s", "{value} 秒"),
    "milliseconds": ("{value} ms", "{value} 毫秒"),
    "minutes_seconds": ("{minutes} min {seconds} s", "{minutes} 分 {seconds} 秒"),
    "weights": ("It relied on: {parts}", "判断依据：{parts}"),
    "weight_image": ("picture {share}", "图片 {share}"),
    "weight_question": ("question {share}", "问题 {share}"),
    # ------------------------------------------------------------ where it looked
    "heat_alt": (
        "The picture with a heat map for “{label}”; it looked most at the {place}.",
        "图片上叠加了“{label}”的热力图，主要看了{place}。",
    ),
    "heat_caption": ("“{label}”: mostly the {place}", "“{label}”：主要在{place}"),
    "heat_legend": ("from ignored to looked at most", "从忽略到看得最多"),
    "sound_alt": (
        "Waveform of {duration}; the taller the bar, the more that moment counted, most at {peak}.",
        "{duration} 的波形；柱越高，该时刻的作用越大，最大处在 {peak}。",
    ),
    "sound_caption": ("What decided for “{label}”, most at {peak}", "“{label}”的依据，主要在 {peak}"),
    "nothing_to_explain": (
        "There is nothing to explain yet: get an answer first.",
        "还没有可解释的内容：请先得到一个答案。",
    ),
    "cannot_explain": (
        "This model cannot say where it looked.",
        "这个模型无法说明它看了哪里。",
    ),
    "top left": ("top left", "左上"),
    "top": ("top", "上方"),
    "top right": ("top right", "右上"),
    "left": ("left", "左侧"),
    "middle": ("middle", "中间"),
    "right": ("right", "右侧"),
    "bottom left": ("bottom left", "左下"),
    "bottom": ("bottom", "下方"),
    "bottom right": ("bottom right", "右下"),
    # ------------------------------------------------------------ busy
    "stop": ("Stop", "停止"),
    "busy_open": (
        "Busy: {n} requests from your address are under way already. Wait for an answer, then ask again.",
        "繁忙：您的地址已有 {n} 个请求正在处理。请等到有回答后再试。",
    ),
    "busy_rate": (
        "Busy: more than {n} requests a minute came from your address. Ask again in {seconds} s.",
        "繁忙：您的地址每分钟的请求超过了 {n} 个。请 {seconds} 秒后再试。",
    ),
    "busy_all": (
        "Busy: {n} requests wait already. Ask again in a moment.",
        "繁忙：已有 {n} 个请求在等待。请稍后再试。",
    ),
    # ------------------------------------------------------------ trouble
    "trouble": ("That did not work", "没有成功"),
    "unexpected": (
        "Something went wrong inside the program. What you entered is kept; the log says what happened.",
        "程序内部出了问题。您的输入已保留，详情见日志。",
    ),
    "no_picture": ("There is no picture yet", "还没有图片"),
    "no_picture_try": ("Upload, paste or take one first", "请先上传、粘贴或拍摄一张"),
    "no_recording": ("There is no recording yet", "还没有录音"),
    "no_recording_try": ("Record or upload one first", "请先录制或上传一段"),
    "not_uploaded": (
        "This file cannot be used: it was not uploaded here, or has been deleted since. Upload it first.",
        "无法使用此文件：它不是上传到这里的文件，或者之后已被删除。请先上传。",
    ),
    # ------------------------------------------------------------ labels that the models say
    "none of these": ("none of these", "都不是"),
    "neutral": ("neutral", "平静中性"),
    "calm": ("calm", "平静"),
    "happy": ("happy", "高兴"),
    "sad": ("sad", "悲伤"),
    "angry": ("angry", "愤怒"),
    "fearful": ("fearful", "恐惧"),
    "disgust": ("disgust", "厌恶"),
    "surprised": ("surprised", "惊讶"),
    "silence": ("silence", "无声"),
    "no speech": ("no speech", "没有说话声"),
    "negative": ("negative", "消极"),
    "neutral_valence": ("neutral", "中性"),
    "positive": ("positive", "积极"),
}

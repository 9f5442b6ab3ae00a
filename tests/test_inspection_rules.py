"""Inspection: lost characters, lectures and repeated replies in many forms, each with near misses."""

import pytest

from helpers.inspection import advice, losses, rules

LOST = [
    "今天我很ï¿½难过",
    "今天пїЅ我很难过",
    "嚙踝蕭嚙踝蕭我很难过",
    "我今天□□□□□□很难过",
    "更深入地了解情????????这种感觉",
    "改变需要时间，不要期待显著的?????????，关键是耐心",
    "请?尝试接纳?己的心情，每个人都?有起伏的时候，这不?你的错",
    "□渐接纳自□□不完美，每个人都有独特□处，无须过□求他人的认□",
    "您可以找一个轻松的时间，????????????行非正式的交谈",
    "??会陪伴??一起走过这个过程，求助??一种力量，改变??第一步往往最勇敢，说??难受的事",
    "我最近什么都提不起劲，比锟斤拷我热爱画画",
    "你会逐步走锟斤拷锟?",
    "我和????在一起????年了，从来没有红过脸",
]
WHOLE = [
    "真的会好起来吗??????我不知道",
    "他回我：????????然后就没了",
    "凭什么??????我就问一句",
    "真的吗????我不信????好吧",
    "??????我没听错吧",
    "我真的裂开了??????他居然笑",
    "□从不 □偶尔 □经常",
    "真的吗?为什么?他是谁?怎么办?什么时候?我想知道",
    "亲爱的□□，我想你",
    "占了我的位置，还说是他的",
    "打开他的信，屏幕上只有锟斤拷",
]


@pytest.mark.parametrize("text, is_one", [*((t, True) for t in LOST), *((t, False) for t in WHOLE)])
def test_lost_characters_are_told_from_marks_that_are_meant(text, is_one):
    assert losses.garbled(text) is is_one


LECTURES = [
    "A. 早睡早起。\nB. 少看手机。\nC. 多运动。",
    "✅ 早睡早起\n✅ 少看手机\n✅ 多运动",
    "👉🏻 早睡早起\n👉🏻 少看手机\n👉🏻 多运动",
    "一是早睡早起；二是少看手机；三是多运动。",
    "一来要早睡，二来要运动，三来要放松。",
    "（1）早点睡好吗？（2）少看手机！（3）多运动。",
    "Ⅰ. 早睡\nⅡ. 运动\nⅢ. 放松",
    "第1点是早睡，第2点是运动，第3点是放松。",
    "# 情绪\n接纳它。\n# 睡眠\n早睡。\n# 运动\n多走。",
    "【睡眠】早睡\n【运动】多走\n【饮食】清淡",
    "做人要知足，你怎么能这么任性？你应该想想父母，你必须改，不要再找借口了。",
    "你要坚强，要振作，不能逃避，更不能怨天尤人。",
    "年轻人要吃苦，不能只想着自己，必须为家里分担，这是做儿女的本分。",
    "身为妻子，你应当多包容。家和万事兴，哪有不磕碰的？",
    "年轻人不要总是怨天尤人。吃得苦中苦，方为人上人。",
    "古人云，天道酬勤。你要记住，态度决定一切，抱怨没有任何用处。",
    "建议①早睡早起②少喝咖啡③每天散步。",
    "第一天：整理房间。第二天：联系老友。第三天：跑步。",
    "我听见了。**沟通**：和他谈。\n\n**边界**：学会说不。\n\n**休息**：留半小时给自己。",
    "|问题|做法|\n|--|--|\n|失眠|泡脚|\n|紧张|深呼吸|",
    "作息方面：早点睡。\n饮食方面：清淡些。\n运动方面：多走路。",
    "年轻人不要叫苦。吃得苦中苦，方为人上人，你必须坚强，必须对自己负责。",
    "这样的心情很常见。" * 26 + "另外，可以散步。同时，早点睡。最后，多找人聊聊。",
]
TALK = [
    "那一刻你应该很难受吧？你应该等这句话等了很久。",
    "你要不要先歇一会儿？要是想说，我在。要么我们就静静坐着。",
    "有人跟你说“没有过不去的坎”，你听了更难受，是吗？",
    "你不能不管他，又不能不管自己，难怪累。",
    "一来二去，就散了。一是一，二是二，你分得很清。",
    "三条里，前两条管的是时间，第三条管的是你的心。",
    "第一天，你去了；第二天，你又去了。第三天，我没去。",
    "选A还是选B，你心里其实有数。",
    "🌷抱抱你。\n今天先到这里，好吗？",
    "我听见你说的每一句，也听见你没说的那些。" * 20,
]


@pytest.mark.parametrize("reply, is_one", [*((t, True) for t in LECTURES), *((t, False) for t in TALK)])
def test_lists_and_sermons_are_told_from_talk(reply, is_one):
    assert advice.lecture(reply) is is_one


def test_an_address_is_no_english():
    assert not rules.english("（来源：www.example.com/q/3391）")
    assert rules.english("That must be hard. See https://example.com/a")


SAID = "我能理解你现在的心情，压力大的时候，觉得累是很正常的，我们可以一步一步慢慢来，先从今晚的睡眠说起。"


@pytest.mark.parametrize(
    "second, is_one",
    [
        (SAID.replace("觉得", "感到").replace("可以", "能够").replace("正常", "自然"), True),
        (SAID.replace("，觉得累是很正常的", ""), True),
        (SAID + "你愿意再说一说昨天夜里的事吗？那时候屋里还有别人吗？", True),
        ("我能理解你现在的心情，可他说走就走，连一句话也没留下，换成谁都会在门口站很久，你当时在想什么？", False),
    ],
)
def test_a_reply_in_other_words_is_a_repetition(second, is_one):
    assert rules.repeated([SAID, second]) is is_one


LOOPS = [
    "我很理解你的感受，这一定很难。我很理解你的感受，这一定很难。",
    "我会陪着你我会陪着你我会陪着你",
    "嗯，我在。你可以慢慢说给我听。你可以慢慢说给我听。",
]
NO_LOOPS = [
    "哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈",
    "慢慢来，慢慢来。我在听，你慢慢说。",
    "你不是一个人。我在。你想说的时候再说，不急。我在。",
]


@pytest.mark.parametrize("reply, is_one", [*((t, True) for t in LOOPS), *((t, False) for t in NO_LOOPS)])
def test_a_reply_that_goes_round_repeats_itself(reply, is_one):
    assert rules.repeated([reply]) is is_one

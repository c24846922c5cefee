"""Hand-written articles that tell the same, and such as only look alike: (title, body) pairs."""

CRASH = (
    "环城高速三车追尾致两人受伤",
    """昨日上午7时40分许，环城高速东段由南向北方向发生一起三车追尾事故，造成2人受伤，伤者已送往市人民医院救治。

据市公安局交警支队通报，事发时路面湿滑，一辆蓝色货车制动不及，撞上前方缓行的两辆小客车。事故导致该路段双向拥堵约5公里，经民警和路政人员清理，9时15分恢复通行。

目击者李女士告诉记者，她当时正在应急车道等候拖车，听到一声巨响后看到货车车头冒烟，几名路人立即上前帮忙把伤者抬出车外。

医院急诊科主任介绍，两名伤者均为轻微骨折，生命体征平稳。事故原因仍在进一步调查中，交警提醒广大司机雨天减速慢行，保持车距。""",
)
RATES = (
    "Central bank holds rates steady as inflation cools",
    """The central bank left its benchmark rate at 4.25 percent on Tuesday, saying that price
pressures had eased faster than it expected in the spring but that it was too early to cut.

Governor Ana Ruiz told reporters that six of the nine members had voted to hold, two had wanted
a cut of 25 basis points, and one had asked for a larger move. Markets had priced in no change.

"We would rather be a month late than a year early," she said. Inflation fell to 2.8 percent in
May from 3.4 percent in April, helped by cheaper fuel, while wages grew by 4.1 percent.

Analysts at two large banks said they now expected the first cut in September. The currency was
little changed after the decision and bond yields slipped by three basis points.""",
)


def paragraphs(body: str) -> list[str]:
    return body.split("\n\n")


def first(body: str, count: int) -> str:
    return "\n\n".join(paragraphs(body)[:count])


_ZH, _EN = CRASH[1], RATES[1]
#: name -> (the original, another version of it).
SAME = {
    "to the letter": (CRASH, CRASH),
    "快讯 before the headline": (CRASH, ("【快讯】" + CRASH[0], _ZH)),
    "a site behind the headline": (CRASH, (CRASH[0] + "_广州新闻网", _ZH)),
    "an agency's second version": (RATES, ("UPDATE 1-" + RATES[0], _EN)),
    "a site behind the English headline": (RATES, (RATES[0] + " - The Daily Example", _EN)),
    "headline in capitals and wide signs": (
        RATES,
        ("ＣＥＮＴＲＡＬ bank holds rates steady, as inflation cools!", _EN),
    ),
    "one word of the headline exchanged": (
        RATES,
        ("Central bank keeps rates steady as inflation cools", _EN),
    ),
    "another punctuation": (CRASH, (CRASH[0], _ZH.replace("，", ", ").replace("。", ". "))),
    "editors behind it": (
        CRASH,
        (
            CRASH[0],
            _ZH + "\n\n责任编辑：张三\n\n版权声明：本文转载自广州日报，如有侵权请联系我们。",
        ),
    ),
    "a byline before it": (CRASH, (CRASH[0], "（记者 李雷 韩梅梅）" + _ZH)),
    "each with a byline of its own": (
        (CRASH[0], "新华社广州11月22日电（记者李雷）" + _ZH),
        (CRASH[0], "本报讯（记者 韩梅梅）" + _ZH),
    ),
    "each with editors of its own": (
        (CRASH[0], _ZH + "\n\n责任编辑：张三"),
        (CRASH[0], _ZH + "\n\n来源：广州新闻网"),
    ),
    "a byline before one, editors behind the other": (
        (CRASH[0], "本报讯（记者 韩梅梅）" + _ZH),
        (CRASH[0], _ZH + "\n\n责任编辑：张三"),
    ),
    "each from an agency": (
        (RATES[0], "LONDON, June 3 (Reuters) - " + _EN),
        (RATES[0], "LONDON (AP) - " + _EN),
    ),
    "one character of it set right": (CRASH, (CRASH[0], _ZH.replace("缓行", "慢行"))),
    "the first half of it": (CRASH, (CRASH[0], first(_ZH, 2))),
    "the first half of it in English": (RATES, (RATES[0], first(_EN, 2))),
    "one paragraph less": (RATES, (RATES[0], first(_EN, 3))),
    "links and emphasis": (
        RATES,
        (RATES[0], _EN.replace("Governor Ana Ruiz", "**Governor** [Ana Ruiz](https://x.example/)")),
    ),
    "other line ends": (
        RATES,
        (RATES[0], "\n\n".join(p.replace("\n", " ") for p in _EN.split("\n\n"))),
    ),
    "a short item to the letter": (
        ("停水通知", "今晚十时起和平路停水。"),
        ("停水通知", "今晚十时起，和平路停水"),
    ),
}


def weather(day: int, high: int, low: int, wind: str) -> tuple[str, str]:
    return (
        "全市天气预报",
        f"""市气象台11月{day}日17时发布全市天气预报：今天夜间到明天白天晴转多云，北风{wind}级，
最高气温{high}℃，最低气温{low}℃。

明天早晨部分地区有轻雾，能见度{low + 2}公里，相对湿度在{high * 4}%左右，驾车出行请注意安全。
体感偏冷，建议老人和儿童适当增添衣物，外出时做好保暖。

未来三天，我市以晴到多云天气为主，气温缓慢回升，空气质量良好，适宜户外活动和晾晒衣物。""",
    )


def closing(index: str, percent: str, turnover: str, way: str) -> tuple[str, str]:
    return (
        "收盘：三大指数" + way,
        f"""今日三大指数{way}，截至收盘，沪指报{index}点，{percent}%，成交额{turnover}亿元；深成指报1{index}点，成交额{turnover}7亿元。

盘面上，白酒、券商、半导体等板块走势活跃，煤炭、银行板块表现不佳。北向资金全天净流入{percent}亿元，两市共有{turnover[:3]}只个股上涨。

分析人士认为，短期市场仍以震荡为主，建议投资者控制仓位，关注业绩确定性较强的板块，不宜盲目追高。""",
    )


def auction(day: int, amount: str, yielded: str) -> tuple[str, str]:
    return (
        "Treasury sells bills at weekly auction",
        f"""The treasury sold ${amount} billion of three-month bills on the {day}th at a high rate
of {yielded} percent, the department said in a statement. Bids totalled ${amount}9 billion, and the
bid-to-cover ratio was {yielded[:3]}. Indirect bidders, which include foreign central banks, took
{day * 2}.{day} percent of the sale. The bills mature in three months and settle on Thursday.""",
    )


#: name -> two articles of which a reader wants both.
DIFFERENT = {
    "the weather of two days": (weather(22, 12, 3, "3到4"), weather(23, 15, 5, "2到3")),
    "the weather of two days, dated": (
        ("11月22日" + weather(22, 12, 3, "3到4")[0], weather(22, 12, 3, "3到4")[1]),
        ("11月23日" + weather(22, 12, 3, "3到4")[0], weather(22, 12, 3, "3到4")[1]),
    ),
    "the close of two days": (
        closing("3021.55", "0.42", "3812", "小幅上涨"),
        closing("3033.10", "0.38", "4120", "小幅上涨"),
    ),
    "the close of two days, up and down": (
        closing("3021.55", "0.42", "3812", "小幅上涨"),
        closing("2998.07", "0.77", "3655", "小幅下跌"),
    ),
    "two auctions": (auction(12, "61", "4.310"), auction(19, "66", "4.295")),
    "a column of two days": (("早报 11月22日", _ZH), ("早报 11月23日", _ZH)),
    "a column of morning and evening": (
        ("新闻早报：今天的大事", _ZH),
        ("新闻晚报：今天的大事", _ZH),
    ),
    "two parts": (("老城旧事（上）", _ZH), ("老城旧事（下）", _ZH)),
    "two episodes": (("老城旧事 第三集", _ZH), ("老城旧事 第四集", _ZH)),
    "two parts in English": (("The old street, part I", _EN), ("The old street, part II", _EN)),
    "two weekdays": (("Monday briefing for readers", _EN), ("Tuesday briefing for readers", _EN)),
    "one headline above two bodies": (("快讯", _ZH), ("快讯", _EN)),
    "two headlines above one body": ((CRASH[0], _ZH), ("雨天行车请保持车距：交警提醒", _ZH)),
    "two appointments": (
        (
            "Acme appoints Jane Brown as finance chief",
            "Acme said on Monday that Jane Brown would become its finance chief in July. She joins"
            " from Example Holdings, where she ran the treasury for seven years. The company makes"
            " pumps and valves and has 900 employees.",
        ),
        (
            "Acme appoints Li Lei as marketing chief",
            "Acme said on Monday that Li Lei would become its marketing chief in July. He joins"
            " from Example Brothers, where he sold bicycles for eleven years. The company makes"
            " pumps and valves and has 900 employees.",
        ),
    ),
    "a short item and a longer one": (
        ("停水通知", "今晚停水。"),
        ("停水通知", "今晚停水。明早恢复。"),
    ),
    "pictures without words": (
        ("图片新闻", "![](https://x.example/1.jpg)"),
        ("图片新闻", "![](https://x.example/2.jpg)"),
    ),
    "a digest that holds the article": (
        ("今日要闻：高速事故、停水通知和菜价", _ZH + "\n\n另外，今晚十时起和平路停水。"),
        CRASH,
    ),
}

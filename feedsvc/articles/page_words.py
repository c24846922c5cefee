"""The words that tell what stands around an article on a news page. Data only."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Whole lines, or words of a line of such words, that lead elsewhere or do something.
NAVIGATION = _words(
    """
    首页 首頁 网站首页 返回首页 返回 返回列表 返回顶部 回到顶部 返回上页 返回上一页 上一篇
    下一篇 上一页 下一页 上一條 下一條 上一条 下一条 搜索 搜尋 站内搜索 打印 打印本页 打印本頁
    列印 关闭 關閉 关闭窗口 关闭本页 關閉視窗 字号 字號 字体 字體 大 中 小 分享 分享到 微信 微博
    新浪微博 收藏 加入收藏 收藏本页 评论 評論 我要评论 发表评论 点赞 举报 纠错 我要纠错 登录
    注册 登入 註冊 客户端 手机版 手机看新闻 正文 阅读原文 查看原文 扫一扫 更多 复制链接 语音播报
    朗读 繁体 简体 设为首页 联系我们 关于我们 网站地图 全文 原创 图集 home print share search
    close login register top back next previous prev comments
    """
)
#: Labels of authors.
AUTHOR_LABELS = _words("作者 撰文 文 撰稿 author by")
#: Labels of where an article was taken from.
ORIGIN_LABELS = _words(
    "来源 來源 稿源 信息来源 本文来源 文章来源 新闻来源 消息来源 稿件来源 出处 source"
)
#: Labels of the moment of publication.
TIME_LABELS = _words(
    """
    时间 時間 发布时间 發布時間 發佈時間 发布日期 發布日期 发表时间 發表時間 发表于 发布于 日期
    添加时间 更新时间 更新日期 最后更新 发稿时间 时间日期 发文日期 published date
    """
)
#: Labels of what a reader of the article has no use for.
OTHER_LABELS = _words(
    """
    浏览次数 瀏覽次數 浏览量 浏览 阅读 閱讀 阅读量 阅读次数 点击 點擊 点击数 点击量 点击次数
    访问次数 人气 责任编辑 責任編輯 责编 編輯 编辑 校对 审核 审稿 终审 初审 复审 字号 字號 字体
    分享 分享到 上一篇 下一篇 上一条 下一条 上一頁 下一頁 上一页 下一页 关键词 关键字 标签
    当前位置 您的位置 您现在的位置 您当前的位置 所在位置 views editor 所属分类 分类 栏目
    """
)
#: What stands where an author should when there is none.
NOBODY = _words("未知 佚名 匿名 网络 互联网 本站 admin")
#: Lines after which only links to other articles follow.
ENDINGS = (
    *("上一篇", "下一篇", "上一条", "下一条", "相关新闻", "相关阅读", "相关推荐", "相关文章"),
    *("相關新聞", "推荐阅读", "延伸阅读", "热门文章", "热门推荐", "版权所有", "Copyright"),
)
#: What a breadcrumb begins with.
CRUMBS = (
    *("首页", "首頁", "当前位置", "您的位置", "您现在的位置", "您当前的位置", "所在位置", "Home"),
)
#: What a line that names a section ends with.
SECTION_ENDS = (
    *("中心", "新闻", "新聞", "动态", "動態", "资讯", "資訊", "要闻", "要聞", "公告", "通知"),
    *("头条", "快讯", "时政", "频道", "专栏", "News"),
)

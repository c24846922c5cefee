"""Providers of mailboxes, by domain and by mail server. Data; looks nothing up.

Domains of which everybody's mailbox is with one provider are known by name; those of companies
are known by the servers that take their mail. Names are A-labels in lower case.
"""

from collections.abc import Iterable

#: Provider -> its own domains.
_DOMAINS = {
    "qq": "qq.com vip.qq.com foxmail.com",
    "netease": "163.com 126.com yeah.net 188.com 163.net vip.163.com vip.126.com vip.188.com",
    "sina": "sina.com sina.cn vip.sina.com vip.sina.cn sina.com.cn 2008.sina.com 51uc.com",
    "sohu": "sohu.com vip.sohu.com sohu.net sogou.com chinaren.com",
    "china-mobile": "139.com",
    "china-telecom": "189.cn 21cn.com",
    "china-unicom": "wo.cn wo.com.cn",
    "aliyun": "aliyun.com",
    "tom": "tom.com vip.tom.com",
    "263": "263.net 263.net.cn x263.net",
    "gmail": "gmail.com googlemail.com",
    "apple": "icloud.com me.com mac.com",
    "yandex": "yandex.ru yandex.com yandex.by yandex.kz yandex.ua yandex.com.tr ya.ru narod.ru",
    "mail-ru": "mail.ru inbox.ru list.ru bk.ru internet.ru xmail.ru",
    "rambler": "rambler.ru lenta.ru autorambler.ru myrambler.ru ro.ru",
    "gmx": "gmx.de gmx.net gmx.at gmx.ch gmx.com gmx.org gmx.info gmx.fr gmx.eu gmx.us gmx.co.uk"
    " mail.com email.com usa.com",
    "web-de": "web.de email.de",
    "t-online": "t-online.de magenta.de",
    "freenet": "freenet.de",
    "posteo": "posteo.de posteo.net posteo.org",
    "mailbox-org": "mailbox.org",
    "proton": "proton.me protonmail.com protonmail.ch pm.me",
    "tuta": "tuta.com tutanota.com tutanota.de tutamail.com tuta.io keemail.me",
    "fastmail": "fastmail.com fastmail.fm messagingengine.com sent.com",
    "zoho": "zoho.com zohomail.com zohomail.eu zohomail.in zohomail.cn zoho.eu zoho.in zoho.com.cn",
    "naver": "naver.com",
    "daum": "daum.net hanmail.net kakao.com",
    "nate": "nate.com",
    "yahoo-japan": "yahoo.co.jp ybb.ne.jp",
    "docomo": "docomo.ne.jp",
    "au": "ezweb.ne.jp au.com",
    "softbank": "softbank.ne.jp i.softbank.jp",
    "rediff": "rediffmail.com",
    "libero": "libero.it virgilio.it inwind.it iol.it blu.it",
    "tiscali": "tiscali.it",
    "orange": "orange.fr wanadoo.fr",
    "free-fr": "free.fr aliceadsl.fr",
    "sfr": "sfr.fr neuf.fr cegetel.net",
    "laposte": "laposte.net",
    "bluewin": "bluewin.ch",
    "seznam": "seznam.cz email.cz post.cz",
    "wp-pl": "wp.pl o2.pl tlen.pl",
    "onet": "onet.pl onet.eu op.pl poczta.onet.pl vp.pl",
    "interia": "interia.pl interia.eu poczta.fm",
    "ukr-net": "ukr.net",
    "uol": "uol.com.br bol.com.br",
    "terra": "terra.com.br",
    "comcast": "comcast.net xfinity.com",
    "charter": "charter.net spectrum.net twc.com rr.com",
    "cox": "cox.net",
    "hinet": "hinet.net msa.hinet.net",
    "pchome": "pchome.com.tw",
}

#: Provider -> first part of its domains -> what may follow it.
_FORMS = {
    "microsoft": {
        "outlook": "com at be bg cl cn co.id co.il co.nz co.th com.ar com.au com.br com.gr com.hr"
        " com.pe com.tr com.ua com.vn cz de dk ec es fr hn hu ie in it jp kr lv mx my pa ph pk pt"
        " ro sa sg si sk tw uy",
        "hotmail": "com at be bg ca ch cl cn co co.id co.il co.in co.jp co.kr co.nz co.th co.uk"
        " co.za com.ar com.au com.bo com.br com.hk com.mx com.tr com.tw com.vn cz de dk ec ee es"
        " fi fr gr hk hr hu ie it jp la lt lu lv mk my net.fj no pe ph pl pt ro rs ru se sg si sk"
        " ua uy",
        "live": "com at be ca cl cn co.kr co.uk co.za com.ar com.au com.co com.mx com.my com.ph"
        " com.pk com.pt com.sg com.vn de dk fi fr hk ie in it jp nl no pe ph ru se",
        "msn": "com cn nl co.uk",
        "windowslive": "com es",
        "passport": "com",
    },
    "yahoo": {
        "yahoo": "com at be bg ca cl cn co.id co.il co.in co.kr co.nz co.th co.uk co.za com.ar"
        " com.au com.br com.cn com.co com.hk com.hr com.mx com.my com.pe com.ph com.sg com.tr"
        " com.tw com.ua com.ve com.vn cz de dk ee es fi fr gr hu ie in it lt lv nl no pl pt ro rs"
        " ru se si sk",
        "ymail": "com",
        "rocketmail": "com",
        "myyahoo": "com",
        "aol": "com at be ca co.nz co.uk com.ar com.au com.br com.mx cz de dk es fi fr in it jp"
        " kr nl pl ru se tw",
        "aim": "com",
        "verizon": "net",
        "att": "net",
        "sbcglobal": "net",
        "bellsouth": "net",
        "netscape": "net",
        "sky": "com",
    },
}

#: Provider -> domains below which, or as which, its mail servers are named. None below which
#: customers have machines of their own.
_SERVERS = {
    "qq": "qq.com exmail.qq.com",
    "netease": "netease.com 163.com 126.com qiye.163.com",
    "aliyun": "mxhichina.com aliyun.com alibaba-inc.com alimail.com",
    "feishu": "feishu.cn larksuite.com larkoffice.com",
    "263": "263.net 263xmail.com 263.net.cn",
    "sina": "sina.com sina.com.cn sina.net",
    "sohu": "sohu.com sohu.net",
    "coremail": "icoremail.net coremail.cn",
    "china-telecom": "21cn.com 189.cn",
    "china-mobile": "139.com 10086.cn",
    "china-unicom": "wo.cn wo.com.cn",
    "gmail": "google.com googlemail.com psmtp.com smtp.goog",
    "microsoft": "outlook.com hotmail.com office365.us outlook.cn partner.outlook.cn"
    " frontbridge.com outlook.de",
    "yahoo": "yahoodns.net yahoo.com aol.com",
    "yahoo-japan": "yahoo.co.jp",
    "apple": "icloud.com apple.com me.com",
    "yandex": "yandex.net yandex.ru yandex.com",
    "mail-ru": "mail.ru",
    "gmx": "gmx.net gmx.com",
    "web-de": "web.de",
    "ionos": "ionos.com ionos.de ionos.co.uk ionos.fr ionos.es kundenserver.de perfora.net"
    " 1and1.com 1and1.co.uk schlund.de",
    "strato": "rzone.de",
    "t-online": "t-online.de t-systems.com",
    "posteo": "posteo.de",
    "mailbox-org": "mailbox.org",
    "proton": "protonmail.ch proton.ch proton.me",
    "tuta": "tutanota.de",
    "fastmail": "messagingengine.com",
    "zoho": "zoho.com zoho.eu zoho.in zoho.com.cn zoho.com.au zoho.jp zohocloud.ca zohomail.com",
    "naver": "naver.com worksmobile.com",
    "daum": "daum.net hanmail.net kakao.com",
    "rackspace": "emailsrvr.com",
    "godaddy": "secureserver.net",
    "namecheap": "privateemail.com registrar-servers.com jellyfish.systems",
    "ovh": "mail.ovh.net mail.ovh.ca mx.ovh.net mx.ovh.com",
    "gandi": "gandi.net",
    "infomaniak": "infomaniak.ch ikmail.com infomaniak.com",
    "hostinger": "hostinger.com titan.email",
    "migadu": "migadu.com",
    "dreamhost": "dreamhost.com",
    "one-com": "one.com",
    "loopia": "loopia.se",
    "aruba": "aruba.it",
    "orange": "orange.fr",
    "amazon": "inbound-smtp.us-east-1.amazonaws.com inbound-smtp.us-west-2.amazonaws.com"
    " inbound-smtp.eu-west-1.amazonaws.com",
    "cloudflare": "cloudflare.net",
    "messagelabs": "messagelabs.com",
    "proofpoint": "pphosted.com ppe-hosted.com gpphosted.com",
    "mimecast": "mimecast.com mimecast.co.za mimecast-offshore.com",
    "barracuda": "barracudanetworks.com",
    "cisco": "iphmx.com",
    "trend-micro": "trendmicro.com trendmicro.eu trendmicro.co.jp",
    "sophos": "sophos.com reflexion.net",
    "forcepoint": "mailcontrol.com",
    "trellix": "fireeyecloud.com fireeyegov.com",
    "hornetsecurity": "hornetsecurity.com antispameurope.com",
    "retarus": "retarus.com",
    "mailgun": "mailgun.org",
    "sendgrid": "sendgrid.net",
}

_OF_DOMAIN = {
    domain: provider for provider, domains in _DOMAINS.items() for domain in domains.split()
} | {
    f"{first}.{rest}": provider
    for provider, forms in _FORMS.items()
    for first, rests in forms.items()
    for rest in rests.split()
}
_OF_SERVER = {
    domain: provider for provider, domains in _SERVERS.items() for domain in domains.split()
}

#: All names of providers.
PROVIDERS = frozenset(_OF_DOMAIN.values()) | frozenset(_OF_SERVER.values())


def provider_of(domain: str) -> str | None:
    """The provider that all mailboxes of a domain are with; None when it is not well known."""
    return _OF_DOMAIN.get(domain)


def provider_of_servers(hosts: Iterable[str]) -> str | None:
    """The provider whose mail servers these are, the first that is known; None for none.

    Args:
        hosts: names of servers, the most preferred first; in any case, with or without a final dot.
    """
    for host in hosts:
        name = host.rstrip(".").lower()
        while name:
            if name in _OF_SERVER:
                return _OF_SERVER[name]
            name = name.partition(".")[2]
    return None

"""Whose mailboxes a domain has, by its name or by its mail servers."""

import re

import pytest

from feedsvc.kit.providers import PROVIDERS, provider_of, provider_of_servers


@pytest.mark.parametrize(
    ("domain", "provider"),
    [
        ("qq.com", "qq"),
        ("vip.qq.com", "qq"),
        ("foxmail.com", "qq"),
        ("163.com", "netease"),
        ("126.com", "netease"),
        ("yeah.net", "netease"),
        ("vip.163.com", "netease"),
        ("sina.cn", "sina"),
        ("sohu.com", "sohu"),
        ("139.com", "china-mobile"),
        ("189.cn", "china-telecom"),
        ("wo.cn", "china-unicom"),
        ("aliyun.com", "aliyun"),
        ("googlemail.com", "gmail"),
        ("outlook.com", "microsoft"),
        ("hotmail.co.uk", "microsoft"),
        ("live.cn", "microsoft"),
        ("msn.com", "microsoft"),
        ("yahoo.com.tw", "yahoo"),
        ("aol.com", "yahoo"),
        ("yahoo.co.jp", "yahoo-japan"),
        ("me.com", "apple"),
        ("ya.ru", "yandex"),
        ("bk.ru", "mail-ru"),
        ("gmx.at", "gmx"),
        ("web.de", "web-de"),
        ("pm.me", "proton"),
        ("naver.com", "naver"),
    ],
)
def test_the_great_providers_are_known_by_their_domains(domain: str, provider: str) -> None:
    assert provider_of(domain) == provider


@pytest.mark.parametrize(
    "domain", ["example.com", "mail.qq.com.example.org", "notqq.com", "xn--fsqu00a.xn--fiqs8s", ""]
)
def test_other_domains_are_not_taken_for_theirs(domain: str) -> None:
    assert provider_of(domain) is None


@pytest.mark.parametrize(
    ("hosts", "provider"),
    [
        (["aspmx.l.google.com.", "alt1.aspmx.l.google.com."], "gmail"),
        (["Firm-CN.mail.protection.Outlook.com."], "microsoft"),
        (["mxbiz1.qq.com.", "mxbiz2.qq.com."], "qq"),
        (["mx3.qq.com"], "qq"),
        (["mxn.mxhichina.com"], "aliyun"),
        (["mx1.qiye.aliyun.com"], "aliyun"),
        (["qiye163mx01.mxmail.netease.com"], "netease"),
        (["mta7.am0.yahoodns.net"], "yahoo"),
        (["mx01.mail.icloud.com"], "apple"),
        (["mx.zoho.com.cn"], "zoho"),
        (["cluster1.eu.messagelabs.com"], "messagelabs"),
        (["mx0a-00123.pphosted.com"], "proofpoint"),
        (["us-smtp-inbound-1.mimecast.com"], "mimecast"),
        (["mail.firm.cn", "backup.mxhichina.com"], "aliyun"),
    ],
)
def test_the_domains_of_firms_are_known_by_their_servers(hosts: list[str], provider: str) -> None:
    assert provider_of_servers(hosts) == provider


@pytest.mark.parametrize(
    "hosts",
    [[], ["."], [""], ["mail.firm.cn."], ["qq.com.evil.org"], ["evilqq.com"], ["..."], ["\\000.a"]],
    ids=str,
)
def test_other_servers_are_not_taken_for_theirs(hosts: list[str]) -> None:
    assert provider_of_servers(hosts) is None


def test_names_of_providers_can_stand_in_the_configuration() -> None:
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", name) for name in PROVIDERS)
    assert len(PROVIDERS) > 80

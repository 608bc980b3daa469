"""The proxy variables: which proxy a URL gets, and which values are invalid."""

import pytest

from relay.proxy_variables import (
    InvalidProxyVariable,
    ProxyVariables,
    read_proxies,
    through_proxy,
)

PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("entry", "bypassed", "proxied"),
    [
        ("*", "https://example.org https://10.0.0.1 https://[::1]", ""),
        ("example.org", "https://example.org https://a.b.example.org", "https://myexample.org"),
        (".example.org", "https://example.org. https://a.example.org", "https://example.com"),
        ("*.example.org", "https://a.example.org https://a.b.example.org", "https://example.org"),
        ("matrix*", "https://matrix-1.example.org", "https://example.org"),
        ("EXAMPLE.org", "https://Example.ORG", "https://example.net"),
        ("relay:8443", "https://relay:8443", "https://relay https://relay:8444"),
        ("relay:443", "https://relay", "http://relay"),
        ("10.0.0.0/8", "https://10.1.2.3 http://10.0.0.1:8080", "https://11.0.0.1 https://10.x"),
        ("10.0.0.1/8", "https://10.1.2.3", "https://11.0.0.1"),  # not the network's first address
        ("169.254/16", "http://169.254.169.254", "http://169.255.0.1"),  # as macOS writes it
        ("192.0.2.7", "https://192.0.2.7:444", "https://192.0.2.70 https://2.7"),
        ("192.0.2.7:444", "https://192.0.2.7:444", "https://192.0.2.7"),
        ("10.0.0.*", "https://10.0.0.7", "https://10.0.1.7"),
        ("fd00::/8", "https://[fd00::1] https://[fdff::]:8443", "https://[fe80::1]"),
        ("[fd00::]/8", "https://[fd00::1]", "https://[fe80::1]"),
        ("::1", "http://[::1] http://[0:0::1]:8080", "http://[::2]"),
        ("[::1]", "http://[::1]:8080", "http://[::2]"),
        ("[::1]:8080", "http://[::1]:8080", "http://[::1]"),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]", "http://localhost"),
        ("http://example.org:80/", "http://example.org", "https://example.org"),
        ("<local>", "http://penpot", "http://penpot.example.org http://[::1] http://10.0.0.1"),
        ("a.org b.org;c.org,,d.org", "http://b.org http://c.org http://d.org", "http://e.org"),
    ],
)
def test_no_proxy_bypasses_the_proxy(entry: str, bypassed: str, proxied: str) -> None:
    for names in (("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"), ("all_proxy", "", "no_proxy")):
        environ = dict(zip(names, (PROXY, PROXY, entry), strict=True))
        variables = ProxyVariables(environ)
        assert variables.problems == []
        assert [url for url in bypassed.split() if variables.for_url(url)] == []
        assert [url for url in proxied.split() if not variables.for_url(url)] == []


def test_the_default_exclusions_of_docker_desktop_are_read() -> None:
    no_proxy = "hubproxy.docker.internal,localhost,127.0.0.0/8,::1,fd07:b51a:cc66::/64,*.local"
    variables = ProxyVariables({"https_proxy": PROXY, "no_proxy": no_proxy})
    assert variables.problems == []
    for host in ("localhost", "127.0.0.2", "[::1]", "[fd07:b51a:cc66::5]", "nas.local"):
        assert variables.for_url(f"https://{host}/x") is None
    assert variables.for_url("https://slack.com") is not None


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, "", ""),
        ({"HTTP_PROXY": "a:1"}, "a:1 HTTP_PROXY", ""),
        ({"https_proxy": "https://u:p@a"}, "", "a https_proxy"),
        ({"ALL_PROXY": "a", "http_proxy": "b"}, "b http_proxy", "a ALL_PROXY"),
        ({"HTTP_PROXY": "a", "http_proxy": "b"}, "b http_proxy", ""),
        ({"HTTP_PROXY": "a", "http_proxy": ""}, "", ""),
        ({"all_proxy": "http://[fd00::1]:8080/"}, "[fd00::1]:8080 all_proxy", None),
        ({"HTTPS_PROXY": "HTTP://Proxy:1 "}, "", "Proxy:1 HTTPS_PROXY"),
    ],
)
def test_each_scheme_has_its_variable(
    environ: dict[str, str], http: str, https: str | None
) -> None:
    variables = ProxyVariables(environ)
    assert variables.problems == []
    for scheme, expected in (("http", http), ("https", http if https is None else https)):
        proxy = variables.for_url(f"{scheme}://example.org")
        host, _, variable = expected.partition(" ")
        assert str(proxy) == (f"the proxy {host} ({variable})" if expected else "None")
    for url in ("ftp://example.org", "http://[::1", "http://a:b"):
        assert variables.for_url(url) is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", 'ALL_PROXY = "socks5://127.0.0.1:1080": is a SOC'),
        ("https_proxy", "socks5h://h:1080", "is a SOCKS proxy, which Relay does not support"),
        ("HTTP_PROXY", "socks://h:1080", "set HTTPS_PROXY to an HTTP proxy if Relay needs one"),
        ("HTTP_PROXY", "ftp://proxy:21", "must be the address of an HTTP proxy, such as"),
        ("HTTP_PROXY", "http://", "must be the address of an HTTP proxy"),
        ("HTTP_PROXY", "http://proxy:http", "must be the address of an HTTP proxy"),
        ("HTTP_PROXY", "http://proxy:99999", "must be the address of an HTTP proxy"),
        ("HTTP_PROXY", "http://proxy/path", "must be the address of an HTTP proxy"),
        ("HTTP_PROXY", "http://[::1", "must be the address of an HTTP proxy"),
        ("HTTP_PROXY", "http://pro xy", "must be the address of an HTTP proxy"),
        ("NO_PROXY", "10.0.0.0/33", 'NO_PROXY = "10.0.0.0/33": must be names, addresses or netw'),
        ("no_proxy", "a.org,[::1", 'no_proxy = "[::1": must be names'),
        ("no_proxy", "[example.org]", "must be names"),
        ("no_proxy", "example.org:http", "must be names"),
        ("no_proxy", "example.org:99999", "must be names"),
        ("no_proxy", "fd00::/200", "must be names"),
        ("no_proxy", "example.org/path", "must be names"),
    ],
)
def test_an_invalid_variable_is_named(
    name: str, value: str, words: str, environment_without_proxies: pytest.MonkeyPatch
) -> None:
    environ = {name: value}
    (problem,) = ProxyVariables(environ).problems
    assert problem.startswith(f"{name} = ")
    assert words in problem
    environment_without_proxies.setenv(name, value)
    with pytest.raises(InvalidProxyVariable, match=r"must be|SOCKS"):
        read_proxies()


@pytest.mark.parametrize("value", ["http://u:hun#ter2@h:1", "ftp://u:hunter2@h", "u:hunter2@h:x"])
def test_the_password_of_an_invalid_proxy_is_not_shown(value: str) -> None:
    (problem,) = ProxyVariables({"HTTPS_PROXY": value}).problems
    assert problem.startswith("HTTPS_PROXY = ***: must be the address of an HTTP proxy")
    assert "hun" not in problem
    assert ("percent-encoded" in problem) == (not value.startswith("ftp"))


def test_the_password_is_not_shown(environment_without_proxies: pytest.MonkeyPatch) -> None:
    environment_without_proxies.setenv("https_proxy", "http://ada:hunter2@proxy:3128")
    proxy = read_proxies().for_url("https://slack.com")
    assert proxy is not None
    assert proxy.url == "http://ada:hunter2@proxy:3128"
    assert "hunter2" not in f"{proxy} {proxy!r}"
    assert through_proxy("https://slack.com") == " through the proxy proxy:3128 (https_proxy)"
    environment_without_proxies.setenv("no_proxy", "slack.com")
    assert through_proxy("https://slack.com") == ""


def test_an_invalid_variable_that_no_request_uses_is_no_problem() -> None:
    """Desktops set ``ALL_PROXY`` to SOCKS beside the proxies for HTTP."""
    both = {"http_proxy": "a:1", "https_proxy": "a:1"}
    assert ProxyVariables({"ALL_PROXY": "socks://a:1", **both}).problems == []
    assert ProxyVariables({"ALL_PROXY": "socks://a:1", "NO_PROXY": "*"}).problems == []
    assert len(ProxyVariables({"ALL_PROXY": "socks://a:1"}).problems) == 1
    assert len(ProxyVariables({"ALL_PROXY": "socks://a:1", "http_proxy": "a:1"}).problems) == 1

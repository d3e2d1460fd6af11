"""HTML pages: whether one keeps to itself, and what it does in a browser."""

import base64
import hashlib
import re


def loads_nothing(text):
    """No script, no reference to anything outside the file, and a policy that forbids both."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    return (
        "<script" not in text
        and not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
        and not re.findall(r"""url\(|@import|srcset|<(?:link|iframe|object|embed|base|form)\b|\son\w+=|\sstyle=""", text)
        and policy.startswith("default-src 'none'; img-src data:")
        and "unsafe" not in policy
    )


def opened(browser, path, state=""):
    """The page, and everything it asked for and complained of. state: of its address, from the "#" on."""
    sheet = browser.new_page(viewport={"width": 1100, "height": 900})
    asked, said = [], []
    sheet.on("request", lambda request: asked.append(request.url))
    sheet.on("console", lambda message: said.append(message.text))
    sheet.on("pageerror", lambda error: said.append(str(error)))
    sheet.goto(path.as_uri() + state)
    return sheet, [url for url in asked if not url.startswith(("data:", path.as_uri()))], said


def check_runs_its_own_script_alone(page):
    """The policy admits one script and one style by their digests, nothing outside the file, and the script makes no markup of
    data."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    (script,), (style,) = (
        re.findall(r"<script>(.*?)</script>", page, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", page, re.DOTALL),
    )
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style))
    assert policy.split("; ")[:4] == [
        "default-src 'none'", *(f"{kind}-src 'sha256-{value}'" for kind, value in zip(("script", "style"), hashes, strict=True)),
        "img-src data:",
    ]  # fmt: skip
    assert "unsafe" not in policy and page.count("<script") == 2 and "</script" not in script.lower()
    shown = page.replace(script, "")
    assert not re.findall(r"""src=["'](?!data:|#)""", shown)
    followed = re.findall(r"""<a [^>]*?href=["'](?!#)([^"']*)""", shown)  # by the reader alone
    assert len(followed) == len(re.findall(r"""href=["'](?!data:|#)""", shown))
    assert not [address for address in followed if ":" in address and not address.startswith(("http://", "https://"))]
    assert not re.findall(
        r"""@import|srcset|<(?:link|iframe|object|embed|base|form)\b|\son\w+=|\sstyle=""", page.replace(script, "")
    )
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\(|XMLHttp|import\(", script
    )
    assert not re.findall(r"url\((?!#)", style)

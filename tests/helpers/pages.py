"""HTML pages: whether one keeps to itself, and what it does in a browser."""

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

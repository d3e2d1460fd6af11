"""Whether an HTML page keeps to itself."""

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

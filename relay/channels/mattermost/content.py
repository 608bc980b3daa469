"""A message as Mattermost's Markdown.

https://docs.mattermost.com/collaborate/format-messages.html. Mattermost finds "@name", "#tag",
"~channel" and ":emoji:" in the text that is left after its Markdown, so that no backslash protects
them. A webhook's text may also ping as in Slack, by ``<!channel>``:
https://developers.mattermost.com/integrate/webhooks/incoming/#slack-compatibility
"""

import re

from relay.channels.markdown import INVISIBLE, Dialect
from relay.channels.markdown_text import MarkdownText

MAX_LENGTH = 16_383  # characters: server/public/model/post.go, PostMessageMaxRunesV2
OLD_MAX_LENGTH = 4000  # PostMessageMaxRunesV1: of a database from before version 5.0

DIALECT = Dialect(
    formats=re.compile(r"[\\`*_~|\[\]]"),
    pings=re.compile(r"@|:(?=//|[\w+-]+:)|#(?=[^\W\d_])|~(?=\w)|<(?=[\w!/?@])|&(?=#?\w+;)"),
    # The invisible character ends the name, so that no text after it belongs to it.
    mention=lambda name: f"@{name}{INVISIBLE}",
)
TEXT = MarkdownText(dialect=DIALECT, people="mattermost", max_length=MAX_LENGTH)

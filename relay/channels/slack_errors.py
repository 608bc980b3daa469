"""Slack's error words: what to do, and a sentence for a person.

What only a person can mend is ``broken``, and messages wait for it; what is wrong with this one
message is ``dead``, or where it is to be changed ``gone`` or ``fixed``. From
https://docs.slack.dev/reference/methods/chat.postMessage#errors and
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors.
"""

import re
from collections.abc import Mapping

from relay.channels.base import Failure
from relay.channels.failures import Rules, from_status, seconds, words

_WORD = re.compile(r"[a-z][a-z0-9_]{1,59}")

_TOKEN = "give Relay a working bot token (xoxb-…) of the Slack app"  # noqa: S105 - no token
_LATER = "Slack is in trouble; Relay tries again"
_MALFORMED = "Slack can't read what Relay sent"
_HOOK = "make a new webhook in the Slack app and put its URL in the config"
_POLICY = "ask an administrator of the workspace to allow it"

RULES: Rules = {
    # Slow down, or try again
    "ratelimited": ("retry", "Slack asks to send more slowly"),
    "rate_limited": ("retry", "Slack asks to send more slowly"),
    "message_limit_exceeded": ("retry", "the workspace is sending too many messages"),
    "accesslimited": ("retry", "Slack limits access from this network"),
    "fatal_error": ("retry", _LATER),
    "internal_error": ("retry", _LATER),
    "service_unavailable": ("retry", _LATER),
    "request_timeout": ("retry", "the request reached Slack incomplete; Relay tries again"),
    "rollup_error": ("retry", _LATER),
    "team_added_to_org": ("retry", "the workspace is moving into an Enterprise organization"),
    "org_login_required": ("retry", "the workspace is moving into an Enterprise organization"),
    # The token
    "not_authed": ("broken", f"no token reached Slack: {_TOKEN}"),
    "invalid_auth": ("broken", f"Slack does not know the token, or not from here: {_TOKEN}"),
    "account_inactive": ("broken", f"the bot or its workspace was deleted: {_TOKEN}"),
    "token_revoked": ("broken", f"the token was revoked or the app removed: {_TOKEN}"),
    "token_expired": ("broken", f"the token has expired: {_TOKEN}"),
    "not_allowed_token_type": ("broken", f"this kind of token can't post: {_TOKEN}"),
    "two_factor_setup_required": ("broken", "the token's user must set up two-factor sign-in"),
    "missing_scope": ("broken", "the app lacks a scope: add chat:write and install it again"),
    "no_permission": ("broken", "the token may not post here: add chat:write, invite the bot"),
    "access_denied": ("broken", f"access is denied: {_POLICY}"),
    "app_access_restricted": ("broken", f"the app is restricted: {_POLICY}"),
    "team_access_not_granted": ("broken", "the app is not installed in this workspace"),
    "team_not_found": ("broken", "the workspace is not known"),
    "enterprise_is_restricted": ("broken", f"the organization can't be posted to: {_POLICY}"),
    "ekm_access_denied": ("broken", "administrators have suspended posting"),
    "send_on_behalf_not_allowed": ("broken", _POLICY),
    "method_deprecated": ("broken", "Slack has retired this call: update Relay"),
    "deprecated_endpoint": ("broken", "Slack has retired this call: update Relay"),
    "as_user_not_supported": ("broken", f"this kind of app can't post: {_TOKEN}"),
    # The channel
    "channel_not_found": ("broken", "Slack has no such channel, or it is private without the bot"),
    "not_in_channel": ("broken", "the bot is not in the channel: invite it with /invite"),
    "is_archived": ("broken", "the channel is archived: unarchive it or name another"),
    "channel_is_archived": ("broken", "the channel is archived: unarchive it or name another"),
    "restricted_action": ("broken", f"a preference of the workspace forbids posting: {_POLICY}"),
    "restricted_action_read_only_channel": ("broken", f"the channel is read-only: {_POLICY}"),
    "restricted_action_thread_only_channel": (
        "broken",
        "the channel takes replies only: name another",
    ),
    "posting_to_general_channel_denied": ("broken", f"#general is restricted: {_POLICY}"),
    "messages_tab_disabled": ("broken", "switch on the messages tab of the Slack app's home"),
    "user_not_found": ("broken", "the person that the webhook posts to is not known"),
    # The webhook
    "no_service": ("broken", f"the webhook is switched off, removed or wrong: {_HOOK}"),
    "no_service_id": ("broken", f"the webhook's URL is incomplete: {_HOOK}"),
    "no_active_hooks": ("broken", f"the webhook is switched off: {_HOOK}"),
    "invalid_token": ("broken", f"the webhook's URL is wrong: {_HOOK}"),
    "no_team": ("broken", f"the webhook's workspace is missing or wrong: {_HOOK}"),
    "team_disabled": ("broken", "the workspace is no longer active"),
    "action_prohibited": ("broken", f"a restriction forbids posting: {_POLICY}"),
    # This message
    "msg_too_long": ("dead", "the message is too long"),
    "msg_blocks_too_long": ("dead", "the message's blocks are too long"),
    "no_text": ("dead", "the message is empty"),
    "invalid_blocks": ("dead", "Slack does not accept the message's blocks"),
    "invalid_blocks_format": ("dead", "Slack does not accept the message's blocks"),
    "invalid_attachments": ("dead", "Slack does not accept the message's attachments"),
    "too_many_attachments": ("dead", "the message has too many attachments"),
    "attachment_payload_limit_exceeded": ("dead", "the message's attachments are too long"),
    "too_many_contact_cards": ("dead", "the message has too many contact cards"),
    "markdown_text_conflict": ("dead", "the message has two texts"),
    "metadata_too_large": ("dead", "the message's metadata is too long"),
    "invalid_metadata_format": ("dead", "Slack does not accept the message's metadata"),
    "invalid_metadata_schema": ("dead", "Slack does not accept the message's metadata"),
    "metadata_must_be_sent_from_app": ("dead", "Slack does not accept the message's metadata"),
    "slack_connect_file_link_sharing_blocked": ("dead", "the message links a file that is blocked"),
    "slack_connect_canvas_sharing_blocked": ("dead", "the message links a canvas that is blocked"),
    "slack_connect_lists_sharing_blocked": ("dead", "the message links a list that is blocked"),
    "restricted_action_thread_locked": ("rootless", "the thread is locked"),
    "restricted_action_non_threadable_channel": ("dead", "the channel takes no replies"),
    "cannot_reply_to_message": ("dead", "the message can't be replied to"),
    "thread_not_found": ("rootless", "the thread is gone"),
    "invalid_thread_ts": ("rootless", "the thread is not known"),
    # A message that is changed: https://docs.slack.dev/reference/methods/chat.update#errors
    "message_not_found": ("gone", "the message is gone"),
    "cant_update_message": ("fixed", "Slack lets the bot change no message that is not its own"),
    "edit_window_closed": ("fixed", "the workspace allows no edits after so long a time"),
    "block_mismatch": ("fixed", "Slack can't put these blocks in the place of the message's"),
    "is_inactive": ("broken", "the channel is archived: unarchive it or name another"),
    "update_failed": ("retry", _LATER),
    "duplicate_channel_not_found": ("dead", _MALFORMED),
    "duplicate_message_not_found": ("dead", _MALFORMED),
    "missing_file_data": ("dead", _MALFORMED),
    "invalid_arguments": ("dead", _MALFORMED),
    "invalid_arg_name": ("dead", _MALFORMED),
    "invalid_array_arg": ("dead", _MALFORMED),
    "invalid_charset": ("dead", _MALFORMED),
    "invalid_form_data": ("dead", _MALFORMED),
    "invalid_post_type": ("dead", _MALFORMED),
    "missing_post_type": ("dead", _MALFORMED),
    "invalid_json": ("dead", _MALFORMED),
    "json_not_object": ("dead", _MALFORMED),
    "invalid_payload": ("dead", _MALFORMED),
}

NOT_ITS_BLOCKS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_payload"}
)
"""Words that an override of the message's blocks may have earned."""


def failure(
    word: object, status: int, headers: Mapping[str, str], more: str = "", *, secret: str
) -> Failure:
    """What an answer of Slack means.

    ``word`` is what stands where Slack puts its error word, ``more`` what else it told;
    a word that is not in the table is ``retry``.
    """
    after = seconds(headers.get("Retry-After"))
    if status == 429:
        return Failure("retry", "ratelimited", RULES["ratelimited"][1], after)
    if not isinstance(word, str) or not _WORD.fullmatch(word) or word in secret:
        return from_status(status, "Slack", after)
    verdict, sentence = RULES.get(word, ("retry", "Slack refuses for a reason that is new"))
    more = words(more, secret)
    return Failure(verdict, word, f"{sentence} ({more})" if more else sentence, after)

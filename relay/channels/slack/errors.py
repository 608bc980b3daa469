"""Slack's error codes as delivery errors, each with a sentence for a person.

https://docs.slack.dev/reference/methods/chat.postMessage#errors
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
"""

import re
from collections.abc import Mapping

from relay.channels.base import (
    DeliveryError,
    MessageNotFound,
    Misconfigured,
    NotEditable,
    Permanent,
    RetryLater,
    ThreadNotFound,
)
from relay.channels.errors import ErrorTable, error_from_status, parse_retry_after, redact

_CODE_PATTERN = re.compile(r"[a-z][a-z0-9_]{1,59}")

_TOKEN = "give Relay a working bot token (xoxb-…) of the Slack app"  # noqa: S105 - no token
_LATER = "Slack has a problem; Relay retries"
_MALFORMED = "Slack can't read what Relay sent"
_METADATA = "Slack does not accept the message's metadata"
_HOOK = "create a new webhook in the Slack app and put its URL into the config"
_POLICY = "ask an administrator of the workspace to allow it"
_ARCHIVED = "the channel is archived: unarchive it or configure another one"

ERRORS: ErrorTable = {
    # Rate limits and temporary errors
    "ratelimited": (RetryLater, "Slack limits the rate of messages"),
    "rate_limited": (RetryLater, "Slack limits the rate of messages"),
    "message_limit_exceeded": (RetryLater, "the workspace is sending too many messages"),
    "accesslimited": (RetryLater, "Slack limits access from this network"),
    "fatal_error": (RetryLater, _LATER),
    "internal_error": (RetryLater, _LATER),
    "service_unavailable": (RetryLater, _LATER),
    "request_timeout": (RetryLater, "the request reached Slack incomplete; Relay retries"),
    "rollup_error": (RetryLater, _LATER),
    "team_added_to_org": (RetryLater, "the workspace is moving into an Enterprise organization"),
    "org_login_required": (RetryLater, "the workspace is moving into an Enterprise organization"),
    # The token
    "not_authed": (Misconfigured, f"no token reached Slack: {_TOKEN}"),
    "invalid_auth": (Misconfigured, f"Slack does not accept the token from here: {_TOKEN}"),
    "account_inactive": (Misconfigured, f"the bot or its workspace was deleted: {_TOKEN}"),
    "token_revoked": (Misconfigured, f"the token was revoked or the app removed: {_TOKEN}"),
    "token_expired": (Misconfigured, f"the token has expired: {_TOKEN}"),
    "not_allowed_token_type": (Misconfigured, f"this kind of token can't post: {_TOKEN}"),
    "two_factor_setup_required": (Misconfigured, "the token's user must set up two-factor sign-in"),
    "missing_scope": (Misconfigured, "the app lacks a scope: add chat:write and install it again"),
    "no_permission": (Misconfigured, "the token may not post here: add chat:write, invite the bot"),
    "access_denied": (Misconfigured, f"access is denied: {_POLICY}"),
    "app_access_restricted": (Misconfigured, f"the app is restricted: {_POLICY}"),
    "team_access_not_granted": (Misconfigured, "the app is not installed in this workspace"),
    "team_not_found": (Misconfigured, "Slack does not know the workspace"),
    "enterprise_is_restricted": (Misconfigured, f"the organization can't be posted to: {_POLICY}"),
    "ekm_access_denied": (Misconfigured, "administrators suspended posting"),
    "send_on_behalf_not_allowed": (Misconfigured, _POLICY),
    "method_deprecated": (Misconfigured, "Slack removed this method: update Relay"),
    "deprecated_endpoint": (Misconfigured, "Slack removed this method: update Relay"),
    "as_user_not_supported": (Misconfigured, f"this kind of app can't post: {_TOKEN}"),
    # The channel
    "channel_not_found": (
        Misconfigured,
        "Slack has no such channel, or it is private and the bot is not in it",
    ),
    "not_in_channel": (Misconfigured, "the bot is not in the channel: invite it with /invite"),
    "is_archived": (Misconfigured, _ARCHIVED),
    "channel_is_archived": (Misconfigured, _ARCHIVED),
    "restricted_action": (Misconfigured, f"a workspace preference forbids posting: {_POLICY}"),
    "restricted_action_read_only_channel": (Misconfigured, f"the channel is read-only: {_POLICY}"),
    "restricted_action_thread_only_channel": (
        Misconfigured,
        "the channel accepts only replies: configure another one",
    ),
    "posting_to_general_channel_denied": (Misconfigured, f"#general is restricted: {_POLICY}"),
    "messages_tab_disabled": (Misconfigured, "enable the messages tab in the Slack app's home"),
    "user_not_found": (Misconfigured, "the webhook's recipient does not exist"),
    # The webhook
    "no_service": (Misconfigured, f"the webhook is disabled, removed or wrong: {_HOOK}"),
    "no_service_id": (Misconfigured, f"the webhook's URL is incomplete: {_HOOK}"),
    "no_active_hooks": (Misconfigured, f"the webhook is disabled: {_HOOK}"),
    "invalid_token": (Misconfigured, f"the webhook's URL is wrong: {_HOOK}"),
    "no_team": (Misconfigured, f"the webhook's workspace is missing or wrong: {_HOOK}"),
    "team_disabled": (Misconfigured, "the workspace is no longer active"),
    "action_prohibited": (Misconfigured, f"a restriction forbids posting: {_POLICY}"),
    # This message
    "msg_too_long": (Permanent, "the message is too long"),
    "msg_blocks_too_long": (Permanent, "the message's blocks are too long"),
    "no_text": (Permanent, "the message is empty"),
    "invalid_blocks": (Permanent, "Slack does not accept the message's blocks"),
    "invalid_blocks_format": (Permanent, "Slack does not accept the message's blocks"),
    "invalid_attachments": (Permanent, "Slack does not accept the message's attachments"),
    "too_many_attachments": (Permanent, "the message has too many attachments"),
    "attachment_payload_limit_exceeded": (Permanent, "the message's attachments are too long"),
    "too_many_contact_cards": (Permanent, "the message has too many contact cards"),
    "markdown_text_conflict": (Permanent, "the message has two texts"),
    "metadata_too_large": (Permanent, "the message's metadata is too long"),
    "invalid_metadata_format": (Permanent, _METADATA),
    "invalid_metadata_schema": (Permanent, _METADATA),
    "metadata_must_be_sent_from_app": (Permanent, _METADATA),
    "slack_connect_file_link_sharing_blocked": (Permanent, "the message links to a blocked file"),
    "slack_connect_canvas_sharing_blocked": (Permanent, "the message links to a blocked canvas"),
    "slack_connect_lists_sharing_blocked": (Permanent, "the message links to a blocked list"),
    "restricted_action_thread_locked": (ThreadNotFound, "the thread is locked"),
    "restricted_action_non_threadable_channel": (Permanent, "the channel accepts no replies"),
    "cannot_reply_to_message": (Permanent, "the message can't be replied to"),
    "thread_not_found": (ThreadNotFound, "the thread does not exist"),
    "invalid_thread_ts": (ThreadNotFound, "the thread does not exist"),
    # An edit: https://docs.slack.dev/reference/methods/chat.update#errors
    "message_not_found": (MessageNotFound, "the message does not exist"),
    "cant_update_message": (NotEditable, "the bot may only edit its own messages"),
    "edit_window_closed": (NotEditable, "the workspace does not allow edits after this time"),
    "block_mismatch": (NotEditable, "Slack can't replace the message's blocks by these"),
    "is_inactive": (Misconfigured, _ARCHIVED),
    "update_failed": (RetryLater, _LATER),
    "duplicate_channel_not_found": (Permanent, _MALFORMED),
    "duplicate_message_not_found": (Permanent, _MALFORMED),
    "missing_file_data": (Permanent, _MALFORMED),
    "invalid_arguments": (Permanent, _MALFORMED),
    "invalid_arg_name": (Permanent, _MALFORMED),
    "invalid_array_arg": (Permanent, _MALFORMED),
    "invalid_charset": (Permanent, _MALFORMED),
    "invalid_form_data": (Permanent, _MALFORMED),
    "invalid_post_type": (Permanent, _MALFORMED),
    "missing_post_type": (Permanent, _MALFORMED),
    "invalid_json": (Permanent, _MALFORMED),
    "json_not_object": (Permanent, _MALFORMED),
    "invalid_payload": (Permanent, _MALFORMED),
}

INVALID_BLOCKS_ERRORS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_payload"}
)
"""Codes that invalid blocks in an override template may cause."""


def error_from_answer(
    code: object, status: int, headers: Mapping[str, str], more: str = "", *, secret: str
) -> DeliveryError:
    """``code`` is the answer's ``error``, of any type, and ``more`` is Slack's further text. A
    code that is not in ``ERRORS`` is retried."""
    retry_after = parse_retry_after(headers.get("Retry-After"))
    if status == 429:
        return RetryLater("ratelimited", ERRORS["ratelimited"][1], retry_after)
    if not isinstance(code, str) or not _CODE_PATTERN.fullmatch(code) or code in secret:
        return error_from_status(status, "Slack", retry_after)
    kind, sentence = ERRORS.get(code, (RetryLater, "Slack refuses with an unknown error code"))
    more = redact(more, secret)
    return kind(code, f"{sentence} ({more})" if more else sentence, retry_after)

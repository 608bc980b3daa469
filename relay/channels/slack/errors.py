"""Slack's error codes as delivery errors, each with a sentence for a person.

https://docs.slack.dev/reference/methods/chat.postMessage#errors
https://docs.slack.dev/reference/methods/chat.update#errors
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
"""

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
from relay.channels.errors import (
    ADDRESS,
    CONTENT_STATUSES,
    error_from_code,
    error_table,
    requested_delay,
)

_TOKEN = "set token to a working bot token (xoxb-…) of the Slack app"  # noqa: S105 - no token
_HOOK = "create a new webhook in the Slack app and set webhook_url to its URL"
_POLICY = "ask an administrator of the workspace to allow it"

_TEMPORARY = {
    "ratelimited rate_limited": "Slack limits the rate of messages",
    "message_limit_exceeded": "the workspace is sending too many messages",
    "accesslimited": "Slack limits access from this network",
    "request_timeout": "the request reached Slack incomplete; Relay retries",
    "team_added_to_org org_login_required": "the workspace is moving into an organization",
    "fatal_error internal_error service_unavailable rollup_error update_failed": (
        "Slack has a problem; Relay retries"
    ),
}
_TOKEN_OR_APP = {
    "not_authed": f"no token reached Slack: {_TOKEN}",
    "invalid_auth": f"Slack does not accept the token from here: {_TOKEN}",
    "account_inactive": f"the bot or its workspace was deleted: {_TOKEN}",
    "token_revoked token_expired": f"the token was revoked, or the app removed: {_TOKEN}",
    "not_allowed_token_type as_user_not_supported": f"this kind of token can't post: {_TOKEN}",
    "missing_scope": "the app lacks a scope: add chat:write and install it again",
    "no_permission": "the token may not post here: add chat:write, invite the bot",
    "access_denied app_access_restricted enterprise_is_restricted send_on_behalf_not_allowed "
    "two_factor_setup_required ekm_access_denied": f"the app may not post: {_POLICY}",
    "team_access_not_granted team_not_found": "install the app in this workspace",
    "method_deprecated deprecated_endpoint": "Slack removed this method: update Relay",
}
_CHANNEL = {
    "channel_not_found": (
        "Slack has no such channel, or it is private: check channel in the config, invite the bot"
    ),
    "not_in_channel": "the bot is not in the channel: invite it with /invite",
    "is_archived channel_is_archived is_inactive": (
        "the channel is archived: unarchive it, or set channel or webhook_url to another"
    ),
    "restricted_action restricted_action_read_only_channel action_prohibited": (
        f"a restriction of the channel or the workspace forbids posting: {_POLICY}"
    ),
    "restricted_action_thread_only_channel": (
        "the channel accepts only replies: set channel to another"
    ),
    "posting_to_general_channel_denied": f"#general is restricted: {_POLICY}",
    "messages_tab_disabled": "enable the messages tab in the Slack app's home",
}
_WEBHOOK = {
    "no_service no_service_id no_active_hooks invalid_token no_team": (
        f"the webhook is disabled, removed or wrong: {_HOOK}"
    ),
    "team_disabled": f"the workspace is no longer active: {_HOOK}",
    "user_not_found": f"the webhook's recipient does not exist: {_HOOK}",
}
_MESSAGE = {
    "msg_too_long": "the message is too long",
    "msg_blocks_too_long": "the message's blocks are too long",
    "no_text": "the message is empty",
    "invalid_blocks invalid_blocks_format": "Slack does not accept the message's blocks",
    "slack_connect_file_link_sharing_blocked slack_connect_canvas_sharing_blocked "
    "slack_connect_lists_sharing_blocked": "the message links to a blocked file, canvas or list",
    "restricted_action_non_threadable_channel": "the channel accepts no replies",
    "cannot_reply_to_message": "the message can't be replied to",
    "invalid_attachments too_many_attachments missing_file_data invalid_arguments "
    "invalid_arg_name invalid_array_arg invalid_charset invalid_form_data invalid_post_type "
    "missing_post_type invalid_json json_not_object invalid_payload": (
        "Slack can't read what Relay sent"
    ),
}

ERRORS = error_table(
    {
        RetryLater: _TEMPORARY,
        Misconfigured: _TOKEN_OR_APP | _CHANNEL | _WEBHOOK,
        Permanent: _MESSAGE,
        ThreadNotFound: {
            "thread_not_found invalid_thread_ts": "the thread does not exist",
            "restricted_action_thread_locked": "the thread is locked",
        },
        MessageNotFound: {"message_not_found": "the message does not exist"},
        NotEditable: {
            "cant_update_message": "the bot may only edit its own messages",
            "cant_delete_message compliance_exports_prevent_deletion": (
                "the workspace does not let the bot delete its messages"
            ),
            "edit_window_closed": "the workspace does not allow edits after this time",
            "block_mismatch": "Slack can't replace the message's blocks by these",
        },
    }
)
REFUSED_CONTENT_ERRORS = frozenset(
    {
        *(f"http-{status}" for status in CONTENT_STATUSES),
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_payload",
        "msg_blocks_too_long",
        "msg_too_long",
    }
)
"""Codes that the blocks may cause, those of an override template or the built-in ones: a simpler
form of the message may be accepted."""


def error_from_answer(
    code: object,
    status: int,
    headers: Mapping[str, str],
    more: str = "",
    *,
    secret: str,
    server: str = "Slack",
    key: str = ADDRESS,
) -> DeliveryError:
    """``code`` is the answer's ``error``, of any type, and ``more`` is Slack's further text."""
    retry_after = requested_delay(headers)
    return error_from_code(ERRORS, server, status, code, more, retry_after, secret=secret, key=key)

"""Mattermost's error ids as delivery errors, each with a sentence for a person.

The ids are in server/i18n/en.json (github.com/mattermost/mattermost); those that begin with
``store.`` are of versions before 5.30, which had the same errors in another place.
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
from relay.channels.errors import error_from_code, error_table, requested_delay
from relay.channels.http_api import json_object

_TOKEN = "set token to that of an active bot"  # noqa: S105 - no token
_HOOK = "create a new one and set webhook_url to its URL"
_NO_CHANNEL = "the channel does not exist: check channel in the config, or create a new webhook"
_ARCHIVED = "the channel is archived: ask an administrator to restore it, or set channel to another"
ARCHIVED_ERROR = "api.post.create_post.can_not_post_to_deleted.error"

ERRORS = error_table(
    {
        RetryLater: {
            "api.context.server_busy.app_error": "the server is busy",
        },
        Misconfigured: {
            "api.context.session_expired.app_error api.context.token_provided.app_error "
            "api.context.invalid_token.error": f"the server does not accept the token: {_TOKEN}",
            "api.context.permissions.app_error": (
                "the bot may not do this there: add it to the team and the channel"
            ),
            "api.context.mfa_required.app_error": f"the account needs a second factor: {_TOKEN}",
            "web.incoming_webhook.disabled.app_error": (
                "incoming webhooks are off: ask an administrator to enable them (System Console, "
                "Integrations)"
            ),
            "web.incoming_webhook.invalid.app_error": f"the webhook does not exist: {_HOOK}",
            "web.incoming_webhook.channel.app_error app.channel.get.existing.app_error "
            "store.sql_channel.get.existing.app_error app.channel.get_by_name.missing.app_error "
            "store.sql_channel.get_by_name.missing.app_error": _NO_CHANNEL,
            "app.team.get_by_name.missing.app_error app.team.get_by_name.app_error "
            "store.sql_team.get_by_name.missing.app_error "
            "store.sql_team.get_by_name.app_error": (
                "the team does not exist: check channel in the config"
            ),
            "web.incoming_webhook.channel_locked.app_error "
            "web.incoming_webhook.permissions.app_error": (
                f"the webhook may not post to its channel: {_HOOK}"
            ),
            "web.incoming_webhook.user.app_error": f"the webhook's owner does not exist: {_HOOK}",
            ARCHIVED_ERROR: _ARCHIVED,
            "api.post.create_post.town_square_read_only": (
                "Town Square is read-only: set channel to another"
            ),
        },
        Permanent: {
            "model.post.is_valid.msg.app_error model.post.is_valid.message_length.app_error": (
                "the message is too long"
            ),
            "web.incoming_webhook.text.app_error": "the message is empty",
            "web.incoming_webhook.parse.app_error api.webhook.incoming.error "
            "web.incoming_webhook.split_props_length.app_error "
            "api.context.invalid_body_param.app_error": "the server can't read what Relay sent",
            "plugin.message_will_be_posted.dismiss_post": "a plugin of the server blocks it",
        },
        ThreadNotFound: {
            "api.post.create_post.root_id.app_error "
            "api.post.create_post.channel_root_id.app_error "
            "api.post.create_post.parent_id.app_error": "the thread does not exist",
        },
        MessageNotFound: {
            "app.post.get.app_error store.sql_post.get.app_error "
            "store.sql_post.get_single.app_error api.post.update_post.find.app_error "
            "api.post.update_post.permissions_details.app_error": "the message does not exist",
        },
        NotEditable: {
            "api.post.update_post.permissions_time_limit.app_error": (
                "the server allows no edits after this time"
            ),
            "api.post.update_post.can_not_update_post_in_deleted.error": (
                "the channel is archived"
            ),
        },
    }
)
TOO_LONG_ERRORS = frozenset(
    {"model.post.is_valid.msg.app_error", "model.post.is_valid.message_length.app_error"}
)
_DISABLED = "web.incoming_webhook.disabled.app_error"  # comes with status 501


def error_from_answer(
    body: bytes, status: int, headers: Mapping[str, str], *, secret: str, server: str, key: str
) -> DeliveryError:
    """A body without an id comes from a proxy, or from the server's limit on the rate."""
    fields = json_object(body)
    code, more = fields.get("id"), str(fields.get("message") or "")
    if code == _DISABLED:
        status = 400
    if code == "api.context.permissions.app_error" and status == 401:
        code = "api.context.session_expired.app_error"
    return error_from_code(
        ERRORS, server, status, code, more, requested_delay(headers), secret=secret, key=key
    )

"""The errors of a workflow's webhook as delivery errors, each with a sentence for a person.

Azure Logic Apps, on which Power Automate runs, answers ``{"error": {"code": …, "message": …}}``.
Microsoft lists the codes nowhere; these are from reports of answers:
github.com/grafana/grafana/issues/99477 (``TriggerInputSchemaMismatch``),
github.com/microsoft/power-platform-skills/issues/435 and github.com/Azure/logicapps/issues/1157
(``DirectApi…``), https://blog.meenavalli.in/post/how-to-invoke-a-flow-with-oauth-authentication-http-trigger
(``MisMatchingOAuthClaims``), and
https://oneuptime.com/blog/post/2026-01-24-azure-logic-app-workflow-errors/view
(``AuthorizationFailed``). Any other code is retried.
"""

from collections.abc import Mapping

from relay.channels.base import DeliveryError, Misconfigured, Permanent
from relay.channels.errors import (
    error_from_code,
    error_from_content_status,
    error_table,
    requested_delay,
)
from relay.channels.http_api import json_object

_NEW = "create a new one from its template and set webhook_url to its URL"
_ANYONE = (
    'in its trigger set "Who can trigger the flow?" to "Anyone", save it, and set webhook_url to '
    "its new URL"
)

ERRORS = error_table(
    {
        Misconfigured: {
            "WorkflowTriggerIsNotEnabled WorkflowDisabled": (
                f"the workflow is turned off or deleted: turn it on in Power Automate, or {_NEW}"
            ),
            "WorkflowNotFound": f"the workflow does not exist: {_NEW}",
            "DirectApiAuthorizationRequired DirectApiRequestHasMoreThanOneAuthorization "
            "MisMatchingOAuthClaims": f"the workflow demands a login: {_ANYONE}",
            "AuthorizationFailed InvalidSignature": (
                "webhook_url is incomplete or no longer valid: copy the workflow's URL again and "
                "set webhook_url to it"
            ),
            "TriggerInputSchemaMismatch": f"the workflow is not one for webhooks of Teams: {_NEW}",
        },
        Permanent: {
            "RequestEntityTooLarge": "the message is too large",
            "InvalidRequestContent": "the workflow can't read what Relay sent",
        },
    }
)


def error_from_answer(
    body: bytes, status: int, headers: Mapping[str, str], *, secret: str, server: str, key: str
) -> DeliveryError:
    """A body without a code comes from a proxy."""
    error = json_object(body).get("error")
    fields = error if isinstance(error, dict) else {}
    code, more = fields.get("code"), str(fields.get("message") or "")
    if status == 413 and code not in ERRORS:
        return error_from_content_status(status, server, key)
    return error_from_code(
        ERRORS, server, status, code, more, requested_delay(headers), secret=secret, key=key
    )

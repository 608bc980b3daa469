"""Documents that stand in a frame of a page: mails, under a policy of their own."""

from starlette.responses import Response

from relay.inspector.look import Frame


def framed(frame: Frame) -> Response:
    """The answer that holds the document. The page's own element is ``<iframe sandbox=…>`` with
    ``look.mail.SANDBOX``; the policy says the same again."""
    headers = {"content-security-policy": frame.policy}
    return Response(frame.html, headers=headers, media_type="text/html; charset=utf-8")

"""SMTP's replies as delivery errors, by what the server means.

Servers use the same reply code for a relay that needs a login, an unknown user and spam, so words
and enhanced status codes decide. What concerns the account, the sender or this host holds for every
mail and is fixed by a person: ``Misconfigured``. What concerns a mail or its recipient is
``Permanent``.
https://www.rfc-editor.org/rfc/rfc5321#section-4.2.2
https://www.iana.org/assignments/smtp-enhanced-status-codes/
"""

import re
from typing import NamedTuple

import aiosmtplib

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.channels.errors import DOUBT_TIMEOUT, error_from_exception, redact

_SERVER = "the mail server"
_PLAIN = 'or set smtp.tls to "starttls" (port 587) or, in a network that is safe, "none"'
_MAX_REPLY_LENGTH = 2000  # characters that are searched

# Not a part of an IP address or a longer number.
_STATUS_PATTERN = re.compile(r"(?<![\d.])5\.(\d{1,3}\.\d{1,3})(?!\.?\d)")
_ADDRESS_PATTERN = re.compile(r"<?\S{1,255}@\S{1,255}|https?://\S+")  # its words mean nothing


class _Meaning(NamedTuple):
    kind: type[DeliveryError]
    sentence: str  # after "the mail server"
    words: str = "(?!)"  # a pattern, searched in the reply in lower case and on one line
    statuses: str = ""  # enhanced status codes without the class
    give_up_after: float | None = None  # seconds
    at_recipient: bool = False  # whether only a reply to RCPT means this


_ENCRYPTION = _Meaning(
    Misconfigured,
    'requires encryption: set smtp.tls to "starttls" or "tls"',
    r"starttls|(?:tls|ssl|encryption|secure connection)\b.{0,15} (?:required|needed)"
    r"|require\w* (?:the use of )?(?:an? )?(?:tls|ssl|encrypt|secure)",
    "7.10 7.11",
)
_LOGIN_REFUSED = _Meaning(
    Misconfigured,
    "refuses username or password: check smtp.username and smtp.password",
    r"auth\w*.{0,20} (?:fail|unsuccessful|credentials invalid|rejected|data\b)"
    r"|(?:invalid|bad|incorrect|wrong) (?:login|user ?name|password|auth)"
    r"|(?:invalid|bad|incorrect|wrong) credentials?\b(?! for relay)"
    r"|(?:username|password).{0,25} (?:not accepted|incorrect|wrong|expired|required|invalid)"
    r"|log.?in (?:fail|denied|incorrect|via)",
    "7.3 7.8 7.9 7.14 7.139",
)
_LOGIN_REQUIRED = _Meaning(
    Misconfigured,
    "requires a login: set smtp.username and smtp.password",
    r"\bauth(?:\b|enticat|ori[sz]ation required)|unauthenticated sender|\blog ?in\b|not logged"
    r"|\bregistered users",
    "7.57",
)
_SENDER = _Meaning(
    Misconfigured,
    "refuses the sender: check sender in the config, and SPF, DKIM and DMARC of its domain",
    r"\bsender\b.{0,60}\b(?:reject|den[iy]|not|fail|invalid|refus|unverified|unvalidated|block"
    r"|must|signature)"
    r"|(?:reject|den[iy]|invalid|refus|bad|unverified|unknown|verified)\w* (?:\w+ )?sender"
    r"|\bfrom\W{1,2}(?:header|address|domain|field|must)\b|\bmail from (?:is )?(?:invalid|not)\b"
    r"|send ?as ?denied|(?:permissions?|authori[sz]ed|allowed) to send (?:\w+ )?(?:as|from|using)\b"
    r"|relaying disallowed|verification failed for|sending domain|return.path"
    r"|not (?:been )?verified|not owned|not associated with|domain of sender|not local sender"
    r"|spoof|incorrect sender|sender (?:doesn.?t|does not) match",
    "1.7 1.8 2.252 7.20 7.21 7.22 7.23 7.24 7.26 7.27 7.29 7.30 7.60 7.509 7.515 7.750",
)
_ACCOUNT = _Meaning(
    Misconfigured,
    "reports that the account is paused or over its quota: ask its provider",
    r"\byour (?:\w+ )?account\b.{0,50}\b(?:suspend|disabl|block|lock|paus|inactiv|restrict|clos"
    r"|not)|(?<!user )(?<!recipient )account (?:is )?not (?:yet )?activ|activate your"
    r"|sending (?:has been |is )?(?:suspend|paus|disabl|block|denied)"
    r"|domain \S+ (?:is not allowed to send|has exceeded)|outboundspam|wascl|free accounts are"
    r"|sandbox (?:sub)?domains?|subscription .{0,20}expired|not authorized to perform"
    r"|bad outbound sender|you are not allowed to send",
    "1.90 4.5 7.13 7.501 7.502 7.503 7.705",
)
_SIZE = _Meaning(
    Permanent,
    "refuses a mail of this size",
    r"(?:message|mail|content|data|attachment)\b.{0,20} (?:too (?:big|large|long)|larger than)"
    r"|(?:message|mail|content|data|attachment)(?:'s)? (?:size|length)\b.{0,20} (?:exceed|limit)"
    r"|exceed\w* .{0,25}(?:message|mail|maximum|fixed|allowed) .{0,10}size|too much mail data",
    "2.3 3.4",
)
_CLOSED = (
    r"(?:frozen|froze|block|lock|disabl|deactivat|inactiv|suspend|terminat|closed|expired|delet"
    r"|retired|cancel|removed|abandoned|dormant|discontinu)"
)
_CLOSED_SENTENCE = "delivers nothing to the recipient, whose mailbox is closed or blocked"
_NOUN = r"(?:user|recipient|mailbox|address|account|alias|addressee)s?"
_PERMIT = r"(?:allow|permit|authori|accept|trust)"
_SPAM_SENTENCE = "refuses the mail's content, or considers it spam"

_LATER = _Meaning(  # of a 4xx reply
    RetryLater,
    "asks for a later attempt",
    r"gr[ae]y-?list|\blater\b|rate.?limit|temporar|at present",
)
_FOR_NOW = _Meaning(  # of a 5xx reply that asks for a later attempt all the same
    RetryLater,
    "refuses the mail for now; Relay retries it for an hour",
    _LATER.words + r"|try again|too (?:fast|quick)|\b(?:this|per|next|last) (?:minute|hour|day)\b",
    give_up_after=DOUBT_TIMEOUT,
)
_UNKNOWN = _Meaning(
    Misconfigured,
    "refuses the mail for a reason that Relay does not know; Relay retries it for an hour",
    give_up_after=DOUBT_TIMEOUT,
)

# The first that fits; what is more specific comes first. All patterns run in linear time, as the
# reply may come from a hostile server.
_MEANINGS = (
    _SENDER._replace(
        words=r"\b(?:dmarc|spf|dkim)\b|sender verify failed|callback setup failed|\bheader from\b"
    ),
    _Meaning(
        RetryLater,
        "reports that the recipient gets too many mails",
        r"receiving (?:e-?)?mails? (?:too|at a rate)|messages they can (?:send|receive)",
        "2.121 2.122",
    ),
    _Meaning(
        Misconfigured,
        "refuses the name in EHLO: set smtp.hello to this host's full name",
        r"\b(?:helo|ehlo)(?:\b|host).{0,60}\b(?:error|reject|invalid|den[iy]|not|need|mismatch|must|should|argument|first)"
        r"|\b(?:invalid|bad|illegal|forged|reject\w*|valid|send)\b.{0,30}\b(?:helo|ehlo)\b",
    ),
    _ENCRYPTION,
    _Meaning(
        Misconfigured,
        "accepts mail for this recipient from certain senders only: allow the sender there",
        r"resolver\.rst\.\w*(?:auth|restricted)|delivery restriction"
        r"|rejected by (?:the )?recipient",
        "7.124 7.129 7.133 7.134 7.135 7.136",
    ),
    _ACCOUNT,
    _ACCOUNT._replace(
        words=r"credits exceeded|insufficient credit"
        r"|(?:daily|hourly|monthly|24-hour|sending|outgoing|outbound|smtp) (?:\w+ ){0,4}"
        r"(?:limit|quota)|\bsend (?:limit|quota)|(?:limit|quota)\b.{0,40}\bper (?:day|hour|month)"
        r"|exceeded .{0,60}\bper (?:day|hour|minute|month)|only \d+ (?:messages|e?mails) per"
        r"|you(?: have|'ve) (?:exceeded|reached) your .{0,30}(?:limit|quota)|too many e?mails"
        r"|unusual sending activity|originating from your (?:address|account|mailbox)"
        r"|tenant has exceeded|frequency (?:is )?limited|too many recipients this"
    ),
    _Meaning(
        Misconfigured,  # sent in parts, a mail whose second part fails would be sent again
        "accepts fewer recipients per mail: set to in the config to a mailing list's address, "
        "or use several channels",
        r"too many recipients(?! (?:this|per|from|received|attempts|in))"
        r"|(?:maximum|limit)\b.{0,25}\brecipients\b.{0,15}\b(?:reached|exceed)",
        "5.3",
    ),
    _LOGIN_REFUSED,
    _LOGIN_REQUIRED,
    _Meaning(
        Permanent,  # Exchange Online's words for a recipient that does not exist
        "does not know the recipient",
        r"5\.4\.1 recipient address rejected: access denied",
    ),
    _Meaning(
        Misconfigured,
        "does not relay this mail: set smtp.username and smtp.password, or allow this host there",
        r"(?<![\w.-])relay(?:ing)?\b(?![.-]\w).{0,30} (?:denied|not (?:permitted|allowed)|rejected"
        r"|prohibited|forbidden|refused)|\b(?:not|to|cannot|can't|for) relay\b(?! (?:host|server))"
        r"|\b(?:den[iy]|refus|reject|prohibit)\w* relay|\bas a relay\b|rcpthosts"
        r"|recipient address rejected: access denied|delivery is not allowed to this",
        "7.64",
    ),
    _Meaning(
        Permanent,
        _SPAM_SENTENCE,
        r"\bur[il]s?\b.{0,40}list|surbl|uribl|\bfile (?:extension|type)|\bextension\b",
    ),
    _UNKNOWN._replace(words=r"\bdbl\b"),  # a domain in the mail, or the sender's
    _Meaning(
        Misconfigured,
        "refuses this host's IP address: allow it there, or send through another server",
        r"b(?:lock|lack).?list|dnsbl|\brbl\b|spamhaus|spamcop|barracudacentral|reputation"
        r"|\b(?:client|sending|your|source|connecting|host)(?: mail)? (?:host|ip|server|network)\b"
        r".{0,60}\b(?:block|reject|denied|banned|not (?:allowed|permitted|authorized))"
        r"|\bip\b.{0,60}\b(?:block|banned|not (?:allowed|permitted|authorized)|listed|error)"
        r"|\bblack ?ip\b|\blisted (?:at|by|in|on) \w[\w-]*\.\w"
        r"|\b(?:from|host|client) \W?\d{1,3}(?:\.\d{1,3}){3}\b.{0,60}\b(?:block|defer|denied|reject"
        r"|not (?:be )?(?:accept|allow|permit))"
        r"|unauthori[sz]ed ip|banned sending ip|traffic not accepted from"
        r"|reverse (?:dns|host|lookup)|\b(?:ptr|rdns)\b"
        r"|\b(?:use|through|via) (?:\w+ ){0,4}(?:server|relay|smarthost|gateway)\b.{0,15}"
        r"\b(?:isp|provider)\b|\b(?:your|isp.?s|provider.?s) (?:\w+ )?(?:smarthost|smart host)",
        "7.25 7.511 7.708",
    ),
    _SENDER,
    _UNKNOWN._replace(words=r"local policy|policy\b.{0,12}\b(?:reason|reject|restrict|violat)"),
    _Meaning(
        RetryLater,
        "reports a full mailbox",
        r"(?:mailbox|inbox|recipient|user|storage|quota|disk)\b.{0,40}(?:\bfull\b|size limit"
        r"|out of (?:storage|space))|over ?quota|quota .{0,12}(?:exceeded|violat)"
        r"|exceed\w* .{0,20}(?:storage|quota)|insufficient (?:\w+ )?storage",
        "2.2",
    ),
    _SIZE,
    _Meaning(
        Permanent,
        _CLOSED_SENTENCE,
        rf"\b(?:recipient|mailbox|inbox|(?:this|that) (?:user|account|address))(?:'s)?"
        rf" (?:\w+ ){{0,4}}?{_CLOSED}"
        rf"|\b{_CLOSED}\w* (?:\w+ )?(?:recipient|mailbox|inbox)",
        "2.1",
    ),
    _Meaning(
        Permanent,
        _CLOSED_SENTENCE,
        # Elsewhere the words may be about the account that Relay logs in to.
        rf"\b(?:user|account|address|addressee|domain)(?:'s)? (?:\w+ ){{0,4}}?{_CLOSED}"
        rf"|\b{_CLOSED}\w* (?:\w+ )?(?:user|account|address|addressee)"
        rf"|^\W*(?:\w+\W+)?(?:is|was|has been) (?:\w+ ){{0,2}}{_CLOSED}",
        at_recipient=True,
    ),
    _Meaning(
        Permanent,
        "does not know the recipient",
        r"\b(?:user|recipient|mailbox|address|account|addressee)\b.{0,40}\b(?:unknown|not (?:found"
        r"|known|exist|valid|available|active)|does ?n.t (?:exist|have)|does not (?:exist|have)"
        r"|invalid|unavailable|disabled|inactive|no longer|undeliverable)"
        r"|\b(?:unknown|no such|not a valid|invalid|non-?existent|unrouteable|undeliverable"
        r"|bad destination) (?:\w+ )?(?:user|recipient|mailbox|address|account|domain|person)"
        r"|no mailbox|recip(?:ient)?notfound|does not exist|doesn't exist|host unknown|null mx"
        r"|(?<!recipient )(?<!sender )address rejected|all recipient addresses rejected"
        r"|not our (?:user|customer)|not (?:in|on) (?:\w+ )?(?:recipient|user) (?:list|table)"
        r"|characters? in (?:\w+ )?(?:address|local.?part)|mx records? point|no longer valid"
        r"|address reserved",
        "1.1 1.2 1.3 1.6 1.10",
    ),
    _Meaning(
        Permanent,
        _SPAM_SENTENCE,
        r"\bspam\b|message filtered|unsolicited|\bjunk\b|virus|malware|phish|\bbulk\b|suspicious"
        r"|unacceptable|content\b.{0,30}\b(?:reject|filter|restrict|policy|denied|block|potential)"
        r"|\b(?:invalid|illegal|missing|duplicate|bad)\b.{0,20} header|malformed|headers?\b.{0,20}"
        r"\b(?:invalid|illegal|missing|rejected|syntax|not)|attachment|banned (?:file|content)"
        r"|\bdt:spm\b|too many (?:same|similar|identical)|not (?:conform|compl[iy])|\brfc ?2?822"
        r"|line length|lines? (?:is |are )?too long|\b(?:bare|lone) (?:cr|lf|line)"
        r"|\b(?:headers?|subject|body|mime|message-id|encoding|charset)\b.{0,30}\b(?:error|wrong"
        r"|bad|incorrect|block|refus|not|missing|invalid|too)",
        "6.0 6.1 6.2 6.3 6.5 6.6 6.7",
    ),
)
# Where neither words nor an enhanced status code decide: that the server has not got the recipient,
# in whatever words, but not that it does not let Relay write to it.
_NO_RECIPIENT = _Meaning(
    Permanent,
    "does not know the recipient",
    rf"\b{_NOUN}\b.{{0,40}}\b(?:not|no|cannot|can.t|fail\w*)\b(?!.{{0,20}}{_PERMIT})"
    rf"|\b(?:not|no|cannot|can.t)\b(?!.{{0,20}}{_PERMIT}).{{0,25}}\b{_NOUN}\b",
)
_BY_CODE = {530: _LOGIN_REQUIRED, 534: _LOGIN_REFUSED, 535: _LOGIN_REFUSED, 538: _ENCRYPTION}
_BY_COMMAND: dict[type[Exception], _Meaning] = {
    aiosmtplib.SMTPHeloError: _Meaning(Misconfigured, "refuses the name in EHLO: set smtp.hello"),
    aiosmtplib.SMTPAuthenticationError: _LOGIN_REFUSED,
    aiosmtplib.SMTPSenderRefused: _Meaning(
        Misconfigured,
        "refuses mail of this sender, login or host: check sender in the config and smtp.username, "
        "or allow this host there",
    ),
    aiosmtplib.SMTPRecipientRefused: _UNKNOWN,
    aiosmtplib.SMTPDataError: _UNKNOWN,
}
_REFUSED = _Meaning(Misconfigured, "refuses the connection: check smtp.host and smtp.port")


def error_from_smtp(error: Exception, *, secret: str, server: str = "") -> DeliveryError:
    """``error`` comes from aiosmtplib or from the network. ``server``: host and port."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        errors = [_error_from_reply(refusal, secret, "") for refusal in error.recipients]
        return min(errors, key=_despair)
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        place = f"{_SERVER} at {server}"
        return error_from_exception(error, place, plain=_PLAIN, key="smtp.host and smtp.port")
    if error.code < 200:  # aiosmtplib's -1: the answer is not SMTP
        return RetryLater("answer", f"{_SERVER} sent an answer that is not SMTP")
    is_recipient = isinstance(error, aiosmtplib.SMTPRecipientRefused)
    return _error_from_reply(error, secret, "; nobody has the mail yet" if is_recipient else "")


def _despair(error: DeliveryError) -> tuple[bool, bool, bool]:
    """Orders the refusals of all recipients: a mail that one of them can still get is retried."""
    gives_up = error.give_up_after is not None
    return isinstance(error, Permanent), gives_up, not isinstance(error, Misconfigured)


def _error_from_reply(
    error: aiosmtplib.SMTPResponseException, secret: str, state: str
) -> DeliveryError:
    meaning = _meaning(error)
    kind, sentence = meaning.kind, meaning.sentence
    about = f"{error.recipient}: " if isinstance(error, aiosmtplib.SMTPRecipientRefused) else ""
    detail = f"{_SERVER} {sentence}{state} ({redact(f'{about}{error.message}', secret)})"
    return kind(str(error.code), detail, give_up_after=meaning.give_up_after)


def _meaning(error: aiosmtplib.SMTPResponseException) -> _Meaning:
    code, text = error.code, str(error.message)[:_MAX_REPLY_LENGTH].lower()
    reply = " ".join(_ADDRESS_PATTERN.sub(" ", text).split())
    if isinstance(error, aiosmtplib.SMTPDataError):
        # RFC 5321's text for 550. The recipients were accepted before.
        reply = reply.replace("mailbox unavailable", "")
    is_final = code >= 500
    if not is_final and re.search(_LATER.words, reply):
        return _LATER
    # 421 asks for a pause, whatever its words are. Mailgun says so of an account that is stopped.
    candidates = (_ACCOUNT,) if code == 421 else _MEANINGS
    meanings = [meaning for meaning in candidates if _can_mean(error, meaning)]
    statuses = set(_STATUS_PATTERN.findall(reply)) if is_final else set()
    by_words = (meaning for meaning in meanings if re.search(meaning.words, reply))
    by_status = (meaning for meaning in meanings if statuses & set(meaning.statuses.split()))
    if meaning := next(by_words, None) or next(by_status, None):
        return _doubted(meaning, reply)
    if not is_final:
        return _LATER
    if code == 552 and not isinstance(error, aiosmtplib.SMTPRecipientRefused):
        return _SIZE
    is_recipient = isinstance(error, aiosmtplib.SMTPRecipientRefused)
    if code not in _BY_CODE and is_recipient and re.search(_NO_RECIPIENT.words, reply):
        return _doubted(_NO_RECIPIENT, reply)
    return _doubted(_BY_CODE.get(code) or _BY_COMMAND.get(type(error), _REFUSED), reply)


def _can_mean(error: aiosmtplib.SMTPResponseException, meaning: _Meaning) -> bool:
    if meaning.at_recipient and not isinstance(error, aiosmtplib.SMTPRecipientRefused):
        return False
    if meaning is _LOGIN_REQUIRED:
        return not isinstance(error, aiosmtplib.SMTPAuthenticationError)
    if meaning.kind is Misconfigured and not meaning.give_up_after:
        return True
    is_about_mail = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
    return error.code >= 500 and (is_about_mail or meaning.kind is RetryLater or meaning is _SIZE)


def _doubted(meaning: _Meaning, reply: str) -> _Meaning:
    is_doubtful = meaning.kind is Permanent or meaning.give_up_after
    return _FOR_NOW if is_doubtful and re.search(_FOR_NOW.words, reply) else meaning

"""Translated texts in the environments of all three kinds of templates."""

from pathlib import Path

import pytest
from jinja2 import DictLoader

from relay.channels.slack.blocks import FORMAT
from relay.messages.environments import HtmlEnvironment, JsonEnvironment, MarkdownEnvironment
from relay.messages.escape import Markdown
from relay.messages.lint import lint_template
from relay.messages.locale import using
from tests.messages.languages import Words, speaking

FILES = DictLoader(
    {
        "words.md.j2": "{% macro who(actor) %}**{{ actor or _('Some*one') }}**{% endmacro %}",
        "base.md.j2": "{% block title %}{% trans name=n %}**{{ name }}** left{% endtrans %}{% endblock %}",  # noqa: E501
    }
)
MARKDOWN = MarkdownEnvironment(FILES)
JSON = JsonEnvironment(FILES, FORMAT.escapes)
HTML = HtmlEnvironment(FILES)
ENVIRONMENTS = [MARKDOWN, JSON, HTML]
VALUE = 'a*b <i> "%(name)s" 5% & \\'
WORDS = Words(
    {
        "**%(name)s** left": "Fort ist **%(name)s**",
        "%(name)s left": "Fort ist %(name)s, %(name)s!",
        "Some*one": "Irgend*wer",
        "%(name)s came": "%(other)s kam",
        "100%% of %(name)s": "%(name)s zu 100%%",
        "a 50% file": "eine *50%*-Datei",
        ("%(count)s file of %(name)s", "%(count)s files of %(name)s"): (
            "eine Datei von %(name)s",
            "%(count)s Dateien von %(name)s",
        ),
        ("verb", "Open"): "Öffnen",
        "%(name)s wrote": "{{ 7 * 7 }}{% raw %} %(name.__class__)s <!-- body -->",
    }
)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=["markdown", "json", "html"])
@pytest.mark.parametrize(
    ("template", "plain"),
    [
        ("{% trans name=n %}{{ name }} left{% endtrans %}", "Fort ist {{ n }}, {{ n }}!"),
        ("{% trans name=n %}\n  {{ name }}\n  left\n{% endtrans %}", "Fort ist {{ n }}, {{ n }}!"),
        ("{% trans name=n %}{{ name }} came{% endtrans %}", "{{ n }} came"),
        ("{% trans name=n %}100% of {{ name }}{% endtrans %}", "{{ n }} zu 100%"),
        ("{% trans name=n %}new 50% of {{ name }}{% endtrans %}", "new 50% of {{ n }}"),
        ("{% trans name=n ~ n %}{{ name }} left{% endtrans %}", "Fort ist {{ n }}{{ n }}, {{ n }}{{ n }}!"),  # noqa: E501
        ("{% trans 'verb' %}Open{% endtrans %}", "Öffnen"),
        ("{% trans count=2, name=n %}{{ count }} file of {{ name }}{% pluralize %}{{ count }} files of {{ name }}{% endtrans %}", "2 Dateien von {{ n }}"),  # noqa: E501
        ("{% trans count=1, name=n %}{{ count }} file of {{ name }}{% pluralize %}{{ count }} files of {{ name }}{% endtrans %}", "eine Datei von {{ n }}"),  # noqa: E501
        ("{{ _('%(name)s left', name=n) }}", "{{ 'Fort ist ' ~ n ~ ', ' ~ n ~ '!' }}"),
        ("{{ _('Some*one') }}", "{{ 'Irgend*wer' }}"),
        ("{{ _('a 50% file') }}", "{{ 'eine *50%*-Datei' }}"),
        ("{{ _('Some*one') | upper }}", "{{ 'IRGEND*WER' }}"),
        ("{{ gettext('Some*one') ~ n }}", "{{ 'Irgend*wer' ~ n }}"),
        ("{{ pgettext('verb', 'Open') }}", "{{ 'Öffnen' }}"),
        ("{{ ngettext('%(count)s file of %(name)s', '%(count)s files of %(name)s', 3, count=3, name=n) }}", "{{ '3 Dateien von ' ~ n }}"),  # noqa: E501
        ("{% set x %}{% trans name=n %}{{ name }} left{% endtrans %}{% endset %}{{ x }}", "Fort ist {{ n }}, {{ n }}!"),  # noqa: E501
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(_('%(name)s left', name=n)) }}", "{{ 'Fort ist ' ~ n ~ ', ' ~ n ~ '!' }}"),  # noqa: E501
        ("{% macro m() %}{% trans name=n %}{{ name }} left{% endtrans %}{% endmacro %}{{ m() }}", "Fort ist {{ n }}, {{ n }}!"),  # noqa: E501
        ("{% macro m() %}{{ n }}{% endmacro %}{% trans name=m() %}{{ name }} left{% endtrans %}", "Fort ist {{ n }}, {{ n }}!"),  # noqa: E501
        ("{{ _(n) }}", "{{ n }}"),
    ],
)  # fmt: skip
def test_a_value_is_escaped_once_as_outside_of_the_text(
    environment: MarkdownEnvironment | JsonEnvironment | HtmlEnvironment, template: str, plain: str
) -> None:
    with speaking(WORDS) as language, using(language):
        translated = environment.from_string(template).render(n=VALUE)
    assert translated == environment.from_string(plain).render(n=VALUE)


def test_the_text_of_trans_is_a_part_of_the_template() -> None:
    template = (
        "{% extends 'base.md.j2' %}{% block title %}{{ super() }}|{{ super() ~ n }}{% endblock %}"
    )
    with speaking(WORDS) as language, using(language):
        text = MARKDOWN.from_string(template).render(n="a*")
        assert text == "Fort ist **a\\***|Fort ist **a\\***a\\*"
        # The result of a macro with the markup of the template.
        template = (
            "{% from 'words.md.j2' import who %}"
            "{% trans name=who(n) %}{{ name }} left{% endtrans %} {{ who('') }}"
        )
        text = MARKDOWN.from_string(template).render(n="a*")
        assert text == "Fort ist **a\\***, **a\\***! **Irgend\\*wer**"


def test_a_text_with_values_is_marked() -> None:
    with speaking(WORDS) as language, using(language):
        text = MARKDOWN.globals["_"]("%(name)s left", name="a*")
    assert isinstance(text, Markdown)


def test_a_hostile_catalog_runs_nothing_and_costs_no_message() -> None:
    with speaking(WORDS) as language, using(language):
        template = MARKDOWN.from_string("{% trans name=n %}{{ name }} wrote{% endtrans %}")
        assert template.render(n="Ada") == "Ada wrote"


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=["markdown", "json", "html"])
@pytest.mark.parametrize(
    "template",
    [
        "{{ gettext.__init__.__globals__ }}",
        "{{ _._environment }}",
        "{{ ('%(x)s' | attr('format'))(x=1).__class__ }}",
        "{{ _('%(name)s', file=n) }}",
        "{{ _('a', n.__class__) }}",
        "{{ ngettext('a', 'b', 'c') }}",
    ],
)
def test_what_a_template_cannot_do_fails(
    environment: MarkdownEnvironment | JsonEnvironment | HtmlEnvironment, template: str
) -> None:
    with pytest.raises(Exception, match=r"unsafe|undefined|has no|does not get|argument|invalid"):
        environment.from_string(template).render(n="a")


def test_lint_accepts_translations(tmp_path: Path) -> None:
    path = tmp_path / "create-file.md.j2"
    source = (
        "{% trans name=file %}{{ name }}{% endtrans %}{{ _('x') }}{{ language }}\n"
        "{% trans count=file.size() %}{{ count }}{% pluralize %}{{ count }}{% endtrans %}\n"
        "{% trans %}{{ fiel }}{% endtrans %}"
    )
    environment = MarkdownEnvironment(DictLoader({"create-file.md.j2": source}))
    problems = lint_template(
        str(path), environment, ".md.j2", {"create-file"}, [{"file": {"size": None}}]
    )
    assert [(problem.line, problem.text) for problem in problems] == [
        (3, "'fiel' is undefined; did you mean \"file\"?")
    ]


def test_an_error_in_a_text_has_its_line() -> None:
    environment = MarkdownEnvironment(FILES)
    with pytest.raises(Exception, match="'missing' is undefined") as raised:
        environment.from_string("\n\n{% trans %}{{ missing }}{% endtrans %}").render()
    assert raised.traceback[-1].path is not None

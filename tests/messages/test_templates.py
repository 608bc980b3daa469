import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.channels import override_formats
from relay.delivery.notices import notice_samples
from relay.messages.document import parse
from relay.messages.lint import Problem
from relay.messages.locale import builtin_folder
from relay.messages.templates import RenderResult, Templates, check
from relay.penpot.catalogue import CATALOGUE
from tests.messages.samples import known, subject, unknown
from tests.messages.user import User

MINE = '{% extends "builtin/create-file.md.j2" %}\n'


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


BUILTIN = {
    name: Templates(None, override_formats())
    .render(name, known(name), team="acme", channel_kind="stdout")
    .message
    for name in ("create-file", "create-comment", "new-thing")
}


def test_a_user_template_wins_over_the_built_in_one(user: User) -> None:
    user.write("create-file.md.j2", "New: **{{ file }}**")
    assert user.bodies("create-file", "create-comment") == [
        "New: **Landing page**",
        BUILTIN["create-comment"].content.body,
    ]
    assert user.render().message.title == "New: Landing page"


def test_a_team_template_wins_for_that_team(user: User) -> None:
    user.write("create-file.md.j2", "all")
    assert user.bodies("create-file") == ["all"]
    user.write("acme/create-file.md.j2", "acme")
    assert user.bodies("create-file") + user.bodies("create-file", team="other") == ["acme", "all"]


def test_a_user_template_can_override_one_block(user: User) -> None:
    user.write("create-file.md.j2", MINE + "{% block footer %}{{ super() }}!{% endblock %}")
    message = user.render().message
    assert message.content.footer == BUILTIN["create-file"].content.footer + "!"
    assert (message.title, message.content.body) == (
        BUILTIN["create-file"].title,
        BUILTIN["create-file"].content.body,
    )


@pytest.mark.parametrize("folder", ["", "acme/"])
def test_a_user_base_template_changes_all_messages(user: User, folder: str) -> None:
    user.write(
        f"{folder}base.md.j2",
        "<!-- title -->\nPenpot: {% block title %}{% endblock %}\n\n"
        "<!-- body -->\nNews: {% block body %}{{ self.title() }}{% endblock %}\n\n",
    )
    for name in ("create-file", "new-thing"):
        message = user.render(name).message
        assert message.title == f"Penpot: {BUILTIN[name].title}"
        assert message.content.body == f"News: {BUILTIN[name].content.body}"
        assert message.content.footer == ""


def test_the_shared_phrases_can_be_changed(user: User) -> None:
    words = (builtin_folder() / "_words.md.j2").read_text()
    user.write("_words.md.j2", words.replace("Someone", "A colleague"))
    title = user.render(actor=subject("")).message.title
    assert title == "A colleague created the file Landing page in Website"


def test_an_event_without_a_template_uses_the_generic_one(user: User) -> None:
    user.write("event.md.j2", "generic {{ event.name }}")
    assert user.bodies("new-thing", "../create-file", "_words") == [
        "generic new\\-thing",
        "generic \\.\\.\\/create\\-file",
        "generic \\_words",
    ]


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ("{% if %}", 1, "Expected an expression, got 'end of statement block'"),
        ("a\n{{ fil }}", 2, "'fil' is undefined"),
        ("a\n\n{{ file.nam }}", 3, "a subject has no 'nam'; did you mean \"name\"?"),
        ("{{ file | lnk }}", 1, "No filter named 'lnk'."),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ('a\n{% extends "bas.md.j2" %}', 2, 'there is no template "bas.md.j2"'),
        ("{{ file.__class__ }}", 1, "is unsafe"),
        ("{{ 'x' * 1000001 }}", 0, "gives more than 1 MB of text"),
        ("{# nothing #}", 0, "gives no text"),
        (MINE.replace("builtin/", ""), 1, "calls itself without end"),
        (MINE + "{% block title %}\n{{ x }}{% endblock %}", 3, "'x' is undefined"),
    ],
)
def test_a_failing_user_template_gives_the_built_in_message_and_a_problem(
    user: User, source: str, line: int, text: str
) -> None:
    path = user.write("create-file.md.j2", source)
    rendered = user.render()
    assert rendered.message == BUILTIN["create-file"]
    (problem,) = rendered.problems
    assert (problem.file, problem.line) == (path, line)
    assert text in problem.text


def test_a_failing_user_base_template_loses_no_message(user: User) -> None:
    path = user.write("base.md.j2", "\n{% block title %}")
    rendered = user.render("create-comment")
    assert rendered.message == BUILTIN["create-comment"]
    assert [(problem.file, problem.line) for problem in rendered.problems] == [(path, 2)]


def test_if_every_template_fails_the_message_is_a_plain_line(tmp_path: Path) -> None:
    (tmp_path / "event.md.j2").write_text("{{ x }}")
    (tmp_path / "create-file.md.j2").write_text("{{ x }}")
    templates = Templates(builtin=tmp_path)
    for name in ("create-file", "new-thing"):
        variables = known(name, actor="*Ada*")
        rendered = templates.render(name, variables, team="acme", channel_kind="slack")
        assert rendered.message.title.startswith(f"{name} · *Ada* · Landing page · Website")
        assert "**" not in rendered.message.content.body.replace("\\*", "")
        assert len(rendered.problems) == 1


def test_variables_of_any_kind_never_raise() -> None:
    for variables in ({}, {"event": None}, {"event": SimpleNamespace(name="x")}):
        rendered = Templates().render("create-file", variables, team="a", channel_kind="slack")
        assert rendered.message.content.body == "create\\-file"
        assert rendered.problems


@pytest.mark.parametrize(
    ("channel", "end", "source", "override"),
    [
        ("slack", "slack.json", '[{"text": "{{ file }}"}]', '[{"text": "&lt;!here&gt;"}]'),
        ("matrix", "matrix.html", "<b>{{ file }}</b>", "<b>&lt;!here&gt;</b>"),
        ("email", "email.html", "<b>{{ file }}</b>", "<b>&lt;!here&gt;</b>"),
    ],
)
@pytest.mark.parametrize("folder", ["", "acme/"])
def test_a_template_for_one_kind_of_channel(
    user: User, channel: str, end: str, source: str, override: str, folder: str
) -> None:
    user.write(f"{folder}create-file.{end}.j2", source)
    rendered = user.render(channel=channel, file=subject("<!here>"))
    assert (rendered.message.content.override, rendered.problems) == (override, ())
    assert rendered.message.content.body.startswith("**Ada Lovelace** created the file **")
    assert user.render(channel="stdout").message.content.override == ""
    assert user.render(channel=channel, name="create-project").message.content.override == ""


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ('{"text": "{{ file }}"', 0, "gives no valid JSON: Expecting ',' delimiter"),
        ('"{{ file }}"', 0, "gives JSON that must be a list of blocks or"),
        ('{"text": "{{ file }}"}', 0, "gives JSON that must be a list of blocks or"),
        ('{"blocks": [], "unfurl_links": true}', 0, "gives JSON that must be a list of blocks or"),
        ("[" * 51 + "]" * 51, 0, "gives JSON that is nested deeper than 50"),
        ('{"a":' * 5000 + "1" + "}" * 5000, 0, "gives JSON that is nested deeper than 50"),
        ("[\n{{ fil }}]", 2, "'fil' is undefined"),
    ],
)
def test_a_failing_template_for_one_channel_keeps_the_message(
    user: User, source: str, line: int, text: str
) -> None:
    path = user.write("create-file.slack.json.j2", source)
    rendered = user.render(channel="slack")
    assert rendered.message == BUILTIN["create-file"]
    (problem,) = rendered.problems
    assert (problem.file, problem.line) == (path, line)
    assert text in problem.text


def test_the_built_in_templates_parse_to_the_intended_blocks(user: User) -> None:
    body = parse(user.render("create-comment").message.content.body)
    assert [type(block).__name__ for block in body] == ["Paragraph", "Quote"]


def test_a_template_cannot_include_another_team_s(user: User) -> None:
    user.write("other/_phrase.md.j2", "theirs")
    user.write("_phrase.md.j2", "ours")
    path = user.write("create-file.md.j2", '{% include "other/_phrase.md.j2" %}')
    text = 'there is no template "other/_phrase.md.j2"'
    assert user.render().problems == (Problem(path, 1, text),)
    user.write("create-file.md.j2", '{% include "_phrase.md.j2" %}')
    assert user.bodies("create-file") == ["ours"]
    assert user.bodies("create-file", team="other") == ["theirs"]


# Relay check


SAMPLES = [
    *(variables(name) for name in CATALOGUE for variables in (known, unknown)),
    *notice_samples(),
]


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("{% include NAME %}", ".env"),
        ("{% include NAME ignore missing %}", ".env"),
        ("{% include ['none.md.j2', NAME] %}", "create-file.md.j2~"),
        ("{% extends NAME %}", "notes.txt.j2"),
        ("{% import NAME as words %}{{ words }}", ".env"),
        ("{% from NAME import PASSWORD %}", ".env"),
    ],
)
def test_a_template_reads_no_file_that_is_no_template(user: User, tag: str, name: str) -> None:
    user.write(name, "PASSWORD=hunter2")
    path = user.write("create-file.md.j2", "\n" + tag.replace("NAME", f'"{name}"'))
    rendered = user.render()
    text = f'"{name}" is no template: its name ends in none of: .md.j2, .html.j2, .json.j2'
    assert rendered.problems == (Problem(path, 2, text),)
    assert "hunter2" not in str(rendered)
    assert rendered.message == BUILTIN["create-file"]


def test_a_long_template_name_is_shortened(user: User) -> None:
    user.write("create-file.md.j2", "{% include 'x' * 999 ~ '.md.j2' %}")
    assert user.render().problems[0].text == f'there is no template "{"x" * 299}…"'


def test_the_built_in_templates_have_no_problems() -> None:
    assert check(Templates(None, override_formats()), [*SAMPLES, known("new-thing")]) == []


def test_all_problems_are_reported(tmp_path: Path) -> None:
    for name in ("create-file", "rename-file"):
        (tmp_path / f"{name}.md.j2").write_text("{{ a }}\n{{ b }}")
    problems = check(Templates(tmp_path, override_formats()), SAMPLES)
    assert sorted((Path(problem.file).name, problem.line) for problem in problems) == [
        ("create-file.md.j2", 1),
        ("create-file.md.j2", 2),
        ("rename-file.md.j2", 1),
        ("rename-file.md.j2", 2),
    ]


def test_a_missing_attribute_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "create-file.md.j2").write_text("{{ file.nme.foo }}")
    (problem,) = check(Templates(tmp_path, override_formats()), SAMPLES)
    assert problem.text == "'file' has no 'nme'; did you mean \"name\"?"


def test_folders_are_checked_against_the_teams_of_the_config(tmp_path: Path) -> None:
    for name in ("acme", "acmee", "builtin"):
        (tmp_path / name).mkdir()
    problems = check(Templates(tmp_path, override_formats()), SAMPLES, teams=["acme"])
    assert [(Path(problem.file).name, problem.text) for problem in problems] == [
        ("acmee", 'no team is called "acmee"; did you mean "acme"?'),
        ("builtin", 'the name "builtin" is reserved'),
    ]


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    (problem,) = check(Templates(tmp_path / "none", override_formats()), SAMPLES)
    assert problem.text == "there is no such folder"


DEPLOY = '{"ref": "{{ file }}", "by": {{ actor.name | tojson }}, "event": "{{ event.name }}"}'


def body_of(user: User, name: str = "deploy.json.j2", team: str = "acme") -> RenderResult:
    return user.templates.render(
        "create-file", known("create-file"), team=team, channel_kind="webhook", body_template=name
    )


def test_a_channels_own_template_makes_what_it_sends_of_each_event(user: User) -> None:
    user.write("deploy.json.j2", DEPLOY)
    user.write("other/deploy.json.j2", '{"ref": "other"}')
    user.write("create-file.json.j2", "no channel names it")
    result = body_of(user)
    assert result.problems == ()
    assert json.loads(result.message.content.override) == {
        "ref": "Landing page",
        "by": "Ada Lovelace",
        "event": "create-file",
    }
    assert result.message.title == BUILTIN["create-file"].title
    assert body_of(user, team="other").message.content.override == '{"ref": "other"}'
    plain = user.render(channel="webhook")
    assert (plain.message.content.override, plain.problems) == ("", ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "there is no such template"),
        ('{"a": {{ nothing }}}', "'nothing' is undefined"),
        ("{a}", "gives no valid JSON: "),
    ],
)
def test_without_a_body_that_works_the_message_is_the_usual_one(
    user: User, text: str | None, problem: str
) -> None:
    if text is not None:
        user.write("deploy.json.j2", text)
    result = body_of(user)
    assert result.message == BUILTIN["create-file"]
    assert problem in str(result.problems[0])


def test_the_check_renders_a_body_for_the_events_of_its_channels(tmp_path: Path) -> None:
    user = User(tmp_path)
    path = user.write("deploy.json.j2", '{"x": "{{ event.props.nothing }}{{ missing }}"}')
    other = user.write("other.json.j2", "{}")
    own = user.write("create-file.json.j2", "{}")
    samples = [known("create-file"), known("rename-file")]
    problems = check(user.templates, samples, ["acme"], {"deploy.json.j2": {"rename-file"}})
    unused = (
        "no channel has it as its body, and the name ends in none of: .md.j2, .slack.json.j2, "
        ".matrix.html.j2, .email.html.j2"
    )
    assert Problem(other, 0, unused) in problems
    assert Problem(own, 0, unused) in problems
    assert {problem.text for problem in problems if problem.file == path} == {
        "'missing' is undefined"
    }
    user.write("deploy.json.j2", '{"x": "{{ event.props.nothing }}"}')
    (problem,) = [
        each
        for each in check(user.templates, samples, ["acme"], {"deploy.json.j2": {"rename-file"}})
        if each.file == path
    ]
    assert "nothing" in problem.text
    problems = check(user.templates, samples, ["acme"], {"deploy.json.j2": set()})
    mine = [each.file for each in problems if each.file.startswith(str(tmp_path))]
    assert mine == [own, other]

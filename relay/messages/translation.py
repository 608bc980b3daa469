"""Translation in templates: the tag ``trans``, and the functions ``_``, ``gettext``, ``ngettext``,
``pgettext`` and ``npgettext``.

The text of ``trans`` is part of the template: ``{% trans %}**{{ actor }}** replied{% endtrans %}``
formats, as it does outside of the tag. The text of a function is a value, as other literals in an
expression: ``{{ _("*") }}`` prints a star. Both escape their values as ``{{ … }}`` does, and once.
"""

from typing import Any, cast

from jinja2 import Environment
from jinja2 import nodes as ast
from jinja2.ext import GETTEXT_FUNCTIONS, InternationalizationExtension
from jinja2.parser import Parser

from relay.messages import locale


class Translation(InternationalizationExtension):
    """Jinja's extension, with the catalogs of ``locale`` and the environment's own escaping: that
    of Jinja knows only HTML. Templates are extracted with Jinja's own one."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.newstyle_gettext = True  # type: ignore[attr-defined]
        environment.policies["ext.i18n.trimmed"] = True
        for name in GETTEXT_FUNCTIONS:
            environment.globals[name] = GettextFunction(
                environment, "gettext" if name == "_" else name
            )

    def parse(self, parser: Parser) -> ast.Node | list[ast.Node]:
        parsed = super().parse(parser)
        *_, output = parsed if isinstance(parsed, list) else [parsed]
        call = cast(ast.Call, cast(ast.Output, output).nodes[0])
        function = ast.Const(cast(ast.Name, call.node).name, lineno=call.lineno)
        call.node, call.args = self.attr("trans", lineno=call.lineno), [function, *call.args]
        return parsed

    def trans(self, function: str, /, *arguments: Any, **values: Any) -> str:
        """The text of the tag; ``function`` is that of gettext."""
        return _filled(self.environment, function, arguments, values, show_text=str)


class GettextFunction:
    """One of gettext's functions in an expression."""

    def __init__(self, environment: Environment, name: str) -> None:
        self._environment = environment
        self._name = name

    def __call__(self, /, *arguments: Any, **values: Any) -> str:
        if not values and self._name in ("gettext", "pgettext"):
            return locale.translations(self._name, *arguments)[0]
        escape = self._environment.finalize
        return _filled(self._environment, self._name, arguments, values, show_text=escape)


def _filled(environment: Any, function: str, arguments: Any, values: Any, show_text: Any) -> str:
    if function in ("ngettext", "npgettext"):
        *texts_of, number = arguments
        arguments, values = (*texts_of, int(number)), {"num": number, **values}
    texts = locale.translations(function, *arguments)
    parts = locale.fill(texts, values, environment.finalize, show_text)
    return cast(str, environment.marked(parts))

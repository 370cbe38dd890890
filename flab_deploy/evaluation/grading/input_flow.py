"""User input that reaches a place where it can do harm, followed from name to name within one
function.

Sources are what comes from afar: a web request and the arguments of a route. What the user of a
program types at it is his own to choose. What a call returns is as trusted as its arguments, but
for calls that check or escape. Values are not followed through attributes, containers that are
filled later, or other functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Functions = ast.FunctionDef | ast.AsyncFunctionDef
_REQUEST = {
    "args",
    "form",
    "values",
    "cookies",
    "headers",
    "files",
    "data",
    "json",
    "get_json",
    "query_params",
    "path_params",
    "GET",
    "POST",
    "COOKIES",
    "FILES",
    "META",
    "params",
    "get_data",
    "stream",
    "url",
    "path",
    "query_string",
}
_ROUTES = {"route", "get", "post", "put", "delete", "patch"}
# What comes out of these cannot carry an attack: numbers, hashes, escaped text, checked names.
_CLEANERS = {
    "int",
    "float",
    "bool",
    "len",
    "hash",
    "escape",
    "quote",
    "quote_plus",
    "urlencode",
    "secure_filename",
    "basename",
    "escape_filter_chars",
    "escape_dn_chars",
    "jsonify",
    "dumps",
    "render_template",
    "uuid4",
    "isdigit",
    "isinstance",
    "hexdigest",
    "url_for",
    "clean",
    "safe_join",
    "render",
    "literal_eval",
}
# Places by the last part of a call's name; those whose last part is too common follow, by module.
_SINKS = {
    "redirect": "CWE-601 open redirect",
    "HttpResponseRedirect": "CWE-601 open redirect",
    "send_file": "CWE-22 path from input",
    "rmtree": "CWE-22 path from input",
    "urlopen": "CWE-918 request to input",
    "urlretrieve": "CWE-918 request to input",
    "render_template_string": "CWE-79 page from input",
    "make_response": "CWE-79 page from input",
    "HttpResponse": "CWE-79 page from input",
    "HTMLResponse": "CWE-79 page from input",
    "Markup": "CWE-79 page from input",
    "search_s": "CWE-90 LDAP from input",
    "xpath": "CWE-643 XPath from input",
    "import_module": "CWE-95 import by name",
    "find_one": "CWE-943 query from input",
}
_MODULE_SINKS = {
    (
        "re",
        ("compile", "match", "search", "fullmatch", "findall", "sub", "split"),
    ): "CWE-1333 pattern from input",
    (
        "requests",
        ("get", "post", "put", "delete", "head", "patch", "request"),
    ): "CWE-918 request to input",
    (
        "httpx",
        ("get", "post", "put", "delete", "head", "patch", "request"),
    ): "CWE-918 request to input",
    (
        "logging",
        ("debug", "info", "warning", "error", "critical", "exception"),
    ): "CWE-117 log line from input",
    (
        "logger",
        ("debug", "info", "warning", "error", "critical", "exception"),
    ): "CWE-117 log line from input",
    (
        "subprocess",
        ("run", "call", "check_call", "check_output", "Popen"),
    ): "CWE-78 command from input",
    ("os", ("system", "popen", "execv", "execvp", "spawnl")): "CWE-78 command from input",
    (
        "os",
        ("open", "remove", "unlink", "rmdir", "listdir", "makedirs", "rename"),
    ): "CWE-22 path from input",
    ("io", ("open",)): "CWE-22 path from input",
}
_CALLS = {
    "open": "CWE-22 path from input",
    **{
        f"{module}.{name}": rule
        for (module, names), rule in _MODULE_SINKS.items()
        for name in names
    },
}


def imported_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, such as `subprocess` for `sp`."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return found


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    """A dotted name with its import resolved, such as `subprocess.run`; what is not a name is left
    out.
    """
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(names.get(node.id, node.id))
    return ".".join(reversed(parts))


def flows(tree: ast.Module, names: dict[str, str]) -> Iterator[str]:
    """Rules that input breaks on its way through each function and the module's own statements; may
    repeat.

    `names` is what `imported_names` found.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, Functions)]
    for scope in (tree, *functions):
        yield from _Scope(scope, names).rules()


class _Scope:
    """One function, or a module without its functions."""

    def __init__(self, scope: ast.Module | Functions, names: dict[str, str]) -> None:
        self.names = names
        self.nodes = list(_own_nodes(scope))
        self.is_route, self.from_input = False, set[str]()
        if isinstance(scope, Functions) and any(map(_is_route, scope.decorator_list)):
            self.is_route, self.from_input = True, {argument.arg for argument in scope.args.args}
        self._follow()

    def _follow(self) -> None:
        """Mark the names that are ever given what a user wrote, until no more are found."""
        before = -1
        while before != len(self.from_input):
            before = len(self.from_input)
            for node in self.nodes:
                for target, value in _assigned(node):
                    if self.carries(value):
                        self.from_input |= {
                            n.id for n in ast.walk(target) if isinstance(n, ast.Name)
                        }

    def carries(self, node: ast.AST) -> bool:
        """Whether an expression's value may hold what a user wrote."""
        if (
            isinstance(node, ast.Call)
            and full_name(node.func, self.names).rpartition(".")[2] in _CLEANERS
        ):
            return False
        if isinstance(node, ast.Compare | ast.Lambda):
            return False
        if isinstance(node, ast.Name):
            return node.id in self.from_input
        if isinstance(node, ast.Attribute) and self._is_source(node):
            return True
        return any(self.carries(child) for child in ast.iter_child_nodes(node))

    def _is_source(self, node: ast.Attribute) -> bool:
        owner, _, last = full_name(node, self.names).rpartition(".")
        return last in _REQUEST and owner.rpartition(".")[2] in ("request", "req")

    def rules(self) -> Iterator[str]:
        for node in self.nodes:
            if isinstance(node, ast.Call):
                yield from self._of_call(node)
            elif isinstance(node, ast.Return) and self.is_route and self._is_page(node.value):
                yield "CWE-79 page from input"
            elif (
                isinstance(node, ast.Assign)
                and _is_header(node.targets[0])
                and self.carries(node.value)
            ):
                yield "CWE-113 header from input"

    def _of_call(self, node: ast.Call) -> Iterator[str]:
        name = full_name(node.func, self.names)
        rule = _CALLS.get(name) or _SINKS.get(name.rpartition(".")[2])
        # A pattern, a path or an address comes first; what else is passed beside it does no harm
        # there.
        given = [
            *node.args[:1],
            *(word.value for word in node.keywords if word.arg in ("url", "filter", "filterstr")),
        ]
        if rule in ("CWE-90 LDAP from input", "CWE-117 log line from input"):
            given = [*node.args, *given]
        if rule and any(self.carries(value) for value in given):
            yield rule

    def _is_page(self, value: ast.expr | None) -> bool:
        """Whether a route returns text put together with input."""
        return isinstance(value, ast.JoinedStr | ast.BinOp | ast.Name) and self.carries(value)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Every node of a scope in order, without those of the functions within it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, Functions):
            yield child
            yield from _own_nodes(child)


def _is_route(mark: ast.expr) -> bool:
    return (
        isinstance(mark, ast.Call)
        and isinstance(mark.func, ast.Attribute)
        and mark.func.attr in _ROUTES
    )


def _is_header(target: ast.expr) -> bool:
    holder = target.value if isinstance(target, ast.Subscript) else None
    return isinstance(holder, ast.Attribute) and holder.attr == "headers"


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What a statement gives to which target."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value is not None:
        yield node.target, node.value
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield node.target, node.iter
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr

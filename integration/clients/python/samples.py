"""The values that both Python stacks send through bridge.echo, by check."""

import xmlrpc.client

NESTED = [[1, [2, []]], [{"a": [3]}]]

SAMPLES = {
    "int": [-2147483648],
    "i8": [9007199254740993],
    "boolean_true": [True],
    "boolean_false": [False],
    "double": [-2.5],
    "double_exact": [0.1 + 0.2],
    "double_small": [1e-7],
    "string": ["plain"],
    "string_empty": [""],
    "string_markup": ["<&>\"']]>"],
    "string_accents": ["Žluťoučký café 日本"],
    "string_emoji": ["🙂"],
    "string_blanks": ["  a  b "],
    "string_lines": ["a\nb\tc"],
    "string_cr": ["a\r\nb"],
    "string_digits": ["042"],
    "string_long": ["x" * 300000],
    "datetime": [xmlrpc.client.DateTime("20261121T19:35:03")],
    "base64": [xmlrpc.client.Binary(bytes(range(256)))],
    "array": [[1, "two", True]],
    "array_empty": [[]],
    "array_nested": [NESTED],
    "struct": [{"id": 7, "title": "x"}],
    "struct_empty": [{}],
    "struct_nested": [{"a": {"b": {"c": [1, 2]}}}],
    "struct_odd": [{"<k & é>": 1, "with space": 2}],
    "nil": [None],
    "params": [1, "two", 3.5],
    "no_params": [],
}


def same(got, sent):
    """Equal, and of the same types all the way down, which True == 1 is not."""
    if type(got) is not type(sent):
        return False
    if isinstance(sent, list):
        return len(got) == len(sent) and all(map(same, got, sent))
    if isinstance(sent, dict):
        return got.keys() == sent.keys() and all(same(got[k], sent[k]) for k in sent)
    return got == sent


def report(check, *outcome):
    """One line for the test: the check and what came of it, between tabs."""
    print(check, *(str(part).replace("\n", "\\n") for part in outcome), sep="\t", flush=True)


def report_echo(check, got, sent):
    report(check, "ok" if same(got, sent) else "got %.200r" % (got,))

"""Texts that mean something to a database, a file system, a terminal, a log or the eye of a reader."""

from typing import Final

SQL: Final[dict[str, str]] = {
    "ends the statement": "'; DROP TABLE entry; --",
    "double quotes": '"; delete from user where "1"="1',
    "always true": "x' OR '1'='1",
    "a comment": "ana'/*",
    "a wildcard": "%",
    "another wildcard": "_na",
    "a pattern": "*[a-z]?",
    "a parameter": "?1 :name @x $y",
    "a brace": "{0} {user!r} %s %(user)s",
    "a number": "0",
    "nothing": "NULL",
    "a query of search": 'a" OR b NEAR/2 c*',
    "hexadecimal": "x'00ff'",
}
PATHS: Final[dict[str, str]] = {
    "up": "../../../../etc/passwd",
    "absolute": "/etc/shadow",
    "home": "~root/.ssh/authorized_keys",
    "windows": "C:\\Windows\\system32",
    "a share": "\\\\host\\share",
    "dots": "..",
    "a dot": ".",
    "an option": "-rf",
    "an address": "file:///etc/passwd?mode=rwc",
    "a device": "/dev/stdin",
    "a variable": "$HOME/`id`",
    "300 letters": "a" * 300,
    "a zero in it": "ana\x00.db",
}
TERMINALS: Final[dict[str, str]] = {
    "a colour": "\x1b[31mvermelho\x1b[0m",
    "a title": "\x1b]0;título\x07",
    "the clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "a link": "\x1b]8;;http://x\x1b\\aqui\x1b]8;;\x1b\\",
    "a device's string": "\x1bP1$r\x1b\\",
    "CSI in eight bits": "\x9b31m",
    "OSC in eight bits": "\x9d0;x\x9c",
    "the screen is wiped": "\x1b[2J\x1b[H",
    "back and over": "bom\x08\x08\x08mau",
    "the line again": "verdade\rmentira",
    "a bell": "\x07",
    "delete": "a\x7f",
    "right to left": "abc\u202egpj.exe",
    "isolates": "\u2066a\u2069\u2067",
    "zero width": "a\u200bn\u200da\ufeff",
    "ten thousand marks": "a" + "\u0301" * 10_000,
    "tags": "a\U000e0061\U000e0062",
    "unassigned": "a\U0003fffd\u0378",
    "private use": "\ue000",
}
LOGS: Final[dict[str, str]] = {
    "a second line": "ana\n2026-01-01T00:00:00Z info server-1 clock=1 shutdown requested",
    "carriage return": "ana\r\nerror",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0c",
    "a field": 'ana level=error event="fault while serving"',
    "quotes": 'ana" clock=0 x="',
    "JSON": '","level":"error","x":"',
    "a priority of the journal": "<0>emergency",
}
LOOKS: Final[dict[str, str]] = {
    "cyrillic a": "\u0430na",
    "full width": "\uff41\uff4e\uff41",
    "capital": "ANA",
    "decomposed": "anã",
    "turkish": "İana",
    "sharp s": "straße",
    "greek": "αna",
}
ALL: Final[dict[str, str]] = {
    f"{group}: {what}": text
    for group, texts in (
        ("sql", SQL),
        ("path", PATHS),
        ("terminal", TERMINALS),
        ("log", LOGS),
        ("look", LOOKS),
    )
    for what, text in texts.items()
}

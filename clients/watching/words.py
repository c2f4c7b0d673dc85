"""What `status`, `top` and `doctor` say to people."""

import os

from clients.watching.doctor_words import DOCTOR_WORDS
from clients.words import WORDS, Spoken
from recado.texts import Text, Texts, language

WATCHING_WORDS: dict[str, Text] = {
    "status.answering": Text("{count} de {of} servidores respondem", "{count} of {of} servers answer"),
    "status.leader": Text(
        "coordenador: {name}, há {age}, época {epoch}, modo {mode}",
        "coordinator: {name}, for {age}, epoch {epoch}, mode {mode}",
    ),
    "status.leaders": Text(
        "vários se dizem coordenadores: {names}; veja `recado doctor`",
        "several are called coordinator: {names}; see `recado doctor`",
    ),
    "status.no_leader": Text("nenhum coordenador conhecido", "no coordinator is known"),
    "status.hosts": Text(
        "membros por host: {hosts}; com quorum {lost} podem se perder, e escritas seguem sem {away}",
        "members by host: {hosts}; at quorum any {lost} may be lost, and writes go on without any {away}",
    ),
    "status.clocks": Text(
        "relógios: mostrados, desvio de {shown}; dos sistemas, {system}",
        "clocks: as shown {shown} apart, of the systems {system}",
    ),
    "status.cluster": Text(
        "cluster: {cluster}, segurança {security}, versão {version}",
        "cluster: {cluster}, security {security}, version {version}",
    ),
    "status.timeout": Text(
        "nem todos responderam a tempo; mais com --timeout",
        "not everybody answered in time; more with --timeout",
    ),
    "top.nobody": Text("ninguém responde", "nobody answers"),
    "top.keys": Text("q sai", "q leaves"),
}


def speaker() -> Texts:
    """The texts in the language of whoever runs this process."""
    return Spoken(language(os.environ), WATCHING_WORDS, DOCTOR_WORDS, WORDS)

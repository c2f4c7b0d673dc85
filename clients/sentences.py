"""Random sentences in Portuguese and English, for bots."""

from random import Random

_PORTUGUESE = (
    ("Alguém", "O servidor três", "Minha avó", "O estagiário", "A turma", "O gato", "Este bot", "A vizinha"),
    ("reiniciou", "perdeu", "encontrou", "consertou", "esqueceu", "pintou", "explicou", "derrubou"),
    ("o coordenador", "o café", "um relógio lógico", "a fila", "o roteador", "a segunda via", "o violão"),
    ("ontem à noite", "sem querer", "outra vez", "com paciência", "antes do almoço", "às três em ponto"),
)
_ENGLISH = (
    (
        "Somebody",
        "The third server",
        "My neighbour",
        "The new hire",
        "A patient cat",
        "This bot",
        "The class",
    ),
    ("restarted", "found", "forgot", "fixed", "painted", "explained", "replicated", "missed"),
    ("the coordinator", "a logical clock", "the coffee", "an old modem", "the last bus", "a spare key"),
    ("again", "by accident", "before lunch", "with great care", "at three sharp", "in the rain"),
)
_ENDINGS = (".", ".", ".", "!", "?", "…", " :)", " 🎉")


def sentence(random: Random) -> str:
    """One sentence, decided by `random` alone."""
    words = [random.choice(words) for words in random.choice((_PORTUGUESE, _ENGLISH))]
    return " ".join(words) + random.choice(_ENDINGS)

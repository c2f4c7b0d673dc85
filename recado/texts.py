"""What people read, in Portuguese (Brazil) and English.

Add a text by adding one line with both languages to `TEXTS`, or, for texts of one program, by
giving `Texts` a table of its own. Placeholders are named, ``{name}``, and the same in both
languages; a test holds every table to that. Codes of wire errors are keys in `ERRORS`.
"""

from collections.abc import Mapping
from string import Formatter
from typing import Literal, NamedTuple

Language = Literal["pt_BR", "en"]


class Text(NamedTuple):
    """One text in both languages."""

    pt: str
    en: str

    def in_(self, language: Language) -> str:
        return self.pt if language == "pt_BR" else self.en


def language(env: Mapping[str, str]) -> Language:
    """The reader's language: RECADO_LANG, else as gettext finds it (LC_ALL, LC_MESSAGES, LANG).

    The first that is set decides; everything that is not Portuguese is English.
    """
    for variable in ("RECADO_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = env.get(variable, "")
        if value:
            return "pt_BR" if value.lower().startswith("pt") else "en"
    return "en"


# Codes of `erro` envelopes. The Portuguese ones are the texts of the wire.
ERRORS: dict[str, Text] = {
    "user_empty": Text("Nome de usuário não pode ser vazio", "A user name can't be empty"),
    "user_taken": Text("Usuário já existe", "That user exists already"),
    "user_missing": Text("Usuário de destino não existe", "That user does not exist"),
    "sender_missing": Text("Usuário de origem não existe", "The sending user does not exist"),
    "channel_empty": Text("Nome do canal não pode ser vazio", "A channel name can't be empty"),
    "channel_taken": Text("Canal já existe", "That channel exists already"),
    "channel_missing": Text("Canal não existe", "That channel does not exist"),
    "text_empty": Text("Mensagem não pode ser vazia", "A message can't be empty"),
    "text_too_long": Text("Mensagem longa demais", "The message is too long"),
    "name_too_long": Text("Nome longo demais", "The name is too long"),
    "name_invalid": Text("Nome com caracteres de controle", "The name has control characters"),
    "name_reserved": Text("Nome reservado", "The name is reserved"),
    "id_invalid": Text("id inválido", "The id is not valid"),
    "id_reused": Text("id já usado para outro conteúdo", "The id was used for something else"),
    "malformed": Text("Requisição malformada", "The request is malformed"),
    "service_unknown": Text("Serviço desconhecido", "Unknown service"),
    "service_not_offered": Text("Serviço não oferecido aqui", "That service is not offered here"),
    "level_invalid": Text("level: local, quorum ou all", "level: local, quorum or all"),
    "history_invalid": Text("Diga o canal ou o usuário", "Name a channel or a user"),
    "replicate_invalid": Text("replicate: type ou content inválido", "replicate: invalid type or content"),
    "epoch_invalid": Text("Época inválida", "The epoch is not valid"),
    "not_a_member": Text(
        "A época não é de um membro deste cluster", "The epoch is of no member of this cluster"
    ),
    "not_the_sender": Text("A época é de outro membro", "The epoch is of another member"),
    "mode_differs": Text(
        "Os servidores deste cluster têm server.mode diferentes",
        "The servers of this cluster differ in server.mode",
    ),
    "address_invalid": Text("Endereço inválido", "The address is not valid"),
    "registration_closed": Text(
        "Só operadores registram usuários aqui", "Only operators register users here"
    ),
    "invite_needed": Text("É preciso um convite para se registrar", "Registering here needs an invitation"),
    "invitations_full": Text("Convites em aberto demais", "Too many open invitations"),
    "key_missing": Text("Esta chave não é desse usuário", "That key is not that user's"),
    "key_last": Text("É a última chave; adicione outra antes", "That is the last key; add another first"),
    "registry_full": Text("Registro cheio: servidores demais", "The registry is full: too many servers"),
    "cluster_unknown": Text("Servidor de outro cluster", "A server of another cluster"),
    "member_unknown": Text("Servidor que não é membro deste cluster", "Not a member of this cluster"),
    "version_unsupported": Text(
        "Versão do protocolo entre servidores não atendida", "Wire version not supported"
    ),
    "members_only": Text("Serviço só para servidores deste cluster", "For servers of this cluster only"),
    "adjust_refused": Text("Ajuste recusado", "Adjustment refused"),
    "draining": Text("Servidor encerrando; use outro servidor", "Server stopping; use another server"),
    "clock_exhausted": Text(
        "Relógio lógico do servidor esgotado; use outro servidor",
        "This server's logical clock is used up; use another server",
    ),
    "storage_full": Text("Disco cheio; nada foi guardado", "Disk full; nothing was kept"),
    "busy": Text("Ocupado, tente de novo em instantes", "Busy, try again in a moment"),
    "snapshot_gone": Text("Cópia não existe mais; peça outra", "That copy is gone; ask for another"),
    "search_off": Text("Este servidor não faz buscas", "This server does not search"),
    "search_empty": Text("Diga pelo menos uma palavra para buscar", "Name at least one word to search for"),
    "search_too_long": Text("Busca longa demais", "Too much to search for"),
    "search_too_short": Text("Antes do asterisco, pelo menos 3 letras", "At least 3 letters before the star"),
    "behind": Text("Este servidor ainda não tem o que você já viu", "This server lacks what you have seen"),
    "unavailable": Text("Nenhum servidor responde agora", "No server answers at the moment"),
    "indeterminate": Text(
        "O servidor não respondeu a tempo; não se sabe se foi feito",
        "The server did not answer in time; whether it was done is not known",
    ),
    "name_confusable": Text("Nome que se confunde com outro", "The name could be taken for another one"),
    "key_unknown": Text("Chave desconhecida; faça login primeiro", "That key is nobody's; log in first"),
    "ssh_key_unknown": Text("Chave SSH de ninguém", "That SSH key is nobody's"),
    "key_revoked": Text("Chave revogada", "That key was revoked"),
    "not_you": Text("Este nome não é o seu", "That name is not yours"),
    "suspended": Text("Usuário suspenso", "The user is suspended"),
    "operators_only": Text("Serviço só para operadores", "For operators only"),
    "not_for_you": Text("Serviço não permitido", "That service is not for you"),
    "rate_limited": Text("Rápido demais; tente de novo em instantes", "Too fast; try again in a moment"),
    "key_taken": Text("Esta chave já é de um usuário", "That key is a user's already"),
    "key_invalid": Text("Chave inválida", "The key is not valid"),
    "keys_full": Text("Chaves demais", "Too many keys"),
    "invite_invalid": Text("Convite inválido ou já usado", "The invitation is not valid, or was used"),
    "rule_invalid": Text("Regra inválida", "The rule is not valid"),
    "rules_full": Text("Regras demais neste canal", "Too many rules in this channel"),
    "channel_closed": Text("Canal só para convidados", "The channel is for who is invited"),
    "not_channel_operator": Text("Só para quem opera o canal", "For who operates the channel"),
    "is_founder": Text(
        "Só um operador pode isso com quem criou o canal",
        "Only an operator can do that to the channel's founder",
    ),
    "banned": Text("Você foi banido deste canal", "You are banned from this channel"),
    "muted": Text("Você não pode falar neste canal", "You may not speak in this channel"),
    "moderated": Text("Canal moderado: só fala quem tem voz", "The channel is moderated: only voices speak"),
    "internal": Text("Erro interno; nada foi perdido", "Internal error; nothing was lost"),
}

# What programs say. Keys are the program's, a dot, and what it is about.
TEXTS: dict[str, Text] = {
    "daemon.ready": Text("{name} pronto em {address}", "{name} ready at {address}"),
}


class Texts:
    """Tables of texts read in one language."""

    def __init__(self, language: Language, *tables: Mapping[str, Text]) -> None:
        self.language = language
        self._tables = tables or (TEXTS,)

    def __call__(self, key: str, **values: object) -> str:
        """The text of that key, its placeholders filled. Raises `KeyError` if there is none."""
        for table in self._tables:
            if key in table:
                return table[key].in_(self.language).format(**values)
        raise KeyError(key)


def wire_text(code: str) -> str:
    """The text of an error code on the wire."""
    return ERRORS[code].pt


def error_text(code: str | None, language: Language, *, given: str) -> str:
    """An `erro` envelope's text for a reader of `language`; `given` is the one on the wire.

    The wire's own text says more (limits, names), so it stands wherever it can be read: in
    Portuguese, and for codes that are not known here.
    """
    if language == "pt_BR" or code is None or code not in ERRORS:
        return given
    return ERRORS[code].en


def placeholders(text: str) -> set[str]:
    """The names between braces in a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

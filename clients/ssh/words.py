"""What a login over SSH is told, in Portuguese and English."""

from recado.texts import Text

SSH_WORDS: dict[str, Text] = {
    "ssh.unknown": Text(
        "{command}: isso não existe por SSH; há: {offered}",
        "{command}: not offered over SSH; there are: {offered}",
    ),
    "ssh.option": Text(
        "{command}: {option} não existe por SSH", "{command}: {option} is not offered over SSH"
    ),
    "ssh.quotes": Text(
        "as aspas não fecham: o ssh as tira uma vez no caminho; ponha outras por fora, ou mande o texto "
        "pela entrada padrão",
        "quotes don't match: ssh takes them off once on the way; put others around, or send the text by "
        "standard input",
    ),
    "ssh.bytes": Text("o comando não é UTF-8", "the command is not UTF-8"),
    "ssh.long": Text(
        "comando longo demais; mande o texto pela entrada padrão",
        "the command is too long; send the text by standard input",
    ),
    "ssh.file": Text("por SSH, diga a chave e não um arquivo", "over SSH, give the key and not a file"),
    "ssh.not_set_up": Text(
        "este nó não está pronto para SSH: {why}", "this node is not set up for SSH: {why}"
    ),
    "ssh.no_server": Text(
        "o servidor deste nó não responde; tente outro nó, ou mais tarde",
        "the server of this node does not answer; try another node, or later",
    ),
    "local.no_server": Text(
        "aqui você é {user}, mas o servidor deste nó não responde; tente mais tarde",
        "you are {user} here, but the server of this node does not answer; try again later",
    ),
    "local.key": Text(
        "aqui você é {user}; sua chave está em {path}", "you are {user} here; your key is in {path}"
    ),
    "ssh.ended": Text("a chave SSH foi revogada", "the SSH key was revoked"),
    "ssh.help": Text(
        "sem comando: a conversa. Comandos: {offered}. `COMANDO --help` diz mais.",
        "without a command: the chat. Commands: {offered}. `COMMAND --help` says more.",
    ),
}

"""What the client programs say to people, in Portuguese and English.

Data go to standard output and are never translated; these go to standard error, and to the chat.
"""

import os

from clients.backup_words import BACKUP_WORDS
from clients.rules.words import RULE_WORDS
from clients.ssh.words import SSH_WORDS
from recado.protocol.printable import printable
from recado.texts import Text, Texts, language

WORDS: dict[str, Text] = {
    # recado member
    "member.invalid": Text("não dá um membro: {why}", "that makes no member: {why}"),
    "member.taken": Text("{field} {value} já é de {name}", "{field} {value} is {name}'s already"),
    "member.unknown": Text("{name} não está na lista ({known})", "{name} is not in the list ({known})"),
    "member.last": Text("o último membro fica", "the last member stays"),
    "member.overruled": Text(
        "{path} foi escrito, mas outro arquivo de conf.d decide cluster.members",
        "{path} was written, but another file of conf.d has the last word about cluster.members",
    ),
    "member.done": Text(
        "{path} escrito; o mesmo em cada nó, depois reinicie os servidores, um de cada vez",
        "{path} written; the same on every node, then restart the servers, one at a time",
    ),
    # recado keygen, recado roster
    "keygen.node": Text(
        "{file}: segredo, só para {name}. A parte pública está em {pub}; agora:\n"
        "  recado roster add {pub}\n"
        "e, na configuração de {name}: security.key = {file}",
        "{file}: a secret, for {name} alone. Its public part is in {pub}; now:\n"
        "  recado roster add {pub}\n"
        "and, in the configuration of {name}: security.key = {file}",
    ),
    "keygen.user": Text(
        "{file}: segredo; quem tem este arquivo é {name}. Guarde uma cópia. A parte pública está em {pub}\n"
        "Com o roster do cluster em {roster}:\n  recado login {login}",
        "{file}: a secret; whoever has this file is {name}. Keep a copy. Its public part is in {pub}\n"
        "With the cluster's roster in {roster}:\n  recado login {login}",
    ),
    "keygen.cluster": Text(
        "{file}: segredo de todos os servidores, e de mais ninguém; copie para cada um:\n"
        "  security.cluster_key = {file}",
        "{file}: a secret of all servers, and of nobody else; copy it to each of them:\n"
        "  security.cluster_key = {file}",
    ),
    "roster.done": Text(
        "{path} escrito; o mesmo em cada nó e em cada cliente, depois SIGHUP para os nós",
        "{path} written; the same on every node and with every client, then SIGHUP to the nodes",
    ),
    "roster.exists": Text(
        "{path} já existe; `recado roster add` acrescenta",
        "{path} exists already; `recado roster add` adds to it",
    ),
    "roster.rotated": Text(
        "depois reinicie {name} com a chave nova e termine: recado roster rotate --finish {name}",
        "after that restart {name} with its new key, and finish: recado roster rotate --finish {name}",
    ),
    "roster.which": Text(
        "{name} está no roster como {roles}; diga --role", "{name} is in the roster as {roles}; say --role"
    ),
    "roster.unknown": Text("{name} não está em {path}", "{name} is not in {path}"),
    "roster.good": Text("{path} está em ordem: {entries}", "{path} is in order: {entries}"),
    # whose key
    "key.none": Text(
        "este cluster pede uma chave: não há {path}; faça uma com `recado keygen --user {user}`, "
        "ou diga --key FILE",
        "this cluster asks for a key: there is no {path}; make one with `recado keygen --user {user}`, "
        "or give --key FILE",
    ),
    "key.which": Text(
        "este cluster pede uma chave: diga --user NOME ou --key ARQUIVO (em {directory} há {count})",
        "this cluster asks for a key: give --user NAME or --key FILE (there are {count} in {directory})",
    ),
    "key.no_roster": Text(
        "uma chave só serve com um roster: diga --roster ARQUIVO",
        "a key is of use with a roster only: give --roster FILE",
    ),
    # recado replica quarantine
    "quarantine.none": Text("nada em quarentena em {replica}", "nothing is quarantined in {replica}"),
    # recado up
    "up.starting": Text("iniciando {nodes} processos em {data}", "starting {nodes} processes in {data}"),
    "up.running": Text("Recado está no ar", "Recado is running"),
    "up.servers": Text("servidores", "servers"),
    "up.subscriptions": Text("publicações (XPUB)", "publications (XPUB)"),
    "up.publishers": Text("publicadores (XSUB)", "publishers (XSUB)"),
    "up.spread": Text("requisições distribuídas", "requests spread"),
    "up.reference": Text("referência", "reference"),
    "up.data": Text("dados", "data"),
    "up.roster": Text("roster (chaves)", "roster (keys)"),
    "up.next": Text("Agora digite, em outro terminal:", "Now type, in another terminal:"),
    "up.next.chat": Text("conversar", "talk"),
    "up.next.tail": Text("ver as mensagens chegarem", "watch messages arrive"),
    "up.next.look": Text("ler os dados de um servidor", "read a server's data"),
    "up.next.verify": Text("comparar as réplicas", "compare the replicas"),
    "up.next.stop": Text("Ctrl-C encerra tudo.", "Ctrl-C stops everything."),
    "up.next.down": Text("`{command}` encerra tudo.", "`{command}` stops everything."),
    "up.ready": Text("{node} pronto (processo {pid})", "{node} ready (process {pid})"),
    "up.started": Text("{node} iniciado (processo {pid})", "{node} started (process {pid})"),
    "up.restarted": Text("{node} reiniciado (processo {pid})", "{node} restarted (process {pid})"),
    "up.died": Text("{node} morreu ({how})", "{node} died ({how})"),
    "up.again": Text("; reinicia em {seconds:g} s", "; restarts in {seconds:g} s"),
    "up.left": Text("; fica parado", "; stays down"),
    "up.exit": Text("código {code}", "exit code {code}"),
    "up.node_stopped": Text("{node} parado", "{node} stopped"),
    "up.coordinator": Text("coordenador agora é {node}", "coordinator is now {node}"),
    "up.left_out": Text("(mais {count} não mostradas)", "({count} more not shown)"),
    "up.stopping": Text("encerrando…", "stopping…"),
    "up.stopped": Text("encerrado; nenhum processo ficou", "stopped; no process is left"),
    "up.exposed": Text(
        "atenção: {host} é alcançável de outras máquinas, e aqui ninguém prova quem é (--secure dá chaves)",
        "warning: other machines reach {host}, and nobody proves who they are here (--secure makes keys)",
    ),
    "down.done": Text("encerrado", "stopped"),
    "down.none": Text("nenhum cluster em {data}", "no cluster runs on {data}"),
    "down.wiped": Text("dados apagados: {paths}", "data deleted: {paths}"),
    "ps.coordinator": Text("coordenador: {name}", "coordinator: {name}"),
    "ps.unknown": Text("desconhecido", "unknown"),
    "stop.done": Text("{node} parado", "{node} stopped"),
    "start.done": Text("{node} iniciado", "{node} started"),
    "logs.none": Text("nenhum log em {data}", "no logs in {data}"),
    # login, channel, publish, dm, and what every command may end in
    "talk.receipt": Text(
        "{what} ({copies} cópias, relógio {clock})", "{what} ({copies} copies, clock {clock})"
    ),
    "talk.login": Text("conectado como {user}", "logged in as {user}"),
    "talk.channel": Text("canal {channel} criado", "channel {channel} created"),
    "talk.stdin_long": Text(
        "a entrada padrão é maior que uma mensagem ({most} bytes no máximo)",
        "standard input is longer than a message can be ({most} bytes)",
    ),
    "talk.stdin_bytes": Text("a entrada padrão não é UTF-8", "standard input is not UTF-8"),
    "talk.sent": Text("enviada", "sent"),
    "talk.login_first": Text("; primeiro: recado login NOME", "; first: recado login NAME"),
    "talk.indeterminate": Text(
        "não se sabe se foi guardado: {why}\nrepita com --id {id}: aparece uma só vez",
        "whether it was kept is not known: {why}\nrepeat with --id {id}: it appears once",
    ),
    "talk.queued": Text(
        "sem confirmação, fica na caixa de saída ({id}): {why}\n`recado outbox send` envia de novo",
        "not confirmed, kept in the outbox ({id}): {why}\n`recado outbox send` sends it again",
    ),
    "outbox.sent": Text("{count} enviadas, {waiting} esperam", "{count} sent, {waiting} waiting"),
    "outbox.refused": Text("{id} recusada: {why} — {text}", "{id} refused: {why} — {text}"),
    "outbox.given_up": Text(
        "{id} abandonada, esperava há mais de 7 dias — {text}",
        "{id} given up, it had waited for more than 7 days — {text}",
    ),
    "outbox.unknown": Text("não está na caixa de saída: {ids}", "not in the outbox: {ids}"),
    "tail.no_channel": Text("o canal {channel} não existe", "there is no channel {channel}"),
    "tail.left_out": Text(
        "{count} canais ficam de fora: `tail -f` segue {most} no máximo; diga os que quer ver",
        "{count} channels are left out: `tail -f` follows {most} at most; name those that you want",
    ),
    "look.sync": Text("o que {server} tem", "what {server} has"),
    "search.none": Text("nada encontrado", "nothing found"),
    "search.more": Text("há anteriores: --before {earlier}", "there are earlier ones: --before {earlier}"),
    "search.partial": Text(
        "a busca demorou demais: pode faltar algo; diga mais palavras, ou o canal",
        "the search took too long: some may be missing; name more words, or the channel",
    ),
    "search.lag": Text(
        "o índice do servidor ainda não tem os últimos {lag} registros",
        "the server's index lacks the last {lag} entries as yet",
    ),
    "talk.no_answer": Text("ninguém responde: {why}", "nobody answers: {why}"),
    "talk.nobody": Text(
        "ninguém escuta em {reference}; inicie um cluster com `recado up`, ou diga --server ou --reference",
        "nobody listens at {reference}; start a cluster with `recado up`, or give --server or --reference",
    ),
    # verify, replica
    "replica.none": Text("nenhuma réplica em {data}", "no replicas under {data}"),
    "verify.equal": Text("iguais", "equal"),
    "verify.differ": Text("diferentes: {count}", "they differ: {count}"),
    "verify.more": Text("mais {count} diferenças", "{count} more differences"),
    "verify.in_flight": Text("a caminho: {span}, falta em {lacks}", "in flight: {span}, not yet in {lacks}"),
    # chat
    "chat.welcome": Text("/menu mostra o que se pode fazer", "/menu shows what one can do"),
    "chat.welcome_stranger": Text(
        "bem-vindo! primeiro: /login SEUNOME   (ou /menu)", "welcome! first: /login YOURNAME   (or /menu)"
    ),
    "chat.connected": Text("conectado", "connected"),
    "chat.reconnecting": Text("reconectando…", "reconnecting…"),
    "chat.sending": Text("enviando…", "sending…"),
    "chat.lost": Text("ninguém responde; tentando de novo…", "nobody answers; trying again…"),
    "chat.back": Text(
        "reconectado, {count} mensagens perdidas recuperadas", "reconnected, {count} missed messages fetched"
    ),
    "chat.usage": Text("assim: {about}", "like this: {about}"),
    "chat.unknown": Text("não há comando {about}; veja /help", "there is no command {about}; see /help"),
    "chat.busy": Text("! o servidor está ocupado; tente de novo", "! the server is busy; try again"),
    "chat.no_answer": Text("ninguém responde", "nobody answers"),
    "chat.unsure": Text(
        "não se sabe se foi feito; tente de novo", "whether it was done is not known; try again"
    ),
    "chat.queued": Text(
        "sem confirmação; fica guardada aqui e é enviada de novo ({count} esperam)",
        "not confirmed; it is kept here and sent again ({count} waiting)",
    ),
    "chat.refused": Text("! recusada: {why} — {text}", "! refused: {why} — {text}"),
    "chat.given_up": Text("! abandonada depois de 7 dias — {text}", "! given up after 7 days — {text}"),
    "chat.late": Text("(chegou tarde)", "(arrived late)"),
    "chat.of_somebody": Text("(de outra pessoa)", "(somebody's)"),
    "chat.gone": Text("! perdida com um servidor: {text}", "! lost with a server: {text}"),
    "chat.not_written": Text(
        "! não pôde ser guardada aqui ({why}); enviada assim mesmo",
        "! can't be kept here ({why}); sent without",
    ),
    "chat.who": Text("primeiro: /login SEUNOME", "first: /login YOURNAME"),
    "chat.more_channels": Text("… e mais {count}, /channels", "… and {count} more, /channels"),
    "chat.none": Text("(nenhum)", "(none)"),
    "chat.logged_in": Text("você é {user}", "you are {user}"),
    "chat.no_channel": Text(
        "não há canal {channel}; /create {channel} cria",
        "there is no channel {channel}; /create {channel} makes it",
    ),
    "chat.created": Text("canal {channel} criado", "channel {channel} created"),
    "chat.exists": Text("o canal {channel} já existe", "channel {channel} exists already"),
    "chat.joined": Text("você está em #{channel}", "you are on #{channel}"),
    "chat.left": Text("você saiu de #{channel}", "you left #{channel}"),
    "chat.not_joined": Text(
        "em canal nenhum; /channels e /join NOME", "on no channel; /channels and /join NAME"
    ),
    "chat.status": Text(
        "servidor {server}, coordenador {coordinator}, {of} servidores, relógio {clock}, desvio {offset} ms",
        "server {server}, coordinator {coordinator}, {of} servers, clock {clock}, offset {offset} ms",
    ),
    "chat.status_mine": Text(
        "última mensagem {tick}; na caixa de saída: {count}", "last message {tick}; in the outbox: {count}"
    ),
    "chat.help": Text(
        """  TEXTO                diz no canal atual (//TEXTO se começa com /)
  /login NOME          entra com um nome
  /users  /channels    lista usuários, canais
  /create NOME         cria um canal e entra nele
  /join NOME           entra num canal; /leave sai
  /info  /topic TEXTO  o que vale no canal, seu assunto
  /invite /op /voice /mute /ban /kick NOME [MOTIVO]   (e /un… /de…)
  /private /public /moderated /resign
  /msg NOME TEXTO      mensagem direta ("nome com espaço")
  /history [N]         mensagens anteriores do canal
  /search PALAVRAS     busca nos canais ("uma frase", começo*)
  /status  /menu  /quit
  … ainda não, ✓ um servidor guardou, ✓✓ a maioria, ✓✓✓ todos
  Tab completa, setas repetem""",
        """  TEXT                 says it on the current channel (//TEXT if it begins with /)
  /login NAME          take a name
  /users  /channels    list users, channels
  /create NAME         create a channel and join it
  /join NAME           join a channel; /leave leaves
  /info  /topic TEXT   what is so in the channel, its topic
  /invite /op /voice /mute /ban /kick NAME [REASON]   (and /un… /de…)
  /private /public /moderated /resign
  /msg NAME TEXT       direct message ("name with spaces")
  /history [N]         earlier messages of the channel
  /search WORDS        find in the channels ("a phrase", begin*)
  /status  /menu  /quit
  … not yet, ✓ one server keeps it, ✓✓ most of them, ✓✓✓ all
  Tab completes, arrows repeat""",
    ),
    "menu.login": Text("entrar com um nome", "log in"),
    "menu.users": Text("listar usuários", "list users"),
    "menu.channels": Text("listar canais", "list channels"),
    "menu.create": Text("criar um canal", "create a channel"),
    "menu.join": Text("entrar num canal", "join a channel"),
    "menu.say": Text("escrever no canal", "write on the channel"),
    "menu.msg": Text("mensagem direta", "direct message"),
    "menu.history": Text("mensagens anteriores", "earlier messages"),
    "menu.leave": Text("sair do canal", "leave the channel"),
    "menu.quit": Text("encerrar", "quit"),
    "ask.name": Text("nome?", "name?"),
    "ask.channel": Text("canal?", "channel?"),
    "ask.user": Text("para quem?", "to whom?"),
    "ask.text": Text("texto?", "text?"),
}


class Spoken(Texts):
    """Texts whose values may be anybody's words: they stand there as text, on one line."""

    def __call__(self, key: str, **values: object) -> str:
        plain = {
            name: value if isinstance(value, int | float) else printable(str(value))
            for name, value in values.items()
        }
        return super().__call__(key, **plain)


def speaker() -> Texts:
    """The texts in the language of whoever runs this process."""
    return Spoken(language(os.environ), WORDS, RULE_WORDS, BACKUP_WORDS, SSH_WORDS)

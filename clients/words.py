"""What the client programs say to people, in Portuguese and English.

Data go to standard output and are never translated; these go to standard error, and to the chat.
"""

import os

from recado.texts import Text, Texts, language

WORDS: dict[str, Text] = {
    # recado up
    "up.starting": Text("iniciando {nodes} processos em {data}", "starting {nodes} processes in {data}"),
    "up.running": Text("Recado está no ar", "Recado is running"),
    "up.servers": Text("servidores", "servers"),
    "up.subscriptions": Text("publicações (XPUB)", "publications (XPUB)"),
    "up.publishers": Text("publicadores (XSUB)", "publishers (XSUB)"),
    "up.spread": Text("requisições distribuídas", "requests spread"),
    "up.reference": Text("referência", "reference"),
    "up.data": Text("dados", "data"),
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
        "atenção: {host} é alcançável de outras máquinas, e aqui ninguém prova quem é",
        "warning: other machines reach {host}, and nobody proves who they are here",
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
    "talk.sent": Text("enviada", "sent"),
    "talk.login_first": Text("; primeiro: recado login NOME", "; first: recado login NAME"),
    "talk.indeterminate": Text(
        "não se sabe se foi guardado: {why}\nrepita com --id {id}: aparece uma só vez",
        "whether it was kept is not known: {why}\nrepeat with --id {id}: it appears once",
    ),
    "look.sync": Text("o que {server} tem", "what {server} has"),
    "talk.no_answer": Text("ninguém responde: {why}", "nobody answers: {why}"),
    "talk.nobody": Text(
        "ninguém escuta em {reference}; inicie um cluster com `recado up`, ou diga --server ou --reference",
        "nobody listens at {reference}; start a cluster with `recado up`, or give --server or --reference",
    ),
}


def speaker() -> Texts:
    """The texts in the language of whoever runs this process."""
    return Texts(language(os.environ), WORDS)
